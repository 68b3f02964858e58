"""What the training images are like, measured once: intensities, noise, and how clean fits onto noisy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics import fit_affine, noise_level
from training.settings import IntensityFit

if TYPE_CHECKING:
    import torch

    from training.datasets import Pair

_SAMPLE = 2_000_000  # pixels of the whole training set that intensities and noise are measured on
_BINS = 64  # of intensity, for the noise model


@dataclass(frozen=True)
class Intensity:
    """How clean images are brought onto the noisy ones' scale.

    Attributes
    ----------
    mode : {"dataset", "image", "none"}
        With "image" each pair is fitted by itself, and ``slope`` and ``offset`` are medians, for the record.
    slope, offset : float
        ``slope * clean + offset``, in the units of the noisy images.
    """

    mode: IntensityFit
    slope: float
    offset: float

    def apply(self, noisy: NDArray[np.float32], clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the clean plane (H, W) on the scale of the noisy one; both whole, so that crops agree."""
        slope, offset = fit_intensity(noisy, clean) if self.mode == "image" else (self.slope, self.offset)
        return (slope * clean.astype(np.float64) + offset).astype(np.float32)


@dataclass(frozen=True)
class Range:
    """Intensities of the training images: what losses and validation scores are relative to.

    Attributes
    ----------
    low, extent : float
        0.1 percentile of the noisy images, and from there to the 99.9 percentile.
    """

    low: float
    extent: float

    def scaled(self, image: torch.Tensor) -> torch.Tensor:
        """Return an image with the range mapped onto [0, 1]."""
        return (image - self.low) / self.extent


@dataclass(frozen=True)
class NoiseModel:
    """Noise whose variance at intensity x is ``gain * (x - pedestal) + read_noise**2``, in image units.

    Noise of a straight line has two constants, not three: either the pedestal or the read noise is 0.
    """

    gain: float
    pedestal: float
    read_noise: float

    def variance(self, intensity: ArrayLike) -> NDArray[np.float64]:
        """Return the variance at an intensity; 0 where the line would fall below."""
        x = np.asarray(intensity, dtype=np.float64)
        return np.maximum(self.gain * (x - self.pedestal) + self.read_noise**2, 0.0)


@dataclass(frozen=True)
class Survey:
    """What one look at all training pairs shows, in image units.

    Attributes
    ----------
    low, high : float
        0.1 and 99.9 percentiles of the noisy images.
    clean_extent : float
        From the 0.1 to the 99.9 percentile of the clean images, in their own units; 1 if that is nothing.
    mean, deviation : float
        Of the noisy images: the mean of their means, and of their standard deviations.
    noise : float
        Median over images of ``metrics.noise_level``, what an image shows by itself.
    residual : float
        Root of the mean noise variance as the noise model has it: the noise against the clean images.
    intensity : Intensity
        Clean onto noisy.
    model : NoiseModel
        Noise against intensity.
    shape : tuple of int
        Smallest height and width.
    uniform : bool
        Whether all images are of that shape.
    """

    low: float
    high: float
    clean_extent: float
    mean: float
    deviation: float
    noise: float
    residual: float
    intensity: Intensity
    model: NoiseModel
    shape: tuple[int, int]
    uniform: bool


