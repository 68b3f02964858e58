"""What a user should know about her pairs before she trains on them, each with its figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.base import Pair

_LOOKED_AT = 12
_CEILINGS = (1, 255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits, and of floats in [0, 1]
_SHIFT = 0.75  # pixels: what smoothing and noise leave uncertain lies below
_ALIKE = 0.5  # correlation of the blurred images; real pairs had 0.78 and more, strangers mostly below 0.5
_ENOUGH = 64  # pixels: by chance, blurred images that are smaller look alike
_SATURATED = 1e-4


def inspect(pairs: Sequence[Pair]) -> list[str]:
    """Look at up to twelve pairs, evenly spread, and return a line for each thing that may spoil training.

    Shifted pairs (cross-correlation of the smoothed images), saturated pixels, and files that were each scaled on
    their own (each reaches exactly from 0 to the largest value).
    """
    chosen = [pairs[number] for number in np.unique(np.linspace(0, len(pairs) - 1, _LOOKED_AT).astype(int))]
    noisy, clean = [pair.noisy() for pair in chosen], [pair.clean() for pair in chosen]
    names = [pair.name for pair in chosen]
    found = [
        _shifted(names, noisy, clean),
        _saturated("noisy", names, noisy),
        _saturated("clean", names, clean),
        _scaled(noisy, clean),
    ]
    return [line for line in found if line]


def shift(noisy: NDArray[Any], clean: NDArray[Any]) -> tuple[float, float]:
    """Return by how many pixels (down, right) the noisy image must move to lie on the clean one.

    Sub-pixel cross-correlation of Guizar-Sicairos et al., Optics Letters 33, 156 (2008), after a Gaussian blur; zero
    where nothing can be said: the images resemble each other in no place, or are too small.
    """
    from scipy.ndimage import fourier_shift, gaussian_filter
    from skimage.registration import phase_cross_correlation

    smooth = [gaussian_filter(_middle(image).astype(np.float64), 2) for image in (clean, noisy)]
    if min(smooth[0].shape) < _ENOUGH or any(image.std() == 0 for image in smooth):
        return 0.0, 0.0
    height, width = smooth[0].shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    ready = [(image - np.average(image, weights=window)) * window for image in smooth]
    moved, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
        ready[0], ready[1], upsample_factor=10, normalization=None
    )
    laid_over = np.fft.ifft2(fourier_shift(np.fft.fft2(ready[1]), moved)).real
    likeness = (ready[0] * laid_over).sum() / np.sqrt((ready[0] ** 2).sum() * (laid_over**2).sum())
    return (float(moved[0]), float(moved[1])) if likeness >= _ALIKE else (0.0, 0.0)


def _middle(image: NDArray[Any], size: int = 512) -> NDArray[Any]:
    top, left = (max(0, (length - size) // 2) for length in image.shape)
    return image[top : top + size, left : left + size]


def _shifted(names: Sequence[str], noisy: Sequence[NDArray[Any]], clean: Sequence[NDArray[Any]]) -> str | None:
    lengths = [float(np.hypot(*shift(*images))) for images in zip(noisy, clean, strict=True)]
    off = [number for number, length in enumerate(lengths) if length >= _SHIFT]
    if not off:
        return None
    worst = max(off, key=lengths.__getitem__)
    return (
        f"{len(off)} of {len(names)} pairs looked at are shifted against each other, median "
        f"{np.median([lengths[number] for number in off]):.1f} px, most {names[worst]} by {lengths[worst]:.1f} px: "
        "register them, or the network learns to blur"
    )


def _saturated(which: str, names: Sequence[str], images: Sequence[NDArray[Any]]) -> str | None:
    shares = [float((image == image.max()).mean()) if _reaches_ceiling(image) else 0.0 for image in images]
    worst = int(np.argmax(shares))
    if shares[worst] < _SATURATED:
        return None
    count = sum(share >= _SATURATED for share in shares)
    return (
        f"{count} of {len(images)} {which} images looked at are saturated, most {names[worst]} with "
        f"{100 * shares[worst]:.2g} % of its pixels at {images[worst].max():g}: intensities there are lost"
    )


def _reaches_ceiling(image: NDArray[Any]) -> bool:
    top = float(image.max())
    if image.dtype.kind == "f":
        return top in _CEILINGS
    return top == np.iinfo(image.dtype).max or (top in _CEILINGS and top > 1)


def _scaled(noisy: Sequence[NDArray[Any]], clean: Sequence[NDArray[Any]]) -> str | None:
    sides = {"noisy": noisy, "clean": clean}
    told = [name for name, images in sides.items() if len(images) > 2 and all(map(_fills_its_type, images))]
    if not told:
        return None
    top = sides[told[0]][0].max()
    return (
        f"all {len(noisy)} {' and '.join(told)} images looked at reach exactly from 0 to {top:g}: each file was scaled "
        "on its own; --set intensity_fit=image fits each clean image onto its noisy one"
    )


def _fills_its_type(image: NDArray[Any]) -> bool:
    largest = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    return float(image.min()) == 0 and float(image.max()) == largest
