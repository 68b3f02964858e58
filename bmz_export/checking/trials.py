"""The images that a package is tried on, and the one way in which results are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Difference
from bmz_export.package.description import Tensor
from bmz_export.package.tensors import fitted

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One image that every engine is given, in the package's axis order.

    Attributes
    ----------
    name : str
        The image in words.
    rule : str
        What is broken where the network fails on this image and not on the test image.
    like : tuple of int
        Indices of the trials whose results, one after the other, this one must repeat.
    """

    name: str
    image: Array
    rule: str = "sizes"
    like: tuple[int, ...] = ()

    @property
    def shape(self) -> str:
        """Its shape, for a table."""
        return "x".join(map(str, self.image.shape))


LARGEST = 2**25
"""Values of the largest image that is made of a smaller test image: 5800 x 5800 pixels, 128 MB. All that are tried
together then take about a gigabyte here and as much on disk; a test image that is larger itself is tried as it is."""
FAR = 521
"""Pixels: longer than the tiles of 512 that QuPath and ilastik cut, and a multiple of no stride."""
SATURATED = 65535.0
"""The brightest value of a 16-bit camera, beyond the range of float16."""
FAINT = 64
"""What the test image's contrast is divided by for the faint image: steps of less than 1 for most cameras."""
NOISE = 1 / 32
"""A difference counts as a part of the result's own range, or of this much of the test output's range and of its own
brightness where that is more: rounding would count else. On an image of one value, of all of that: its deviation is 0
or a rounding error, and what is divided by it differs between machines."""
TEST = 1
"""Index of the test image: the second, since what a network keeps of the image before would change its result."""
REPEATS = 4
"""Calls with one new size: the second and third are those at which old versions of libtorch compile."""


class TooLargeError(ValueError):
    """An image is asked for that nobody would try a package on."""


def trials(tensor: Tensor, test: Array) -> list[Trial]:
    """Return what to try: the test input, other intensities, other sizes, one of them several times, and two at once.

    All are cut from the test input or mirrored up, and hold what the description allows. Most are as small as may be:
    two are of the test input's size, and one is larger along both axes.
    """
    low, high = float(test.min()), float(test.max())

    def made(name: str, size: tuple[int, int], factor: float = 1, offset: float = 0) -> Trial:
        image = fit(tensor, test, _shape(tensor, *size))
        if (factor, offset) != (1, 0):
            return Trial(name, _within(tensor, image * np.float32(factor) + np.float32(offset)), "intensities")
        return Trial(name, image)

    small = made("an image of the least size", (0, 0))
    found = [
        Trial("a faint image", _within(tensor, low + (test - low) / FAINT), "intensities"),
        Trial("the test image", test, "runs"),
        small,
    ]
    least = len(found) - 1
    found += [Trial("the same image again", small.image, "repeatable", (least,)) for _ in range(REPEATS - 1)]
    found.append(made("a saturated image", (0, 0), 0, SATURATED if high > 1 else 16 * high))
    both = least, len(found) - 1
    found += [
        made("an image of the next size", (1, 1)),
        made("a tall image", (FAR, 1)),
        made("a wide image", (1, FAR)),
        made("a negative image", (1, 0), -1),
        made("an image of zeros", (0, 1), 0),
    ]
    image = _larger(tensor, test)
    found += [] if image is None else [Trial("an image larger than the test image", image)]
    found += [Trial("an image that it had before", small.image, "carries-over", (least,))]
    return [*found, *_at_once(tensor, found, both)]


def _at_once(tensor: Tensor, found: Sequence[Trial], both: tuple[int, int]) -> list[Trial]:
    axis = tensor.order.find("b")
    one, two = (found[index].image for index in both)
    if axis < 0 or tensor.axes[axis].size not in (None, 2) or one.shape[axis] != 1:
        return []
    return [Trial("two images at once", np.concatenate([one, two], axis=axis), "one-at-a-time", both)]


