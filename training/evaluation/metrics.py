"""Scores of an image against the clean one, and the conventions by which both are brought together first."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from training.calibration.intensity import fit_affine

Fit = Literal["raw", "affine"]
"""``raw`` compares as the files are; ``affine`` first fits ``slope * image + offset`` to the clean image."""

Convention = Literal["raw", "affine", "percentile", "minmax"]
"""What ``evaluate`` may be asked for.

``percentile`` is CARE's (Weigert et al., Nature Methods 15, 2018, doi:10.1038/s41592-018-0216-7): the clean image is
scaled by its percentiles 0.1 and 99.9, images are fitted to it, and its own range is the peak. ``minmax`` is
AUTO-DIP's: all are scaled by the noisy image's least and largest value, and the peak is 1.
"""

OWN_PEAK: tuple[Convention, ...] = ("percentile", "minmax")
"""Conventions that bring their own peak."""

_SSIM_WINDOW = 7
EQUAL = 100.0
"""PSNR of equal images, dB."""


def apply_convention(image: ArrayLike, clean: ArrayLike, convention: Fit) -> NDArray[np.float64]:
    """Return ``image`` as the convention wants it before it is scored against ``clean`` (same shape and units)."""
    values = np.asarray(image, dtype=np.float64)
    if convention == "raw":
        return values
    slope, offset = fit_affine(values, clean)
    return slope * values + offset


def brought_together(
    convention: Convention, clean: ArrayLike, noisy: ArrayLike, images: Sequence[ArrayLike], data_range: float
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]], float]:
    """Return the clean image, others, and the peak, as a convention wants them to be scored.

    ``data_range`` is the peak of the conventions that do not bring their own.
    """
    reference = np.asarray(clean, dtype=np.float64)
    others = [np.asarray(image, dtype=np.float64) for image in images]
    if convention == "raw" or is_constant(reference):
        return reference, others, data_range
    if convention == "affine":
        return reference, [apply_convention(image, reference, "affine") for image in others], data_range
    low, high = np.percentile(reference, (0.1, 99.9)) if convention == "percentile" else (np.min(noisy), np.max(noisy))
    extent = float(high - low) or 1.0
    reference = (reference - low) / extent
    if convention == "minmax":
        return reference, [(image - low) / extent for image in others], 1.0
    return reference, [apply_convention(image, reference, "affine") for image in others], float(np.ptp(reference))


def psnr(clean: ArrayLike, image: ArrayLike, *, data_range: float, convention: Fit = "raw") -> float:
    """Return the peak signal-to-noise ratio in dB, at most 100 (equal images); NaN where the clean image is constant.

    A constant image has no contrast to score: a dead frame would count as perfect.

    Parameters
    ----------
    clean, image : array_like, shape (..., H, W)
        In the same units.
    data_range : float
        What counts as the peak, in those units; never guessed from the data.
    convention : {"raw", "affine"}
        Whether ``image`` is first fitted to ``clean``.
    """
    reference = np.asarray(clean, dtype=np.float64)
    if is_constant(reference):
        return float("nan")
    values = apply_convention(image, reference, convention)
    with np.errstate(divide="ignore"):
        ratio = peak_signal_noise_ratio(reference, values, data_range=data_range)  # type: ignore[no-untyped-call]
    return min(float(ratio), EQUAL)


def ssim(clean: ArrayLike, image: ArrayLike, *, data_range: float, convention: Fit = "raw") -> float:
    """Return the structural similarity with scikit-image's defaults (a window of 7 x 7, smaller in smaller images).

    Parameters as for :func:`psnr`; a volume's is the mean over its planes. NaN where the clean image is constant or
    narrower than 3 pixels, which leaves no window.

    References
    ----------
    Wang et al., Image quality assessment, IEEE TIP 13(4), 2004, https://doi.org/10.1109/TIP.2003.819861
    """
    reference = np.asarray(clean, dtype=np.float64)
    smallest = min(reference.shape[-2:])
    if smallest < 3 or is_constant(reference):
        return float("nan")
    window = min(_SSIM_WINDOW, smallest - (smallest + 1) % 2)
    values = apply_convention(image, reference, convention)
    planes = zip(*(stack.reshape(-1, *stack.shape[-2:]) for stack in (reference, values)), strict=True)
    scores = [structural_similarity(*pair, data_range=data_range, win_size=window) for pair in planes]  # type: ignore[no-untyped-call]
    return float(np.mean(scores))


def mae(clean: ArrayLike, image: ArrayLike) -> float:
    """Return the mean absolute error in the images' units; NaN where the clean image is constant."""
    reference = np.asarray(clean, dtype=np.float64)
    return float("nan") if is_constant(reference) else float(np.abs(np.asarray(image) - reference).mean())


def nrmse(clean: ArrayLike, image: ArrayLike) -> float:
    """Return the root mean square error over the range of the clean image; NaN where that is constant."""
    reference = np.asarray(clean, dtype=np.float64)
    if is_constant(reference):
        return float("nan")
    return float(normalized_root_mse(reference, np.asarray(image, np.float64), normalization="min-max"))


def mean_gradient(image: ArrayLike) -> float:
    """Return the mean length of the gradient of an image (..., Y, X) within its planes, by central differences."""
    values = np.asarray(image, dtype=np.float64)
    if min(values.shape[-2:]) < 2:
        return float("nan")
    return float(np.hypot(*np.gradient(values, axis=(-2, -1))).mean())


def gradient_ratio(clean: ArrayLike, image: ArrayLike) -> float:
    """Return the mean gradient over that of the clean image, less 1: below 0 blurred, above 0 noise is left.

    NaN where the clean image is constant.
    """
    reference = mean_gradient(clean)
    return mean_gradient(image) / reference - 1 if reference > 0 else float("nan")


def is_constant(image: ArrayLike) -> bool:
    """Return whether all pixels have one value, as those of a dead frame or an empty field have."""
    return bool(np.ptp(np.asarray(image)) == 0)


def mean_and_deviation(values: ArrayLike) -> tuple[float, float]:
    """Return mean and standard deviation (ddof 0) of the figures that exist; NaN where none does."""
    found = np.asarray(values, dtype=np.float64)
    found = found[~np.isnan(found)]
    return (float(found.mean()), float(found.std())) if found.size else (float("nan"), float("nan"))
