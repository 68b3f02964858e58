"""What the calibration's constants are measured with: intensities, noise, and a short search on training pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics import fit_affine, noise_level
from training.settings import IntensityFit, Recipe

if TYPE_CHECKING:
    from torch import nn

    from training.datasets import Pair
    from training.networks import Network

MARGIN = 32
"""Pixels of mirrored image around a network that sees farther: zeros at the edge would shine in from there."""

_SAMPLE = 2_000_000  # pixels of the whole training set that intensities and noise are measured on
_BINS = 64  # of intensity, for the noise model
_LEVELS = (8.0, 11.0, 14.0, 19.0, 25.0, 34.0)  # of 255: what the residual noise becomes in the denoiser's units
_SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0)  # noise map over residual noise
_ANCHORS = (0.0, 0.5, 1.0)  # where the range of intensities lies in [0, 1]: at its bottom, middle, top
_REFINED = (0.87, 0.93, 1.0, 1.07, 1.15)
_EQUAL = 0.15  # dB
_CROP = 72
_SMALL_NETWORK = 5_000_000  # parameters: what has more is searched on fewer pixels


def fit_intensity(noisy: ArrayLike, clean: ArrayLike) -> tuple[float, float]:
    """Return (slope, offset) of ``slope * clean + offset``, the least squares fit of the clean onto the noisy image."""
    return fit_affine(clean, noisy)


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


@dataclass(frozen=True)
class Constants:
    """All arguments of ``Calibrated`` but the denoiser."""

    transform: str = "affine"
    statistics: str = "dataset"
    noise_map: bool = False
    multiple: int = 1
    margin: int = 0
    offset: float = 0.0
    scale: float = 1.0
    pedestal: float = 0.0
    gain: float = 1.0
    read_noise: float = 0.0
    sigma: float = 0.0

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``Calibrated``."""
        return asdict(self)


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
        fits.append(fit_intensity(noisy, clean))
        noises.append(noise_level(noisy))
        shapes.add((noisy.shape[0], noisy.shape[1]))
        progress()
    intensity = _intensity(mode, noisy_pixels, clean_pixels, fits)
    scaled = fits if mode == "image" else [(intensity.slope, intensity.offset)] * len(fits)
    x = np.concatenate([slope * clean + offset for clean, (slope, offset) in zip(clean_pixels, scaled, strict=True)])
    y = np.concatenate(noisy_pixels)
    low, high = (float(value) for value in np.percentile(y, [0.1, 99.9]))
    model = fit_noise(y, x)
    return Survey(
        low=low,
        high=high,
        clean_extent=float(np.ptp(np.percentile(np.concatenate(clean_pixels), [0.1, 99.9]))) or 1.0,
        mean=float(np.mean([pixels.mean() for pixels in noisy_pixels])),
        deviation=float(np.mean([pixels.std() for pixels in noisy_pixels])),
        noise=float(np.median(noises)),
        residual=float(np.sqrt(np.mean(model.variance(x)))),
        intensity=intensity,
        model=model,
        shape=(min(height for height, _ in shapes), min(width for _, width in shapes)),
        uniform=len(shapes) == 1,
    )


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


