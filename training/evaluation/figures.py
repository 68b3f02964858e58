"""The figures of one image: how near the denoised image is to the clean one, and what was taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.intensity import fit_affine
from training.evaluation.metrics import (
    Convention,
    brought_together,
    gradient_ratio,
    is_constant,
    mae,
    mean_and_deviation,
    nrmse,
    psnr,
    ssim,
)
from training.evaluation.residuals import correlation, deviation_map, largest_deviation
from training.inference.statistics import image_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.inference.statistics import TrainedOn


class Part(BaseModel):
    """A part of a result, which is stored as JSON."""

    model_config = ConfigDict(frozen=True)


class Figures(Part):
    """The figures of one image, or their mean or standard deviation over images; NaN, null in JSON, is none.

    Attributes
    ----------
    psnr_noisy, psnr_denoised : float
        dB, at most 100.
    ssim_noisy, ssim_denoised : float
        1 at best.
    nrmse_noisy, nrmse_denoised, mae_noisy, mae_denoised, gradient_noisy, gradient_denoised : float
        See ``training.evaluation.metrics`` (``gradient_ratio``); NaN in files of earlier versions.
    slope, offset : float
        Least squares: ``denoised = slope * clean + offset``, in the files' own units.
    slope_noisy, offset_noisy : float
        The same of the noisy image: what a denoiser that keeps intensities gives too, since noise averages out.
    slope_kept : float
        ``slope / slope_noisy``: 1 for a quantitative result; below, contrast is lost.
    intensity_kept : float
        Sum over the denoised image by that over the noisy one; 1 for a quantitative result.
    structure_removed : float
        Correlation of what was removed (noisy minus denoised) with the clean image: 0 if it is noise alone; above 0
        where bright structure was weakened, below where it was strengthened.
    beyond_noise : float
        Part of the pixels where the smoothed residual is beyond 5 standard deviations of its noise: there the denoiser
        put, or took away, structure against the data. None is expected.
    largest_deviation : float
        The largest value of the smoothed residual, in standard deviations.
    """

    psnr_noisy: float
    psnr_denoised: float
    ssim_noisy: float
    ssim_denoised: float
    slope: float
    offset: float
    slope_noisy: float
    offset_noisy: float
    slope_kept: float
    intensity_kept: float
    structure_removed: float
    beyond_noise: float
    largest_deviation: float
    nrmse_noisy: float = float("nan")
    nrmse_denoised: float = float("nan")
    mae_noisy: float = float("nan")
    mae_denoised: float = float("nan")
    gradient_noisy: float = float("nan")
    gradient_denoised: float = float("nan")


class ImageFigures(Figures):
    """The figures of one image.

    Attributes
    ----------
    name : str
        Of the pair.
    largest_deviation_at : tuple of int
        Row and column (of a volume: depth, row, column) of the largest deviation.
    constant : bool
        Whether the clean image has one value only: there is nothing to score then.
    unlike_training : tuple of str
        In what the noisy image differs from those that the model was trained on, with the figures.
    """

    name: str
    largest_deviation_at: tuple[int, ...]
    constant: bool
    unlike_training: tuple[str, ...] = ()


def over_images(images: Sequence[ImageFigures]) -> tuple[Figures, Figures]:
    """Return mean and standard deviation of each figure over the images that have it."""
    over = {key: mean_and_deviation([getattr(image, key) for image in images]) for key in Figures.model_fields}
    mean, deviation = (Figures(**{key: both[which] for key, both in over.items()}) for which in (0, 1))
    return mean, deviation


def image_figures(
    name: str,
    *,
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    clean: NDArray[np.float32],
    convention: Convention,
    data_range: float,
    trained_on: TrainedOn | None = None,
) -> ImageFigures:
    """Return the figures of one image; parameters as of ``scoring.evaluate``."""
    constant = is_constant(clean)
    slope = offset = slope_noisy = offset_noisy = removed = float("nan")
    unlike: tuple[str, ...] = ()
    if not constant:
        slope, offset = fit_affine(clean, denoised)
        slope_noisy, offset_noisy = fit_affine(clean, noisy)
        removed = correlation(noisy.astype(np.float64) - denoised, clean)
        unlike = () if trained_on is None else tuple(image_statistics(noisy).differences(trained_on))
    deviation = largest_deviation(deviation_map(noisy, denoised))
    reference, images, peak = brought_together(convention, clean, noisy, (noisy, denoised), data_range)
    scores: dict[str, float] = {}
    for which, image in zip(("noisy", "denoised"), images, strict=True):
        scores |= {
            f"psnr_{which}": psnr(reference, image, data_range=peak),
            f"ssim_{which}": ssim(reference, image, data_range=peak),
            f"nrmse_{which}": nrmse(reference, image),
            f"mae_{which}": mae(reference, image),
            f"gradient_{which}": gradient_ratio(reference, image),
        }
    return ImageFigures(
        name=name,
        **scores,
        slope=slope,
        offset=offset,
        slope_noisy=slope_noisy,
        offset_noisy=offset_noisy,
        slope_kept=_ratio(slope, slope_noisy),
        intensity_kept=_ratio(float(denoised.sum(dtype=np.float64)), float(noisy.sum(dtype=np.float64))),
        structure_removed=removed,
        beyond_noise=deviation.share,
        largest_deviation=deviation.largest,
        largest_deviation_at=deviation.at,
        constant=constant,
        unlike_training=unlike,
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")
