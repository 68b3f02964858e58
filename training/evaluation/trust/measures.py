"""All that one noisy image and its denoised version say of the denoiser, without a clean image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.camera import CameraProfile, measure_camera
from training.errors import DataError
from training.evaluation.trust.frequency import Contrast, contrast
from training.evaluation.trust.intensity import ByIntensity, by_intensity
from training.evaluation.trust.noise import noise_at
from training.evaluation.trust.seams import Seam, find_seam
from training.evaluation.trust.structure import Structure, find_structure, neighbour_correlation
from training.evaluation.trust.symmetry import disagreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOTHING = 1e-6  # of the brightest pixel: less is the computation's rounding


class Disagreement(BaseModel):
    """How far the results of turned and mirrored inputs are apart, in standard deviations of the noise."""

    model_config = ConfigDict(frozen=True)

    mean: float
    """Root mean square over the image."""

    largest: float
    """The 99.9 percentile."""

    at: tuple[int, ...]
    """Where most: row and column, or depth, row and column."""


class Measures(BaseModel):
    """The measures of one image; the noise is what the noisy image itself shows."""

    model_config = ConfigDict(frozen=True)

    camera: CameraProfile
    """The noise of the image itself."""

    residual_correlation: tuple[float, ...]
    """Of neighbours in what was removed, along each axis: above that of the camera's noise where structure went with
    it, below where noise was left."""

    structure: Structure
    intensity: ByIntensity
    contrast: Contrast | None
    """None where the image is too small, or where its pixels are not independent and there is no second frame."""

    disagreement: Disagreement | None
    """None where the denoiser was not asked again."""

    seam: Seam


@dataclass(frozen=True)
class Maps:
    """What a picture shows of an image; arrays of its shape."""

    noise: NDArray[np.float64]
    """Standard deviation of the camera's noise at each pixel, in image units."""

    disagreement: NDArray[np.float64] | None
    """In standard deviations of the noise."""


def measure(
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    *,
    denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    second: NDArray[np.float32] | None = None,
) -> tuple[Measures, Maps]:
    """Measure one image.

    Parameters
    ----------
    noisy, denoised : ndarray, float32, (H, W) or (D, H, W)
        In the same units.
    denoise : callable, optional
        What made ``denoised``: it is called for turned and mirrored inputs too.
    second : ndarray, optional
        Another noisy frame of the same field, for the contrast by frequency; else halves of the one frame stand in.

    Raises
    ------
    UserError
        Where the image is too small for its noise to be measured, or shows none.
    """
    image, result = np.asarray(noisy, np.float64), np.asarray(denoised, np.float64)
    camera = measure_camera([image], axes="ZYX"[-image.ndim :])
    model, neighbours = camera.model, tuple(camera.correlation.values())
    noise = noise_at(image, model)
    if float(np.median(noise)) <= _NOTHING * float(np.abs(image).max()):
        raise DataError("no noise can be seen in the image")
    residual = (image - result) / noise
    halves = second is not None or not camera.correlated()
    spread = None if denoise is None else disagreement(noisy, denoised, denoise) / noise
    measures = Measures(
        camera=camera,
        residual_correlation=neighbour_correlation(residual),
        structure=find_structure(image, result, model, neighbours),
        intensity=by_intensity(image, result, model),
        contrast=contrast(image, result, None if second is None else second.astype(np.float64)) if halves else None,
        disagreement=None if spread is None else _summary(spread),
        seam=find_seam(residual),
    )
    return measures, Maps(noise, spread)


def _summary(spread: NDArray[np.float64]) -> Disagreement:
    at = tuple(int(index) for index in np.unravel_index(int(spread.argmax()), spread.shape))
    return Disagreement(mean=float(np.sqrt(np.mean(spread**2))), largest=float(np.percentile(spread, 99.9)), at=at)
