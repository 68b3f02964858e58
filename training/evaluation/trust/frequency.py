"""How much contrast is kept at each spatial frequency, by what two frames of a field, or two halves of one, share.

Noise of two frames is independent, structure is not, so the cross spectrum of two noisy frames is that of the
structure alone. That of a denoised frame with the other noisy one, divided by it, is the contrast that the denoiser
keeps. Of a single frame with independent pixels, every second pixel along all axes makes one half, and those diagonally
next to them the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RINGS = 24  # from frequency 0 to the highest that is seen
_SMALLEST = 32  # pixels a side of what is transformed


@dataclass(frozen=True)
class Contrast:
    """Contrast by spatial frequency, where the two have structure in common; of one length each."""

    frequency: tuple[float, ...]
    """Cycles a pixel, at most 0.25 of halves and 0.5 of frames."""

    shared: tuple[float, ...]
    """Fourier ring correlation of the two noisy frames or halves: near 0 where noise hides the structure."""

    kept: tuple[float, ...]
    """Contrast of the denoised image as a multiple of that of the data."""

    uncertainty: tuple[float, ...]
    """Standard deviation of ``kept`` that noise gives it."""


def contrast(
    noisy: NDArray[np.float64], denoised: NDArray[np.float64], second: NDArray[np.float64] | None = None
) -> Contrast | None:
    """Return the contrast kept by frequency; None where the image is too small.

    Parameters
    ----------
    noisy, denoised : ndarray, (H, W) or (D, H, W)
        In the same units.
    second : ndarray, optional
        Another noisy frame of the same field.

    References
    ----------
    Koho et al., Fourier ring correlation simplifies image restoration in fluorescence microscopy, Nature Communications
    10, 3103, 2019, https://doi.org/10.1038/s41467-019-11024-z (halves of one image, and the shift between them)
    """
    if second is None:
        even = tuple(slice(0, size // 2 * 2, 2) for size in noisy.shape)
        odd = tuple(slice(1, size // 2 * 2, 2) for size in noisy.shape)
        first, other, result, shift, step = noisy[even], noisy[odd], denoised[even], 0.5, 2
    else:
        first, other, result, shift, step = noisy, second, denoised, 0.0, 1
    if min(first.shape) < _SMALLEST:
        return None
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) for size in first.shape), indexing="ij", sparse=True)
    radius = np.sqrt(sum(each**2 for each in frequencies))
    ring = np.minimum((radius * 2 * _RINGS).astype(int), _RINGS).ravel()  # the last one, the corners, is left out
    # The other half lies half a (coarse) pixel further on along every axis.
    phase = np.exp(-2j * np.pi * shift * sum(frequencies))
    a, b, d = (_spectrum(part) for part in (first, other, result))
    b = b * phase

    def summed(product: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(ring, product.ravel(), _RINGS + 1)[1:_RINGS])

    power = np.sqrt(summed(np.abs(a) ** 2) * summed(np.abs(b) ** 2))
    cross = summed((a * b.conj()).real)
    counts = summed(np.ones(first.shape)) / 2  # of a real image half of the values are independent
    seen = cross > 0  # where chance leaves no structure, nothing is known
    kept = summed((d * b.conj()).real)[seen] / cross[seen]
    removed = np.sqrt(summed(np.abs(a - d) ** 2) * summed(np.abs(b) ** 2))
    uncertainty = (removed / np.sqrt(2 * counts))[seen] / cross[seen]
    centres = (np.arange(1, _RINGS) + 0.5) / (2 * _RINGS) / step
    shared = (cross / np.maximum(power, 1e-300))[seen]
    return Contrast(*(tuple(each.tolist()) for each in (centres[seen], shared, kept, uncertainty)))


def _spectrum(image: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the Fourier transform of an image that fades to its mean at the edges."""
    values = image - image.mean()
    for axis, size in enumerate(image.shape):
        window = np.hanning(size + 2)[1:-1].reshape([-1 if axis == other else 1 for other in range(image.ndim)])
        values = values * window
    return np.asarray(np.fft.fftn(values))