def survey(
    pairs: Sequence[Pair], mode: IntensityFit, seed: int, progress: Callable[[], object] = lambda: None
) -> Survey:
    """Read every pair once and measure intensities and noise.

    Parameters
    ----------
    pairs : sequence of Pair
        The training pairs.
    mode : {"dataset", "image", "none"}
        How clean images are fitted onto noisy ones.
    seed : int
        Of the pixels that are drawn.
    progress : callable
        Called after each pair.
    """
    rng = np.random.default_rng(seed)
    each = max(_SAMPLE // len(pairs), 1000)
    noisy_pixels: list[NDArray[np.float64]] = []
    clean_pixels: list[NDArray[np.float64]] = []
    fits: list[tuple[float, float]] = []
    noises: list[float] = []
    shapes: set[tuple[int, int]] = set()
    for pair in pairs:
        noisy, clean = pair.read()
        drawn = rng.choice(noisy.size, min(each, noisy.size), replace=False)
        noisy_pixels.append(noisy.ravel()[drawn].astype(np.float64))
        clean_pixels.append(clean.ravel()[drawn].astype(np.float64))
        if mode == "image":
            fits.append(fit_intensity(noisy, clean))
        noises.append(noise_level(noisy))
        shapes.add((noisy.shape[0], noisy.shape[1]))
        progress()
    intensity = _intensity(mode, noisy_pixels, clean_pixels, fits)
    scaled = fits if mode == "image" else [(intensity.slope, intensity.offset)] * len(pairs)
    x = np.concatenate([slope * clean + offset for clean, (slope, offset) in zip(clean_pixels, scaled, strict=True)])
    y = np.concatenate(noisy_pixels)
    low, high = (float(value) for value in np.percentile(y, [0.1, 99.9]))
    model = fit_noise(y, x)
    return Survey(
        low=low,
        high=high,
        clean_extent=float(np.ptp(np.percentile(np.concatenate(clean_pixels), [0.1, 99.9]))),
        mean=float(np.mean([pixels.mean() for pixels in noisy_pixels])),
        deviation=float(np.mean([pixels.std() for pixels in noisy_pixels])),
        noise=float(np.median(noises)),
        residual=float(np.sqrt(np.mean(model.variance(x)))),
        intensity=intensity,
        model=model,
        shape=(min(height for height, _ in shapes), min(width for _, width in shapes)),
        uniform=len(shapes) == 1,
    )


def fit_intensity(noisy: ArrayLike, clean: ArrayLike) -> tuple[float, float]:
    """Return (slope, offset) of ``slope * clean + offset``, the least squares fit of the clean onto the noisy image."""
    return fit_affine(clean, noisy)


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
    variances = np.array([_clipped_variance(y[part] - x[part]) for part in kept])
    counts = np.array([part.size for part in kept], dtype=np.float64)
    # 8-bit files: rounding alone is worth 1/12.
    floor = max(float(variances.max()) * 1e-4, 1e-12)
    fitted = np.maximum(variances, floor)
    slope, intercept = 0.0, float(np.average(fitted, weights=counts))
    for _ in range(10):
        weights = np.sqrt(counts) / fitted
        if np.ptp(centres) > 0:
            slope, intercept = (float(value) for value in np.polyfit(centres, variances, 1, w=weights))
        if slope <= 0:
            slope, intercept = 0.0, float(np.average(variances, weights=weights**2))
        fitted = np.maximum(slope * centres + intercept, floor)
    if slope > 0 and intercept < 0:
        return NoiseModel(slope, -intercept / slope, 0.0)
    return NoiseModel(slope, 0.0, float(np.sqrt(max(intercept, 0.0))))


def _intensity(
    mode: IntensityFit,
    noisy: Sequence[NDArray[np.float64]],
    clean: Sequence[NDArray[np.float64]],
    fits: Sequence[tuple[float, float]],
) -> Intensity:
    if mode == "none":
        return Intensity(mode, 1.0, 0.0)
    if mode == "dataset":
        return Intensity(mode, *fit_intensity(np.concatenate(noisy), np.concatenate(clean)))
    slope, offset = (float(value) for value in np.median(np.array(fits), axis=0))
    return Intensity(mode, slope, offset)


def _clipped_variance(values: NDArray[np.float64]) -> float:
    """Return the variance around the mean, without what lies beyond four standard deviations."""
    for _ in range(3):
        centre, reach = values.mean(), 4 * values.std()
        inside = values[np.abs(values - centre) <= reach]
        if inside.size == values.size:
            break
        values = inside
    return float(values.var())
