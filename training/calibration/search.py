"""The calibration's constants: from what was measured, and a short search on training pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from training.calibration.layer import Calibrated, Constants, stabilise
from training.calibration.risk import NoisyCrop, noise_of
from training.calibration.spline import fit_spline
from training.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

    from training.calibration.statistics import Statistics
    from training.data import Sample
    from training.networks import Network

MARGIN = 32
"""Pixels of mirrored image around a network that sees farther: zeros at the edge would shine in from there."""

_LEVELS = (8.0, 11.0, 14.0, 19.0, 25.0, 34.0)  # of 255: what the residual noise becomes in the denoiser's units
_SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0)  # noise map over residual noise
_POSITIONS = (0.0, 0.5, 1.0)  # where the range of intensities lies in [0, 1]: at its bottom, middle, top
_REFINED = (0.87, 0.93, 1.0, 1.07, 1.15)
_EQUAL, _EQUAL_RISK = 0.15, 0.002  # dB, part of the noise's variance
_CROPS = 24
_CROP = (16, 72, 72)  # pixels along Z, Y, X
_SMALL_NETWORK = 5_000_000  # parameters: what has more is searched on fewer pixels


def find_constants(
    measured: Statistics,
    samples: Sequence[Sample],
    denoiser: nn.Module,
    *,
    network: Network,
    radius: tuple[int, ...] | None,
    pretrained: bool,
    transform: str = "auto",
    statistics: str = "dataset",
    sigma: float | None = None,
    seed: int = 0,
    spline: bool = False,
    quick: bool = False,
    progress: Callable[[str], object] = lambda what: None,
) -> Constants:
    """Choose the map into the denoiser's range, and its constants.

    A pre-trained denoiser expects noise of a certain level in images of a certain range: both transforms at several
    levels of residual noise, with the intensities at the bottom, the middle and the top of [0, 1], are tried on a few
    crops of training pairs, and the best mean PSNR wins; without clean images, the least risk by Stein's estimate, for
    which each image's own noise is measured. A denoiser from scratch expects nothing: intensities are mapped onto
    [0, 1], after an Anscombe transform where the noise grows with the signal; for a standardised network the data set's
    mean becomes 0 and its standard deviation 1, and no transform is added unless one is named.

    Parameters
    ----------
    measured : Statistics
        Of the same samples.
    samples : sequence of Sample
        The training samples; those with a clean image are searched on, or where there is none, all.
    denoiser : nn.Module
        The bare network with the weights that training starts from, on the device where the search runs.
    network : Network
        Its registry entry.
    radius : tuple of int or None
        The network's receptive radius in pixels along each axis.
    pretrained : bool
        Whether the weights are worth a search.
    transform : {"auto", "affine", "anscombe", "spline"}
        The first two are tried with "auto", where the noise grows with the signal; a spline is fitted over the best
        Anscombe transform.
    statistics : {"dataset", "instance"}
        As ``Constants.statistics``.
    sigma : float, optional
        Noise level of the noise map, of 255; searched for by default.
    seed : int
        Of the crops.
    spline : bool
        Whether a spline is tried over the Anscombe transform where that is the best of "auto": it is kept where crops
        that it was not fitted to are the better for it.
    quick : bool
        Whether the search computes in bfloat16.
    progress : callable
        Called with the transform's name after each trial.

    Raises
    ------
    UserError
        Where a spline is wanted and there are no weights to fit it to.
    """
    base = structure(network, radius, statistics)
    transforms = _transforms(measured, transform, statistics)
    if not pretrained:
        if transform == "spline":
            raise SettingError("`transform` spline is fitted to pre-trained weights: give `checkpoint`")
        return _constants(
            base,
            measured,
            sigma,
            transform=transforms[0 if network.standardised else -1],
            standardised=network.standardised,
        )
    score = _Score(_judges(measured, samples, denoiser, seed), denoiser, progress, quick=quick)

    def placed(choice: _Choice) -> Constants:
        return _constants(base, measured, sigma, **asdict(choice))

    def best(candidates: Iterable[_Choice]) -> _Choice:
        return max(candidates, key=lambda choice: score(placed(choice)))

    choice = best(_Choice(name, level) for name in transforms for level in _LEVELS)
    if network.noise_map and sigma is None:
        choice = best(replace(choice, ratio=ratio) for ratio in _SIGMAS)
    choice = best(replace(choice, position=position) for position in _POSITIONS)
    refined = [replace(choice, level=choice.level * factor) for factor in _REFINED]
    scores = [score(placed(trial)) for trial in refined]
    # Noise above what the denoiser knows stays in the image: of levels that are as good, the lowest is the safe one.
    enough = max(scores) - score.equal
    found = placed(next(trial for trial, reached in zip(refined, scores, strict=True) if reached >= enough))
    if transform != "spline" and not (spline and transform == "auto" and found.transform == "anscombe"):
        return found
    ends = stabilise(torch.tensor([measured.low, measured.high]), found.pedestal, found.gain, found.read_noise)
    bent = fit_spline(
        found, denoiser, score.judges[::2], (float(ends[0]), float(ends[1])), quick=quick, progress=progress
    )
    held_out = score.of(score.judges[1::2])
    return bent if transform == "spline" or held_out(bent) > held_out(found) + score.equal else found


def structure(network: Network, radius: tuple[int, ...] | None, statistics: str = "dataset") -> Constants:
    """Return constants of which only what shapes the computation is set: strides, margins, the noise map."""
    reach = (MARGIN,) * len(network.stride) if radius is None else radius
    return Constants(
        statistics=statistics,
        noise_map=network.noise_map,
        multiple=network.stride,
        margin=[-(-min(each, MARGIN) // step) * step for each, step in zip(reach, network.stride, strict=True)],
    )


def risk(
    constants: Constants,
    measured: Statistics,
    samples: Sequence[Sample],
    denoiser: nn.Module,
    *,
    seed: int = 0,
    quick: bool = False,
) -> float:
    """Return what error is expected of a calibrated denoiser, as a part of the noise's variance, by noisy images alone.

    The parameters are those of ``find_constants``; the crops are those that it chose by.
    """
    alone = [replace(sample, clean=None) for sample in samples]
    return -_Score(_judges(measured, alone, denoiser, seed), denoiser, lambda what: None, quick=quick)(constants)


@dataclass(frozen=True)
class _Choice:
    """What the search varies: transform, residual noise of 255, place of the intensities, noise map over noise."""

    transform: str
    level: float
    position: float = 0.5
    ratio: float = 1.0


class _Score:
    """What a calibration gains over a few crops, each calibration tried once."""

    def __init__(
        self,
        judges: Sequence[_Pair | NoisyCrop],
        denoiser: nn.Module,
        progress: Callable[[str], object],
        *,
        quick: bool,
    ) -> None:
        self.quick = quick
        self.device = next(denoiser.parameters()).device
        self.judges = [judge.to(self.device) for judge in judges]
        self.paired = isinstance(self.judges[0], _Pair)
        self.equal = _EQUAL if self.paired else _EQUAL_RISK
        self.denoiser = denoiser
        self.progress = progress
        self.known: dict[Constants, float] = {}

    def of(self, judges: Sequence[_Pair | NoisyCrop]) -> _Score:
        """Return the score over other crops."""
        return _Score(judges, self.denoiser, self.progress, quick=self.quick)

    def __call__(self, constants: Constants) -> float:
        """Return the mean PSNR over pairs but for a constant, or minus the mean risk of noisy crops."""
        if constants not in self.known:
            model = Calibrated(self.denoiser, replace(constants, margin=0)).eval().to(self.device)
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.quick):
                risks = np.array([float(judge.risk(model)) for judge in self.judges])
            # Of noisy crops the risk is uncertain by the same in all calibrations: a difference tells, not a ratio.
            score = float(np.mean(-10 * np.log10(np.maximum(risks, 1e-30)) if self.paired else -risks))
            self.known[constants] = score if np.isfinite(score) else -np.inf
            self.progress(constants.transform)
        return self.known[constants]


@dataclass(frozen=True)
class _Pair:
    """A noisy crop and its clean one, (1, 1, *space)."""

    image: torch.Tensor
    clean: torch.Tensor

    def risk(self, denoise: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return the mean square error."""
        return ((denoise(self.image).double() - self.clean) ** 2).mean()

    def to(self, device: torch.device) -> _Pair:
        return _Pair(self.image.to(device), self.clean.to(device))


