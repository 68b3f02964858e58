"""The images that a package is tried on, and the one way in which results are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """One image that every engine is given, in the package's axis order."""

    name: str
    image: Array
    like: int | None = None
    """Index of the trial whose result this one must repeat."""

    @property
    def shape(self) -> str:
        """Its shape, for a table."""
        return "x".join(map(str, self.image.shape))


LARGEST = 2**25
"""Values of the largest image that is made of a smaller test image: 5800 x 5800 pixels, 128 MB. All that are tried
together, pairs and repeats included, then take about a gigabyte here and as much on disk; a test image that is larger
itself is tried as it is."""


class TooLargeError(ValueError):
    """An image is asked for that nobody would try a package on."""


REPEATS = 4
"""Calls with one new size: the second and third are those at which old versions of libtorch compile."""


def trials(tensor: Tensor, test: Array) -> list[Trial]:
    """Return what to try: the test input, three sizes, one size several times, and all of them in a batch of two.

    Smaller and larger images are cut from the test input or mirrored up.
    """
    found = [Trial("test", test)]
    for n in range(3):
        image = fit(tensor, test, tensor.shape(n))
        if image.shape not in {trial.image.shape for trial in found}:
            found.append(Trial(f"min + {n} step" if n else "min", image))
    again = len(found) - 1 if len(found) == 1 else 1
    found += [Trial("again", found[again].image, again) for _ in range(REPEATS - 1)]
    found.append(Trial("test again", test, 0))
    return [*found, *_in_pairs(tensor, [trial for trial in found if trial.like is None])]


def _in_pairs(tensor: Tensor, single: Sequence[Trial]) -> list[Trial]:
    axis = tensor.order.find("b")
    if axis < 0 or tensor.axes[axis].size not in (None, 2):
        return []
    pairs = []
    for trial in single:
        if trial.image.shape[axis] == 1:
            space = tuple(index for index, axis in enumerate(tensor.axes) if axis.type == "space")
            turned = np.flip(trial.image, axis=space or None)
            pairs.append(Trial(f"{trial.name}, two at once", np.concatenate([trial.image, turned], axis=axis)))
    return pairs


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


def compare(found: NDArray[Any], wanted: NDArray[Any]) -> Difference:
    """Return how far ``found`` is from ``wanted`` (same shape, finite), relative to the range of ``wanted``."""
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    spread = float(np.ptp(b)) or float(np.abs(b).max()) or 1.0
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
