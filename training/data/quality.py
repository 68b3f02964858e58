"""What a user should know about her pairs before she trains on them, each with its figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.sample import Sample

_LOOKED_AT = 12
_CEILINGS = (1, 255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits, and of floats in [0, 1]
_SHIFT = 0.75  # pixels: what smoothing and noise leave uncertain lies below
_ALIKE = 0.5  # correlation of the blurred images; real pairs had 0.78 and more, strangers mostly below 0.5
_ENOUGH = 64  # pixels: by chance, blurred images that are smaller look alike
_SATURATED = 1e-4


@dataclass(frozen=True)
class _Seen:
    """What is kept of a plane that was looked at."""

    top: float
    saturated: float
    """Share of the pixels at ``top``, where that is a ceiling of cameras or files; else 0."""

    fills_its_type: bool


def inspect(samples: Sequence[Sample]) -> list[str]:
    """Look at up to twelve pairs, evenly spread, and return a line for each thing that may spoil training.

    Pairs that show different things or are shifted (cross-correlation of the smoothed images), saturated pixels, and
    files that were each scaled on their own (each reaches exactly from 0 to the largest value; that says nothing of
    saturation). One pair at a time is in memory.
    """
    chosen = [samples[number] for number in np.unique(np.linspace(0, len(samples) - 1, _LOOKED_AT).astype(int))]
    names = [sample.name for sample in chosen]
    laid, noisy, clean = zip(*(_look(sample) for sample in chosen), strict=True)
    seen = {"noisy": noisy, "clean": clean}
    scaled = [which for which, images in seen.items() if len(images) > 2 and all(one.fills_its_type for one in images)]
    found = [
        _strange(names, laid),
        _shifted(names, laid),
        *(_saturated(which, names, images) for which, images in seen.items() if which not in scaled),
        _scaled(scaled, len(chosen), seen[scaled[0]][0].top) if scaled else None,
    ]
    return [line for line in found if line]


@dataclass(frozen=True)
class Laid:
    """How a noisy image lies on its clean one.

    Attributes
    ----------
    down, right : float
        Pixels that the noisy image must move to lie on the clean one.
    likeness : float
        Correlation of the two, smoothed and laid over each other; at most 1.
    """

    down: float
    right: float
    likeness: float

    @property
    def off(self) -> float:
        """Length of the shift in pixels; 0 where the images resemble each other in no place."""
        return float(np.hypot(self.down, self.right)) if self.likeness >= _ALIKE else 0.0


def lay(noisy: NDArray[Any], clean: NDArray[Any]) -> Laid | None:
    """Lay a noisy image on its clean one; None where nothing can be said: they are too small, or one is flat.

    Sub-pixel cross-correlation of Guizar-Sicairos et al., Optics Letters 33, 156 (2008), after a Gaussian blur.
    """
    from scipy.ndimage import fourier_shift, gaussian_filter
    from skimage.registration import phase_cross_correlation

    smooth = [gaussian_filter(_middle(image).astype(np.float64), 2) for image in (clean, noisy)]
    if min(smooth[0].shape) < _ENOUGH or any(image.std() == 0 for image in smooth):
        return None
    height, width = smooth[0].shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    ready = [(image - np.average(image, weights=window)) * window for image in smooth]
    moved, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
        ready[0], ready[1], upsample_factor=10, normalization=None
    )
    laid_over = np.fft.ifft2(fourier_shift(np.fft.fft2(ready[1]), moved)).real
    likeness = (ready[0] * laid_over).sum() / np.sqrt((ready[0] ** 2).sum() * (laid_over**2).sum())
    return Laid(float(moved[0]), float(moved[1]), float(likeness))


def _middle(image: NDArray[Any], size: int = 512) -> NDArray[Any]:
    top, left = (max(0, (length - size) // 2) for length in image.shape)
    return image[top : top + size, left : left + size]


def _look(sample: Sample) -> tuple[Laid | None, _Seen, _Seen]:
    """Return how a pair lies on each other, and what is kept of its planes; the planes are let go."""
    noisy, clean = sample.noisy[0].read(), sample.truth.read()
    return lay(noisy, clean), _seen(noisy), _seen(clean)


def _seen(image: NDArray[Any]) -> _Seen:
    floats = image.dtype.kind == "f"
    top, largest = float(image.max()), 1.0 if floats else float(np.iinfo(image.dtype).max)
    at_ceiling = top in _CEILINGS if floats else top == largest or (top in _CEILINGS and top > 1)
    share = float((image == image.max()).mean()) if at_ceiling else 0.0
    return _Seen(top, share, float(image.min()) == 0 and top == largest)


def _strange(names: Sequence[str], laid: Sequence[Laid | None]) -> str | None:
    told = {name: one.likeness for name, one in zip(names, laid, strict=True) if one is not None}
    strange = [name for name, likeness in told.items() if likeness < _ALIKE]
    if not strange:
        return None
    worst = min(strange, key=told.__getitem__)
    return (
        f"{len(strange)} of {len(names)} pairs looked at show little in common, least {worst} with a correlation of "
        f"{told[worst]:.2f} once smoothed: do their names belong together?"
    )


def _shifted(names: Sequence[str], laid: Sequence[Laid | None]) -> str | None:
    lengths = [0.0 if one is None else one.off for one in laid]
    off = [number for number, length in enumerate(lengths) if length >= _SHIFT]
    if not off:
        return None
    worst = max(off, key=lengths.__getitem__)
    return (
        f"{len(off)} of {len(names)} pairs looked at are shifted against each other, median "
        f"{np.median([lengths[number] for number in off]):.1f} px, most {names[worst]} by {lengths[worst]:.1f} px: "
        "register them, or the network learns to blur"
    )


def _saturated(which: str, names: Sequence[str], images: Sequence[_Seen]) -> str | None:
    worst = max(range(len(images)), key=lambda number: images[number].saturated)
    if images[worst].saturated < _SATURATED:
        return None
    count = sum(image.saturated >= _SATURATED for image in images)
    return (
        f"{count} of {len(images)} {which} images looked at are saturated, most {names[worst]} with "
        f"{100 * images[worst].saturated:.2g} % of its pixels at {images[worst].top:g}: intensities there are lost"
    )


def _scaled(which: Sequence[str], count: int, top: float) -> str:
    return (
        f"all {count} {' and '.join(which)} images looked at reach exactly from 0 to {top:g}: each file was scaled "
        "on its own; where the recipe does not say so yet, `intensity_fit`=image fits each clean image onto its "
        "noisy one"
    )
