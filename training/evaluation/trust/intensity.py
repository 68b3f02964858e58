"""Bias and variance of the residual by intensity: shifted or scaled intensities, too much or too little noise taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.calibration.noise import NoiseModel

_BINS = 20  # of equally many pixels, at most
_LEAST = 400  # pixels of a bin
_CLIP = 5.0  # standard deviations: beyond are hot pixels, and lost structure, which is looked for elsewhere
_SMOOTHING = 1.5  # standard deviation in pixels of the Gaussian
_WIDTH = 0.5  # standard deviations of the noise that a bin spans at least
_SATURATED = 0.01  # of a bin's pixels: more at the end of the camera's range, and its noise is cut off


@dataclass(frozen=True)
class ByIntensity:
    """A residual in bins of the denoised intensity; of one length each, in order of intensity."""

    intensity: tuple[float, ...]
    """Mean of the noisy pixels, in image units."""

    noise: tuple[float, ...]
    """Standard deviation of the camera's noise there, in image units."""

    bias: tuple[float, ...]
    """Mean of noisy minus denoised, in standard deviations of the noise: above 0 where the result is too dark."""

    variance: tuple[float, ...]
    """Variance of the residual as a multiple of the camera's: above 1 where more than noise was taken."""


def by_intensity(noisy: NDArray[np.float64], denoised: NDArray[np.float64], model: NoiseModel) -> ByIntensity:
    """Return bias and variance of the residual, of images of one shape, in bins.

    The bins go by the denoised image, smoothed, and are at least half a standard deviation of the noise wide, so that
    noise which it left chooses none; intensity and noise of a bin are those of its noisy pixels, which no fault of the
    denoiser moves. The brightest hundredth makes a bin of its own where it has enough pixels.
    """
    from scipy.ndimage import gaussian_filter

    y, d = noisy.ravel(), denoised.ravel()
    level = gaussian_filter(denoised, _SMOOTHING).ravel()
    order = np.argsort(level, kind="stable")
    brightest = order.size // 100 if order.size // 100 >= _LEAST else 0
    split = order.size - brightest
    parts = np.array_split(order[:split], max(min(_BINS, split // _LEAST), 1))
    bins = [parts[0]]
    for part in parts[1:]:
        narrowest = _WIDTH * float(np.sqrt(model.variance(y[bins[-1]].mean())))
        if level[bins[-1][-1]] - level[bins[-1][0]] < narrowest:
            bins[-1] = np.concatenate([bins[-1], part])
        else:
            bins.append(part)
    bins += [order[split:]] if brightest else []
    saturated = (y == y.max()) | (y == y.min())
    kept = [part for part in bins if saturated[part].mean() <= _SATURATED] or bins
    rows = []
    for part in kept:
        centre = float(y[part].mean())
        noise = float(np.sqrt(max(float(model.variance(centre)), 1e-12)))
        residual = y[part] - d[part]
        spread = max(float(np.median(np.abs(residual - np.median(residual)))) * 1.4826, 1e-12)
        residual = np.clip(residual, *(np.median(residual) + np.array([-1, 1]) * _CLIP * spread))
        rows.append((centre, noise, float(residual.mean()) / noise, float(residual.var()) / noise**2))
    return ByIntensity(*zip(*sorted(rows), strict=True))
