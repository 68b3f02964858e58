"""Whether a denoiser took away noise only: the residual, smoothed, in standard deviations of its noise.

The residual, noisy minus denoised, of a faithful denoiser is noise: smoothed, it averages out everywhere. Where the
denoiser invents or removes an object, the smoothed residual shows it, without any clean image. So the residual is
smoothed and divided by the standard deviation that white noise of its local strength would leave: beyond five of those
no pixel is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMIT = 5.0
"""Standard deviations of smoothed white noise: chance reaches them in about one of two million pixels."""

SMOOTHING = 2.0
"""Standard deviation, in pixels, of the Gaussian that objects are looked for with."""

_NEIGHBOURHOOD = 8.0  # standard deviation in pixels of the Gaussian over which the noise's strength is taken
_LEVEL = 16.0  # the same over which a shift counts as a matter of the offset, not of structure
_ROUNDING = 1e-9  # of the residual: noise below is that of the computation
_REACH = 4.0  # standard deviations at which a Gaussian is cut


class Deviation(NamedTuple):
    """How far a residual is from noise."""

    share: float
    """Part of the pixels beyond ``LIMIT``; 0 to 1."""

    largest: float
    """The largest value of the map, without its sign."""

    at: tuple[int, ...]
    """Where that is: row and column, or depth, row and column."""


def deviation_map(noisy: NDArray[Any], denoised: NDArray[Any], *, smoothing: float = SMOOTHING) -> NDArray[np.float64]:
    """Return the smoothed residual in units of the standard deviation that its noise alone would give it.

    Parameters
    ----------
    noisy, denoised : ndarray, (H, W) or (D, H, W)
        In the same units.
    smoothing : float
        Standard deviation of the Gaussian, in pixels: objects of about twice that radius stand out most.

    Returns
    -------
    ndarray, float64, of the same shape
        About normally distributed with standard deviation 1, or less, where the residual is white noise. Positive
        where the denoiser took away brightness that the data hold, negative where it added some that they do not.
        0 where the residual is constant.
    """
    residual = np.asarray(noisy, np.float64) - np.asarray(denoised, np.float64)
    least = _ROUNDING * float(np.abs(residual).max())
    ones = np.ones_like(residual)
    broad = _gaussian(_LEVEL)
    residual -= _filter(residual, broad) / _filter(ones, broad)
    kernel = _gaussian(smoothing)
    smooth = _filter(residual, kernel)
    weight, squares = _filter(ones, kernel), _filter(ones, kernel**2)
    centre = kernel.max() ** residual.ndim / weight
    fine = residual - smooth / weight  # noise without what is as large as an object
    left = np.maximum(1 - 2 * centre + squares / weight**2, 1e-9)  # of white noise's variance, in ``fine``
    near = _gaussian(_NEIGHBOURHOOD)
    variance = _filter(fine**2 / left, near) / _filter(ones, near)
    expected = np.sqrt(variance * squares)
    return np.divide(smooth, expected, out=np.zeros_like(smooth), where=expected > least)


def largest_deviation(deviations: NDArray[np.float64]) -> Deviation:
    """Return in figures how far a residual is from noise: what stands out of its ``deviation_map``."""
    size = np.abs(deviations)
    at = tuple(int(index) for index in np.unravel_index(int(size.argmax()), size.shape))
    return Deviation(float((size > LIMIT).mean()), float(size[at]), at)


def correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return Pearson's correlation of two images of one shape; 0 where one of them is constant."""
    a = np.asarray(first, np.float64) - np.mean(first, dtype=np.float64)
    b = np.asarray(second, np.float64) - np.mean(second, dtype=np.float64)
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _gaussian(sigma: float) -> NDArray[np.float64]:
    at = np.arange(-int(_REACH * sigma), int(_REACH * sigma) + 1)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float64)


def _filter(image: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate along every axis with zeros outside: what is missing at the edges is accounted for by the caller."""
    for axis in range(image.ndim):
        image = np.asarray(ndimage.correlate1d(image, kernel, axis=axis, mode="constant"), np.float64)
    return image
