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
_SATURATED = 1e-4


@dataclass(frozen=True)
class Registration:
    """How a noisy image must be moved to lie on its clean one.

    Attributes
    ----------
    y, x : float
        Shift in pixels.
    correlation : float
        Of the two smoothed images, one moved onto the other; at most 1.
    """

    y: float
    x: float
    correlation: float

    @property
    def distance(self) -> float:
        """Length of the shift in pixels; 0 where the images are not correlated in any place."""
        return float(np.hypot(self.y, self.x)) if self.correlation >= _CORRELATED else 0.0


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
    registered: dict[str, Registration] = {}
    planes: dict[str, dict[str, _Plane]] = {"noisy": {}, "clean": {}}
    for sample in chosen:
        _inspect(sample, registered, planes)
    alive = {
        which: {name: plane for name, plane in found.items() if plane.low < plane.high}
        for which, found in planes.items()
    }
    scaled = [
        which for which, found in alive.items() if len(found) > 2 and all(one.fills_its_type for one in found.values())
    ]
    lines = [
        *(_constant(which, found) for which, found in planes.items()),
        _unrelated(registered, len(chosen)),
        _shifted(registered, len(chosen)),
        *(_saturated(which, found) for which, found in alive.items() if which not in scaled),
        _scaled(scaled, alive),
    ]
    return [line for line in lines if line]


def register(noisy: NDArray[Any], clean: NDArray[Any]) -> Registration | None:
    """Register the middle of a noisy image (H, W) to its clean one.

    Sub-pixel cross-correlation of Guizar-Sicairos et al., Optics Letters 33, 156 (2008), after a median filter, which
    removes hot pixels, and a Gaussian blur. None where the images are too small, or one is constant.
    """
    from scipy.ndimage import fourier_shift, gaussian_filter, median_filter
    from skimage.registration import phase_cross_correlation

    middles = [_middle(image).astype(np.float64) for image in (clean, noisy)]
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
    return Registration(float(shift[0]), float(shift[1]), float(correlation))


def _middle(image: NDArray[Any], size: int = 512) -> NDArray[Any]:
    top, left = (max(0, (length - size) // 2) for length in image.shape)
    return image[top : top + size, left : left + size]


def _inspect(sample: Sample, registered: dict[str, Registration], planes: dict[str, dict[str, _Plane]]) -> None:
    """Note what a sample shows; its pixels are let go."""
    noisy = sample.noisy[0].read()
    planes["noisy"][sample.name] = _plane(noisy)
    if sample.clean is None:
        return
    clean = sample.clean.read()
    planes["clean"][sample.name] = _plane(clean)
    middle = sample.shape[0] // 2
    found = register(noisy, clean) if noisy.ndim == 2 else register(noisy[middle], clean[middle])
    if found is not None:
        registered[sample.name] = found


def _plane(image: NDArray[Any]) -> _Plane:
    floats = image.dtype.kind == "f"
    low, high = float(image.min()), float(image.max())
    largest = 1.0 if floats else float(np.iinfo(image.dtype).max)
    at_ceiling = high in _CEILINGS if floats else high == largest or (high in _CEILINGS and high > 1)
    return _Plane(low, high, float((image == high).mean()) if at_ceiling else 0.0, low == 0 and high == largest)


def _constant(which: str, planes: dict[str, _Plane]) -> str | None:
    found = [name for name, plane in planes.items() if plane.low == plane.high]
    if not found:
        return None
    return (
        f"{len(found)} of {len(planes)} {which} images inspected are {planes[found[0]].low:g} everywhere, first "
        f"{found[0]}: nothing is learned from them, leave them out"
    )


def _unrelated(registered: dict[str, Registration], count: int) -> str | None:
    found = {name: one.correlation for name, one in registered.items() if one.correlation < _CORRELATED}
    if not found:
        return None
    worst = min(found, key=found.__getitem__)
    return (
        f"{len(found)} of {count} pairs inspected show little in common, least {worst} with a correlation of "
        f"{found[worst]:.2f} once smoothed: do their names belong together?"
    )


def _shifted(registered: dict[str, Registration], count: int) -> str | None:
    found = {name: one.distance for name, one in registered.items() if one.distance >= _SHIFT}
    if not found:
        return None
    worst = max(found, key=found.__getitem__)
    return (
        f"{len(found)} of {count} pairs inspected are shifted against each other, median "
        f"{np.median(list(found.values())):.1f} px, most {worst} by {found[worst]:.1f} px: "
        "register them, or the network learns to blur"
    )


def _saturated(which: str, planes: dict[str, _Plane]) -> str | None:
    found = {name: plane.saturated for name, plane in planes.items() if plane.saturated >= _SATURATED}
    if not found:
        return None
    worst = max(found, key=found.__getitem__)
    return (
        f"{len(found)} of {len(planes)} {which} images inspected are saturated, most {worst} with "
        f"{100 * found[worst]:.2g} % of its pixels at {planes[worst].high:g}: intensities there are lost"
    )


def _scaled(which: Sequence[str], planes: dict[str, dict[str, _Plane]]) -> str | None:
    if not which:
        return None
    found = list(planes[which[0]].values())
    return (
        f"all {len(found)} {' and '.join(which)} images inspected reach exactly from 0 to {found[0].high:g}: each file "
        "was scaled by itself; where the recipe does not say so yet, `intensity_fit`=image fits each clean image onto "
        "its noisy one"
    )
