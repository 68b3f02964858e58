"""Whether what a denoiser took away holds structure: by the smoothed residual, at several sizes of objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.residuals import deviation_map, largest_deviation
from training.evaluation.trust.noise import noise_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.calibration.noise import NoiseModel

SMOOTHINGS = (1.0, 2.0, 4.0)
"""Standard deviations in pixels of the Gaussians that objects are looked for with."""

USUAL = 256 * 256
"""Pixels of the images that limits were fixed on."""

_STRENGTH = 0.5  # standard deviations of noise: a weaker residual is not measured by itself
_CLIP = 5.0  # standard deviations of noise: a hot pixel that was taken away counts no more than that


@dataclass(frozen=True)
class Structure:
    """What stands out of the residual."""

    largest: float
    """The largest value of the smoothed residual, in standard deviations of noise: above 0 where brightness was taken
    away that the data hold, below where some was added that they do not."""

    at: tuple[int, ...]
    """Where that is: row and column, or depth, row and column."""

    width: float
    """Pixels across, about, of what stands out there: twice the Gaussian's standard deviation that shows it best."""

    spread: float
    """Root mean square of the smoothed residual over the image, largest over the sizes: 1 where it is noise alone."""

    pixels: int = USUAL
    """Of the image: the more there are, the further chance reaches somewhere."""

    def rarity(self) -> float:
        """Return the size of ``largest`` as a value that is as rare among ``USUAL`` pixels."""
        return math.sqrt(max(self.largest**2 - 2 * math.log(max(self.pixels / USUAL, 1.0)), 0.0))


def deviations(
    noisy: NDArray[np.float64],
    denoised: NDArray[np.float64],
    model: NoiseModel,
    neighbours: Sequence[float],
    smoothing: float,
) -> NDArray[np.float64]:
    """Return the smoothed residual in standard deviations of noise; see ``find_structure``.

    The noise is that at the mean of the noisy and the denoised intensity, both smoothed alike. Where noise grows with
    intensity, the noisy intensity alone makes a dark place by chance look rarer than a bright one, and the denoised
    intensity alone the other way round; at the mean, the difference is that of the square roots of the two intensities,
    whose noise is the same everywhere (Anscombe, Biometrika 35, 1948, https://doi.org/10.1093/biomet/35.3-4.246).
    """
    clipped = np.clip((noisy - denoised) / noise_at((noisy + denoised) / 2, model, smoothing), -_CLIP, _CLIP)
    excess = math.prod(math.sqrt((1 + r) / (1 - r)) for r in np.clip(neighbours, 0, 0.95))
    smooth = deviation_map(clipped, np.zeros_like(clipped), smoothing=smoothing)
    # The map's unit is the residual's own strength: where hardly anything was taken away, what is small looks large.
    return np.asarray(smooth / excess * min(float(clipped.std()) / _STRENGTH, 1.0), np.float64)


def find_structure(
    noisy: NDArray[np.float64], denoised: NDArray[np.float64], model: NoiseModel, neighbours: Sequence[float]
) -> Structure:
    """Return what stands out of a residual.

    Parameters
    ----------
    noisy, denoised : ndarray, (H, W) or (D, H, W)
        In the same units.
    model : NoiseModel
        The camera's noise by intensity.
    neighbours : sequence of float
        Correlation of the noise of neighbours, one an axis: what smoothing leaves of correlated noise is more than of
        white noise, as of noise whose correlation falls by that factor from pixel to pixel.
    """
    found = []
    for smoothing in SMOOTHINGS:
        smooth = deviations(noisy, denoised, model, neighbours, smoothing)
        largest = largest_deviation(smooth)
        spread = float(np.sqrt(np.mean(smooth**2)))
        found.append(Structure(float(smooth[largest.at]), largest.at, 2 * smoothing, spread, noisy.size))
    best = max(found, key=lambda each: abs(each.largest))
    return replace(best, spread=max(each.spread for each in found))


def neighbour_correlation(residual: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the correlation of neighbouring pixels of a residual along each axis; 0 of a constant one."""
    values = np.clip(residual, -_CLIP, _CLIP)
    values = values - values.mean()
    power = float(np.mean(values**2))
    if power == 0:
        return tuple(0.0 for _ in range(values.ndim))
    along = [np.moveaxis(values, axis, 0) for axis in range(values.ndim)]
    return tuple(float(np.mean(each[1:] * each[:-1])) / power if len(each) > 1 else 0.0 for each in along)
