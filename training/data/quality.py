"""What a user should know about the images before training, each finding with its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.sample import Sample

_INSPECTED = 12  # samples, evenly spread
_CEILINGS = (1, 255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits, and of floats in [0, 1]
_SHIFT = 0.75  # pixels: what smoothing and noise leave uncertain lies below
_CORRELATED = 0.5  # of smoothed images: real pairs had 0.78 and more, unrelated images mostly below 0.5
_LARGE_ENOUGH = 64  # pixels: by chance, smoothed images that are smaller look alike
_SATURATED = 1e-4  # of the pixels
_MIDDLE = 512  # pixels a side that are registered


@dataclass(frozen=True)
class _Plane:
    """What is kept of an image that was inspected."""

    low: float
    high: float
    saturated: float
    """Share of the pixels at ``high``, where that is a ceiling of cameras or files; else 0."""

    fills_its_type: bool


def inspect(samples: Sequence[Sample]) -> list[str]:
    """Look at up to twelve samples, evenly spread, and return a line for each thing that may spoil training.

    Images of one value everywhere, pairs that show different things or are shifted, saturated pixels, and files that
    were each scaled by themselves (each reaches exactly from 0 to the largest value of its type, which says nothing of
    saturation). One sample at a time is in memory.
    """
    chosen = [samples[number] for number in np.unique(np.linspace(0, len(samples) - 1, _INSPECTED).astype(int))]
    correlations: dict[str, float] = {}
    shifts: dict[str, float] = {}
    planes: dict[str, dict[str, _Plane]] = {"noisy": {}, "clean": {}}
    for sample in chosen:
        seen, registered = _seen(sample)
        for found, plane in zip(planes.values(), seen, strict=False):
            found[sample.name] = plane
        if registered is not None:
            shifts[sample.name], correlations[sample.name] = registered
    lines = []
    for which, found in planes.items():
        dead = [name for name, plane in found.items() if plane.low == plane.high]
        if dead:
            lines.append(
                f"{len(dead)} of {len(found)} {which} images inspected are {found[dead[0]].low:g} everywhere, first "
                f"{dead[0]}: nothing is learned from them, leave them out"
            )
            planes[which] = {name: plane for name, plane in found.items() if name not in dead}
    pairs = f"of {len(chosen)} pairs inspected"
    unrelated = {name: value for name, value in correlations.items() if value < _CORRELATED}
    if unrelated:
        worst = min(unrelated, key=unrelated.__getitem__)
        lines.append(
            f"{len(unrelated)} {pairs} show little in common, least {worst} with a correlation of "
            f"{unrelated[worst]:.2f} once smoothed: do their names belong together?"
        )
    shifted = {name: shift for name, shift in shifts.items() if shift >= _SHIFT and name not in unrelated}
    if shifted:
        worst, middle = max(shifted, key=shifted.__getitem__), np.median(list(shifted.values()))
        lines.append(
            f"{len(shifted)} {pairs} are shifted against each other, median {middle:.1f} px, most {worst} by "
            f"{shifted[worst]:.1f} px: register them, or the network learns to blur"
        )
    scaled = [
        which for which, found in planes.items() if len(found) > 2 and all(one.fills_its_type for one in found.values())
    ]
    for which, found in planes.items():
        saturated = {name: plane.saturated for name, plane in found.items() if plane.saturated >= _SATURATED}
        if saturated and which not in scaled:
            worst = max(saturated, key=saturated.__getitem__)
            lines.append(
                f"{len(saturated)} of {len(found)} {which} images inspected are saturated, most {worst} with "
                f"{100 * saturated[worst]:.2g} % of its pixels at {found[worst].high:g}: intensities there are lost"
            )
    if scaled:
        found = planes[scaled[0]]
        lines.append(
            f"all {len(found)} {' and '.join(scaled)} images inspected reach exactly from 0 to "
            f"{next(iter(found.values())).high:g}: each file was scaled by itself; where the recipe does not say so "
            "yet, `intensity_fit`=image fits each clean image onto its noisy one"
        )
    return lines


def register(noisy: NDArray[Any], clean: NDArray[Any]) -> tuple[float, float] | None:
    """Return the shift of the middle of a noisy image (H, W) from its clean one, in pixels, and their correlation then.

    Sub-pixel cross-correlation of Guizar-Sicairos et al., Optics Letters 33, 156 (2008), after a median filter, which
    removes hot pixels, and a Gaussian blur. None where the images are too small, or one is constant.
    """
    from scipy.ndimage import fourier_shift, gaussian_filter, median_filter
    from skimage.registration import phase_cross_correlation

    middles = []
    for image in (clean, noisy):
        top, left = (max(0, (length - _MIDDLE) // 2) for length in image.shape)
        middles.append(image[top : top + _MIDDLE, left : left + _MIDDLE].astype(np.float64))
    if min(middles[0].shape) < _LARGE_ENOUGH:
        return None
    smooth = [gaussian_filter(median_filter(image, 3), 2) for image in middles]
    if any(image.std() == 0 for image in smooth):
        return None
    height, width = smooth[0].shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    ready = [(image - np.average(image, weights=window)) * window for image in smooth]
    shift, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
        ready[0], ready[1], upsample_factor=10, normalization=None
    )
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(ready[1]), shift)).real
    correlation = (ready[0] * moved).sum() / np.sqrt((ready[0] ** 2).sum() * (moved**2).sum())
    return float(np.hypot(*shift)), float(correlation)


def _seen(sample: Sample) -> tuple[list[_Plane], tuple[float, float] | None]:
    """Return what the noisy and the clean image of a sample show; their pixels are let go."""
    images = [source.read() for source in (sample.noisy[0], sample.clean) if source is not None]
    middles = [image if image.ndim == 2 else image[len(image) // 2] for image in images]
    return [_plane(image) for image in images], register(*middles) if sample.clean is not None else None


def _plane(image: NDArray[Any]) -> _Plane:
    floats = image.dtype.kind == "f"
    low, high = float(image.min()), float(image.max())
    largest = 1.0 if floats else float(np.iinfo(image.dtype).max)
    at_ceiling = high in _CEILINGS if floats else high == largest or (high in _CEILINGS and high > 1)
    return _Plane(low, high, float((image == high).mean()) if at_ceiling else 0.0, low == 0 and high == largest)
