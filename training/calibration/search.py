"""The calibration's constants: from what was measured, and a short search on training pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.runs.settings import Recipe

if TYPE_CHECKING:
    from torch import nn

    from training.calibration.intensity import Intensity
    from training.calibration.statistics import Survey
    from training.data import Sample
    from training.networks import Network

MARGIN = 32
"""Pixels of mirrored image around a network that sees farther: zeros at the edge would shine in from there."""

_LEVELS = (8.0, 11.0, 14.0, 19.0, 25.0, 34.0)  # of 255: what the residual noise becomes in the denoiser's units
_SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0)  # noise map over residual noise
_ANCHORS = (0.0, 0.5, 1.0)  # where the range of intensities lies in [0, 1]: at its bottom, middle, top
_REFINED = (0.87, 0.93, 1.0, 1.07, 1.15)
_EQUAL = 0.15  # dB
_CROP = 72
_SMALL_NETWORK = 5_000_000  # parameters: what has more is searched on fewer pixels


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


def estimate(
    seen: Survey,
    samples: Sequence[Sample],
    denoiser: nn.Module,
    network: Network,
    recipe: Recipe,
    *,
    pretrained: bool,
    radius: tuple[int, ...] | None,
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
    samples : sequence of Sample
        The training pairs.
    denoiser : nn.Module
        The bare network with the weights that training starts from, on the device where the search runs.
    network : Network
        Its registry entry.
    recipe : Recipe
        ``transform``, ``statistics``, ``sigma`` and ``seed`` count here.
    pretrained : bool
        Whether the weights are worth a search.
    radius : tuple of int or None
        The network's receptive radius in pixels, along each axis.
    quick : bool
        Whether the search computes in bfloat16.
    progress : callable
        Called with the transform's name after each trial.
    """
    margin, stride = MARGIN if radius is None else min(max(radius), MARGIN), max(network.stride)
    base = Constants(
        statistics=recipe.statistics,
        noise_map=network.noise_map,
        multiple=stride,
        margin=-(-margin // stride) * stride,
    )
    maps = _maps(seen, recipe)
    if not pretrained:
        return _place(base, seen, recipe, transform=maps[-1])
    score = _Trial(samples, seen.intensity, denoiser, recipe, progress, quick=quick)

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
        samples: Sequence[Sample],
        intensity: Intensity,
        denoiser: nn.Module,
        recipe: Recipe,
        progress: Callable[[str], object],
        *,
        quick: bool,
    ) -> None:
        self.half = quick
        small = sum(p.numel() for p in denoiser.parameters()) < _SMALL_NETWORK
        self.crops = list(_crops(samples, intensity, recipe.seed, 24 if small else 8))
        self.denoiser = denoiser
        self.progress = progress
        self.known: dict[Constants, float] = {}

    def __call__(self, constants: Constants) -> float:
        import torch

        from training.calibration.layer import Calibrated

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
    samples: Sequence[Sample], intensity: Intensity, seed: int, count: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield noisy and clean crops, each from an image of its own as long as there are so many."""
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(samples))
    for index in np.resize(order, count):
        noisy, clean = samples[int(index)].pair()
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