def _judges(
    measured: Statistics, samples: Sequence[Sample], denoiser: nn.Module, seed: int
) -> list[_Pair] | list[NoisyCrop]:
    """Return crops to judge by, each from an image of its own as long as there are so many: pairs if there are any."""
    small = sum(p.numel() for p in denoiser.parameters()) < _SMALL_NETWORK
    pairs = [sample for sample in samples if sample.clean is not None]
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(pairs or samples))
    chosen = [(pairs or samples)[int(index)] for index in np.resize(order, _CROPS if small else _CROPS // 3)]
    if not pairs:
        noise = {sample.name: noise_of(sample.frame(), measured) for sample in chosen}
        return [
            NoisyCrop.of(_crop(rng, sample.frame())[0], *noise[sample.name], np.random.default_rng([seed, 2, number]))
            for number, sample in enumerate(chosen)
        ]
    found = []
    for sample in chosen:
        noisy, clean = sample.pair()
        crops = _crop(rng, noisy, measured.intensity.apply(noisy, clean))
        found.append(_Pair(*(torch.from_numpy(crop)[None, None] for crop in crops)))
    return found


def _crop(rng: np.random.Generator, *images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the same part of images of one shape."""
    shape = images[0].shape
    sides = _CROP[-len(shape) :]
    starts = [int(rng.integers(max(size - side, 0) + 1)) for size, side in zip(shape, sides, strict=True)]
    place = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return [np.ascontiguousarray(image[place]) for image in images]


def _transforms(measured: Statistics, transform: str, statistics: str) -> list[str]:
    """Return the transforms to try; the last is the better guess without trying."""
    if transform != "auto":
        return ["anscombe" if transform == "spline" else transform]
    low, high = measured.model.variance([measured.low, measured.high])
    depends = statistics == "dataset" and measured.model.gain > 0 and high > 2 * low
    return ["affine", "anscombe"] if depends else ["affine"]


def _constants(
    base: Constants,
    measured: Statistics,
    sigma: float | None,
    *,
    transform: str,
    level: float | None = None,
    position: float = 0.5,
    ratio: float = 1.0,
    standardised: bool = False,
) -> Constants:
    """Return constants with the residual noise at ``level`` / 255, or without a level the intensities over [0, 1].

    Of standardised intensities the mean is 0 and the standard deviation 1.
    """
    noise = max(measured.residual, (measured.high - measured.low) * 1e-4, 1e-9)
    low, high, mean, deviation = measured.low, measured.high, measured.mean, measured.deviation
    if transform == "anscombe":
        # A gain of nothing is no transform: a photon then is a thousandth of the noise.
        camera = measured.model.pedestal, max(measured.model.gain, noise * 1e-3), measured.model.read_noise
        base = replace(base, transform=transform, pedestal=camera[0], gain=camera[1], read_noise=camera[2])
        values = torch.tensor([low, high, mean, mean - deviation, mean + deviation], dtype=torch.float64)
        low, high, mean, below, above = stabilise(values, *camera).tolist()
        deviation = (above - below) / 2  # near enough: with statistics of each image the search goes on from there
        noise = 1.0
    extent = max(high - low, noise)
    scale = extent if level is None else noise * 255 / level
    offset = low - position * (scale - extent)
    if standardised:
        offset, scale = mean, max(deviation, 1e-9)
    if base.noise_map:
        base = replace(base, sigma=sigma / 255 if sigma is not None else ratio * noise / scale)
    if base.statistics == "instance":
        deviation = max(deviation, 1e-9)
        offset, scale = (offset - mean) / deviation, scale / deviation
    return replace(base, offset=offset, scale=scale)