def _shape(tensor: Tensor, height: int, width: int) -> list[int]:
    """Return the first shape of at least that height and width; 0 is the least size, 1 the next."""
    wanted = {"y": height, "x": width}
    sizes = [(axis, wanted.get(axis.letter, 0)) for axis in tensor.axes]
    return [axis.at_least(size if size > 1 else axis.at(0) + size) for axis, size in sizes]


def _larger(tensor: Tensor, test: Array) -> Array | None:
    """Return an image larger than the test image along y and x, by no multiple of a stride; None where none may be."""
    shape = list(test.shape)
    for index, axis in enumerate(tensor.axes):
        if axis.letter in "yx":
            more = (axis.at_least(shape[index] + 5 + 6 * (axis.letter == "x") + n * (axis.step or 0)) for n in range(6))
            shape[index] = min(more, key=lambda size: math.gcd(size, 6))
    try:
        image = fit(tensor, test, shape)
    except TooLargeError:
        return None
    return image if image.size > test.size else None


def _within(tensor: Tensor, image: NDArray[Any]) -> Array:
    """Return an image with the values that the description allows: its type's, and those of its ``range``."""
    data = tensor.raw.get("data")
    limits = data.get("range") if isinstance(data, Mapping) else None
    low, high = limits if isinstance(limits, list) and len(limits) == 2 else (None, None)
    if re.fullmatch("u?int(8|16|32|64)", tensor.dtype):
        kind = np.iinfo(tensor.dtype)
        image = np.rint(image).clip(kind.min, kind.max)
    low, high = (each if isinstance(each, int | float) else edge for each, edge in ((low, -np.inf), (high, np.inf)))
    return np.asarray(np.clip(image, low, high), np.float32)


def fit(tensor: Tensor, image: Array, shape: Sequence[int]) -> Array:
    """Return an image of this shape, cut or mirrored up from the given one; batch and channel stay.

    Raises ``TooLargeError`` where it would be larger than the image itself and than ``LARGEST``.
    """
    wanted = [
        given if axis.type in ("batch", "channel") else size
        for axis, size, given in zip(tensor.axes, shape, image.shape, strict=True)
    ]
    if math.prod(wanted) > max(LARGEST, image.size):
        asked = "x".join(map(str, wanted))
        raise TooLargeError(f"an image of {asked} is asked for, and at most {LARGEST} values are tried")
    return fitted(image, wanted)


def compare(found: NDArray[Any], wanted: NDArray[Any], least: float = 0) -> Difference:
    """Return how far ``found`` is from ``wanted`` (same shape, finite), relative to the range of ``wanted``.

    ``least`` is what the range counts as where it is less.
    """
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    spread = max(float(np.ptp(b)), least) or float(np.abs(b).max()) or 1.0
    gap = np.abs(a - b)
    return Difference(largest=float(gap.max()) / spread, mean=float(gap.mean()) / spread)


def worst(differences: Sequence[Difference]) -> Difference | None:
    """Return the largest of the largest and of the means."""
    if not differences:
        return None
    return Difference(largest=max(d.largest for d in differences), mean=max(d.mean for d in differences))


def defect(result: NDArray[Any], shape: Sequence[int | None], dtype: str) -> str | None:
    """Say what is wrong with a result's shape, type or values by themselves, None where nothing is."""
    if len(shape) != result.ndim or any(
        want not in (None, got) for want, got in zip(shape, result.shape, strict=False)
    ):
        wanted = "x".join("?" if size is None else str(size) for size in shape)
        return f"returns a shape of {'x'.join(map(str, result.shape))} where {wanted} is described"
    if dtype and result.dtype.name != dtype:
        return f"returns {result.dtype.name} where {dtype} is described"
    if result.dtype.kind in "fc" and not np.isfinite(result).all():
        return f"returns NaN or infinity in {np.mean(~np.isfinite(result)):.0%} of the pixels"
    return None
