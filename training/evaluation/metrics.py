"""Scores: PSNR and SSIM by scikit-image, as the files are or after the affine convention."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.calibration.intensity import fit_affine

Convention = Literal["raw", "affine"]
"""``raw`` compares as the files are; ``affine`` first fits ``slope * image + offset`` to the clean image."""

_SSIM_WINDOW = 7
_EQUAL = 100.0  # dB, of equal images


def apply_convention(image: ArrayLike, clean: ArrayLike, convention: Convention) -> NDArray[np.float64]:
    """Return ``image`` as the convention wants it before it is scored against ``clean`` (same shape and units)."""
    values = np.asarray(image, dtype=np.float64)
    if convention == "raw":
        return values
    slope, offset = fit_affine(values, clean)
    return slope * values + offset


def psnr(clean: ArrayLike, image: ArrayLike, *, data_range: float, convention: Convention = "raw") -> float:
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
    return min(float(ratio), _EQUAL)


def ssim(clean: ArrayLike, image: ArrayLike, *, data_range: float, convention: Convention = "raw") -> float:
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


def is_constant(image: ArrayLike) -> bool:
    """Return whether all pixels have one value, as those of a dead frame or an empty field have."""
    return bool(np.ptp(np.asarray(image)) == 0)


def mean_and_deviation(values: ArrayLike) -> tuple[float, float]:
    """Return mean and standard deviation (ddof 0) of the figures that exist; NaN where none does."""
    found = np.asarray(values, dtype=np.float64)
    found = found[~np.isnan(found)]
    return (float(found.mean()), float(found.std())) if found.size else (float("nan"), float("nan"))
