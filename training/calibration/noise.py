"""Noise variance by intensity: the model, its fit to pairs, and what a single image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BINS = 64  # of intensity


@dataclass(frozen=True)
class NoiseModel:
    """Noise whose variance at intensity x is ``gain * (x - pedestal) + read_noise**2``, in image units.

    Noise of a straight line has two constants, not three: without dark frames either the pedestal or the read noise
    is 0.
    """

    gain: float
    pedestal: float
    read_noise: float

    def variance(self, intensity: ArrayLike) -> NDArray[np.float64]:
        """Return the variance at an intensity; 0 where the line would fall below."""
        x = np.asarray(intensity, dtype=np.float64)
        return np.maximum(self.gain * (x - self.pedestal) + self.read_noise**2, 0.0)


def fit_noise(noisy: ArrayLike, clean: ArrayLike) -> NoiseModel:
    """Fit noise variance against intensity as a straight line.

    The variance of ``noisy - clean`` is taken in bins of equally many pixels, outliers beyond four standard deviations
    left out, and the line is fitted with each bin weighted by how well it knows its variance. Bins in which the camera
    saturates are left out, for noise is cut off there.

    Parameters
    ----------
    noisy, clean : array_like
        Pixels of one size, on one scale.

    Returns
    -------
    NoiseModel
        Its gain is at least 0.

    References
    ----------
    Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 17(10),
    2008, https://doi.org/10.1109/TIP.2008.2001399 (the model; the fit is simpler, for the clean image is known)
    """
    y, x = np.asarray(noisy, dtype=np.float64).ravel(), np.asarray(clean, dtype=np.float64).ravel()
    order = np.argsort(x, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, max(x.size // 200, 1))) if part.size]
    saturated = y == y.max()
    kept = [part for part in bins if saturated[part].mean() < 0.01] or bins
    centres = np.array([x[part].mean() for part in kept])
    variances = np.array([clipped(y[part] - x[part]).var() for part in kept])
    counts = np.array([part.size for part in kept], dtype=np.float64)
    # 8-bit files: rounding alone is worth 1/12.
    floor = max(float(variances.max()) * 1e-4, 1e-12)
    return straight(*fit_line(centres, variances, counts=counts, floor=floor))


def noise_level(image: ArrayLike) -> float:
    """Return the standard deviation of white noise that one image shows, in its own units, without a clean image.

    A second difference in both directions takes away structure; the median of its size is robust against what is left.
    It is a figure to compare images by: correlated noise and fine structure move it.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        A plane or several of one image, at least 3 x 3; smaller ones give 0.

    References
    ----------
    Immerkær, Fast noise variance estimation, CVIU 64(2), 1996, https://doi.org/10.1006/cviu.1996.0060, with the median
    of Donoho and Johnstone in place of the mean.
    """
    values = np.asarray(image, dtype=np.float64)
    if min(values.shape[-2:]) < 3:
        return 0.0
    response = np.diff(np.diff(values, 2, axis=-2), 2, axis=-1)
    return float(np.median(np.abs(response)) / (0.6744897501960817 * 6.0))


def fit_line(
    centres: NDArray[np.float64],
    variances: NDArray[np.float64],
    expected: NDArray[np.float64] | None = None,
    *,
    counts: NDArray[np.float64] | float = 1.0,
    floor: float,
) -> tuple[float, float]:
    """Return slope, at least 0, and intercept; each variance is weighted by how well it is known.

    That follows from how many pixels it is of and from the variance itself, as ``expected`` at first, then as fitted.
    """
    fitted = np.maximum(variances, floor) if expected is None else expected
    slope, intercept = 0.0, float(np.average(fitted, weights=np.broadcast_to(counts, fitted.shape)))
    for _ in range(10):
        weights = np.sqrt(counts) / fitted
        if np.ptp(centres) > 0:
            slope, intercept = (float(value) for value in np.polyfit(centres, variances, 1, w=weights))
        if slope <= 0:
            slope, intercept = 0.0, float(np.average(variances, weights=weights**2))
        fitted = np.maximum(slope * centres + intercept, floor)
    return slope, intercept


def straight(slope: float, intercept: float) -> NoiseModel:
    """Return the model whose variance at intensity x is ``slope * x + intercept``."""
    if slope > 0 and intercept < 0:
        return NoiseModel(slope, -intercept / slope, 0.0)
    return NoiseModel(slope, 0.0, float(np.sqrt(max(intercept, 0.0))))


def clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values without what lies beyond four standard deviations."""
    for _ in range(3):
        centre, reach = values.mean(), 4 * values.std()
        inside = values[np.abs(values - centre) <= reach]
        if inside.size == values.size:
            break
        values = inside
    return values