def estimate(
    seen: Survey,
    pairs: Sequence[Pair],
    denoiser: nn.Module,
    network: Network,
    recipe: Recipe,
    *,
    pretrained: bool,
    radius: int | None,
    quick: bool = False,
    progress: Callable[[str], object] = lambda what: None,
) -> Constants:
    """Choose the map into the denoiser's range, and its constants.

    A pre-trained denoiser expects noise of a certain level in images of a certain range: both transforms at several
    levels of residual noise, with the intensities at the bottom, the middle and the top of [0, 1], are tried on a few
    crops of training pairs, and the best mean PSNR wins. A denoiser from scratch expects nothing: intensities are
    mapped onto [0, 1], after an Anscombe transform where the noise grows with the signal.

    Parameters
    ----------
    seen : Survey
        Of the same pairs.
    pairs : sequence of Pair
        The training pairs.
    denoiser : nn.Module
        The bare network with the weights that training starts from, on the device where the search runs.
    network : Network
        Its registry entry.
    recipe : Recipe
        ``transform``, ``statistics``, ``sigma`` and ``seed`` count here.
    pretrained : bool
        Whether the weights are worth a search.
    radius : int or None
        The network's receptive radius in pixels.
    quick : bool
        Whether the search computes in bfloat16.
    progress : callable
        Called with the transform's name after each trial.
    """
    margin = MARGIN if radius is None else min(radius, MARGIN)
    base = Constants(
        statistics=recipe.statistics,
        noise_map=network.noise_map,
        multiple=network.stride,
        margin=-(-margin // network.stride) * network.stride,
    )
    maps = _maps(seen, recipe)
    if not pretrained:
        return _place(base, seen, recipe, transform=maps[-1])
    score = _Trial(pairs, seen.intensity, denoiser, recipe, progress, quick=quick)

    def best(candidates: Iterable[_Choice]) -> _Choice:
        return max(candidates, key=lambda choice: score(_place(base, seen, recipe, **asdict(choice))))

    choice = best(_Choice(transform, level) for transform in maps for level in _LEVELS)
    if network.noise_map and recipe.sigma is None:
        choice = best(replace(choice, ratio=ratio) for ratio in _SIGMAS)
    choice = best(replace(choice, anchor=anchor) for anchor in _ANCHORS)
    refined = [replace(choice, level=choice.level * factor) for factor in _REFINED]
    scores = [score(_place(base, seen, recipe, **asdict(trial))) for trial in refined]
    # Noise above what the denoiser knows stays in the image: of levels that are as good, the lowest is the safe one.
    choice = next(trial for trial, found in zip(refined, scores, strict=True) if found >= max(scores) - _EQUAL)
    return _place(base, seen, recipe, **asdict(choice))


@dataclass(frozen=True)
class _Choice:
    """What the search turns: transform, residual noise of 255, place of the intensities, noise map over noise."""

    transform: str
    level: float
    anchor: float = 0.5
    ratio: float = 1.0


class _Trial:
    """Mean PSNR of a calibration over a few crops, each calibration tried once."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        intensity: Intensity,
        denoiser: nn.Module,
        recipe: Recipe,
        progress: Callable[[str], object],
        *,
        quick: bool,
    ) -> None:
        self.half = quick
        small = sum(p.numel() for p in denoiser.parameters()) < _SMALL_NETWORK
        self.crops = list(_crops(pairs, intensity, recipe.seed, 24 if small else 8))
        self.denoiser = denoiser
        self.progress = progress
        self.known: dict[Constants, float] = {}

    def __call__(self, constants: Constants) -> float:
        import torch

        from training.calibration import Calibrated

        if constants not in self.known:
            model = Calibrated(self.denoiser, **replace(constants, margin=0).arguments()).eval()
            device = next(self.denoiser.parameters()).device
            model.to(device)
            errors = []
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.half):
                for noisy, clean in self.crops:
                    denoised = model(torch.from_numpy(noisy)[None, None].to(device))[0, 0].cpu().numpy()
                    errors.append(float(np.mean((denoised.astype(np.float64) - clean) ** 2)))
            score = float(np.mean(-10 * np.log10(np.maximum(errors, 1e-30))))
            self.known[constants] = score if np.isfinite(score) else -np.inf
            self.progress(constants.transform)
        return self.known[constants]


def _crops(
    pairs: Sequence[Pair], intensity: Intensity, seed: int, count: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield noisy and clean crops, each from an image of its own as long as there are so many."""
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(pairs))
    for index in np.resize(order, count):
        noisy, clean = pairs[int(index)].read()
        clean = intensity.apply(noisy, clean)
        top, left = (int(rng.integers(max(size - _CROP, 0) + 1)) for size in noisy.shape)
        place = slice(top, top + _CROP), slice(left, left + _CROP)
        yield np.ascontiguousarray(noisy[place]), clean[place]


def _maps(seen: Survey, recipe: Recipe) -> list[str]:
    """Return the transforms to try; the last is the better guess without trying."""
    if recipe.transform != "auto":
        return [recipe.transform]
    low, high = seen.model.variance([seen.low, seen.high])
    depends = recipe.statistics == "dataset" and seen.model.gain > 0 and high > 2 * low
    return ["affine", "anscombe"] if depends else ["affine"]


def _place(
    base: Constants,
    seen: Survey,
    recipe: Recipe,
    *,
    transform: str,
    level: float | None = None,
    anchor: float = 0.5,
    ratio: float = 1.0,
) -> Constants:
    """Return constants with the residual noise at ``level`` / 255, or the intensities over [0, 1] without a level."""
    noise = max(seen.residual, (seen.high - seen.low) * 1e-4, 1e-9)
    low, high, mean, deviation = seen.low, seen.high, seen.mean, seen.deviation
    if transform == "anscombe":
        # A gain of nothing is no transform: a photon then is a thousandth of the noise.
        gain = max(seen.model.gain, noise * 1e-3)
        base = replace(
            base, transform=transform, pedestal=seen.model.pedestal, gain=gain, read_noise=seen.model.read_noise
        )
        below, above = (_stabilised(base, mean + sign * deviation) for sign in (-1, 1))
        low, high, mean = (_stabilised(base, value) for value in (low, high, mean))
        deviation = (above - below) / 2  # near enough: with statistics of each image the search goes on from there
        noise = 1.0
    extent = max(high - low, noise)
    scale = extent if level is None else noise * 255 / level
    offset = low - anchor * (scale - extent)
    if recipe.statistics == "instance":
        deviation = max(deviation, 1e-9)
        offset, residual_scale = (offset - mean) / deviation, scale / deviation
    else:
        residual_scale = scale
    sigma = 0.0
    if base.noise_map:
        sigma = recipe.sigma / 255 if recipe.sigma is not None else ratio * noise / scale
    return replace(base, offset=float(offset), scale=float(residual_scale), sigma=float(sigma))


def _stabilised(constants: Constants, value: float) -> float:
    """Return the generalised Anscombe transform of a value, as ``Calibrated`` has it."""
    gain, pedestal, read_noise = constants.gain, constants.pedestal, constants.read_noise
    return float(2 / gain * np.sqrt(max(gain * (value - pedestal) + 0.375 * gain**2 + read_noise**2, 0.0)))


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
