"""What the training images are like, measured once: intensities, noise, and how clean fits onto noisy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.calibration.camera import CameraProfile, measure_camera
from training.calibration.intensity import Intensity, IntensityFit, fit_affine
from training.calibration.noise import NoiseModel, fit_noise, noise_level
from training.errors import DataError

if TYPE_CHECKING:
    from training.data import Sample

_SAMPLE = 2_000_000  # pixels of the whole training set that intensities and noise are measured on


@dataclass(frozen=True)
class Statistics:
    """What the training images are like, in image units; without any clean image, the noisy ones stand in for them.

    Attributes
    ----------
    low, high : float
        0.1 and 99.9 percentiles of the noisy images.
    clean_extent : float
        From the 0.1 to the 99.9 percentile of the clean images, in their own units; 1 if that is nothing.
    mean, deviation : float
        Of the noisy images: the mean of their means, and of their standard deviations.
    noise : float
        Median over images of ``noise.noise_level``, what an image shows by itself.
    noise_range : (float, float)
        The least and the most of it in any image.
    residual : float
        Root of the mean noise variance as the noise model has it.
    intensity : Intensity
        Clean onto noisy; of mode "none" where no sample has a clean image.
    model : NoiseModel
        Noise against intensity: from pairs, or where no sample has a clean image that of ``camera``.
    camera : CameraProfile or None
        As given, or of the noisy images alone; None where they are too small to measure.
    shape : tuple of int
        Smallest size along each axis.
    uniform : bool
        Whether all images are of that shape.
    """

    low: float
    high: float
    clean_extent: float
    mean: float
    deviation: float
    noise: float
    noise_range: tuple[float, float]
    residual: float
    intensity: Intensity
    model: NoiseModel
    camera: CameraProfile | None
    shape: tuple[int, ...]
    uniform: bool


def measure(
    samples: Sequence[Sample],
    mode: IntensityFit,
    seed: int,
    progress: Callable[[], object] = lambda: None,
    *,
    camera: CameraProfile | None = None,
) -> Statistics:
    """Read every image once and measure intensities and noise.

    Parameters
    ----------
    samples : sequence of Sample
        The training samples.
    mode : {"dataset", "image", "none"}
        How clean images are fitted onto noisy ones.
    seed : int
        Of the pixels that are drawn.
    progress : callable
        Called after each sample.
    camera : CameraProfile, optional
        Of the camera that took them; by default it is measured on the noisy images.

    Raises
    ------
    UserError
        Where there is no clean image, and too few pixels to measure the noise without.
    """
    rng = np.random.default_rng(seed)
    each = max(_SAMPLE // len(samples), 1000)
    noisy_pixels: list[NDArray[np.float64]] = []
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    fits: list[tuple[float, float]] = []
    noises: list[float] = []
    shapes: set[tuple[int, ...]] = set()
    step = -(-sum(math.prod(sample.shape) for sample in samples) // _SAMPLE)
    frames: dict[str, NDArray[np.float32]] = {}
    for number, sample in enumerate(samples):
        noisy, clean = sample.pair() if sample.clean is not None else (sample.frame(), None)
        drawn = rng.choice(noisy.size, min(each, noisy.size), replace=False)
        noisy_pixels.append(noisy.ravel()[drawn].astype(np.float64))
        if clean is not None:
            pairs.append((noisy_pixels[-1], clean.ravel()[drawn].astype(np.float64)))
            if mode == "image":
                fits.append(fit_affine(clean, noisy))
        noises.append(noise_level(noisy))
        shapes.add(noisy.shape)
        if number % step == 0 and camera is None:
            frames[sample.name] = noisy
        progress()
    known, clean_pixels = zip(*(pairs or [(pixels, pixels) for pixels in noisy_pixels]), strict=True)
    intensity = _intensity(mode if pairs else "none", known, clean_pixels, fits)
    scaled = fits or [(intensity.slope, intensity.offset)] * len(known)
    x = np.concatenate([slope * clean + offset for clean, (slope, offset) in zip(clean_pixels, scaled, strict=True)])
    low, high = (float(value) for value in np.percentile(np.concatenate(noisy_pixels), [0.1, 99.9]))
    if camera is None:
        try:
            camera = measure_camera([*frames.values()], axes=samples[0].axes, names=[*frames])
        except DataError:
            if not pairs:
                raise
    model = fit_noise(np.concatenate(known), x) if pairs or camera is None else camera.model
    return Statistics(
        low=low,
        high=high,
        clean_extent=float(np.ptp(np.percentile(np.concatenate(clean_pixels), [0.1, 99.9]))),
        mean=float(np.mean([pixels.mean() for pixels in noisy_pixels])),
        deviation=float(np.mean([pixels.std() for pixels in noisy_pixels])),
        noise=float(np.median(noises)),
        noise_range=(min(noises), max(noises)),
        residual=float(np.sqrt(np.mean(model.variance(x)))),
        intensity=intensity,
        model=model,
        camera=camera,
        shape=tuple(min(sizes) for sizes in zip(*shapes, strict=True)),
        uniform=len(shapes) == 1,
    )


def _intensity(
    mode: IntensityFit,
    noisy: Sequence[NDArray[np.float64]],
    clean: Sequence[NDArray[np.float64]],
    fits: Sequence[tuple[float, float]],
) -> Intensity:
    if mode == "none":
        return Intensity(mode, 1.0, 0.0)
    if mode == "dataset":
        return Intensity(mode, *fit_affine(np.concatenate(clean), np.concatenate(noisy)))
    slope, offset = (float(value) for value in np.median(np.array(fits), axis=0))
    return Intensity(mode, slope, offset)
