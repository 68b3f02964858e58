"""What tiling costs: two tiles with the declared halo, and a large image by region of a tool's own tiling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Difference
from bmz_export.checking.numbers import Array, compare, fit
from bmz_export.consumers.tiling import Tiling
from bmz_export.package.description import Axis, Description, Tensor

STATED_LIMIT = 1e-2
"""A seam above this must be stated by the package."""
WARN_LIMIT = 1e-3
LARGE = (900, 1200)
"""Least height and width of the image that the tools' tilings are tried on, in pixels."""


class Pair:
    """An image and two tiles of it that overlap by the declared halo: the smallest in which a seam can be seen.

    Parameters
    ----------
    description : Description
        With one input and one output that have y and x.
    test : array
        The test input.

    Attributes
    ----------
    images : list of arrays
        The whole image and its two tiles; empty where the package leaves no room for that (fixed sizes).
    """

    def __init__(self, description: Description, test: Array) -> None:
        self.images: list[Array] = []
        self.halo = 0
        if len(description.inputs) != 1 or len(description.outputs) != 1:
            return
        tensor, output = description.inputs[0], description.outputs[0]
        x, other = tensor.axis("x"), output.axis("x")
        if x is None or other is None or not x.step or other.reference is None:
            return
        self.halo = other.halo
        self.axis = tensor.order.index("x")
        self.output_axis = output.order.index("x")
        self.tile = allowed(x, max(x.at(0), 2 * self.halo + 64))
        self.width = allowed(x, max(2 * (self.tile - self.halo), self.tile + 1))
        shape = list(tensor.shape(0))
        shape[self.axis] = self.width
        whole = fit(tensor, test, shape)
        if description.output_shape(output, {tensor.id: whole.shape})[self.output_axis] != self.width:
            return  # an output of another size has its seams elsewhere
        left = whole.take(range(self.tile), axis=self.axis)
        right = whole.take(range(self.width - self.tile, self.width), axis=self.axis)
        self.images = [whole, np.ascontiguousarray(left), np.ascontiguousarray(right)]

    def seam(self, whole: NDArray[np.floating], left: NDArray[np.floating], right: NDArray[np.floating]) -> Difference:
        """Return the difference of the stitched tiles to the whole image, relative to its range."""
        middle = self.tile - self.halo
        stitched = np.concatenate(
            [
                left.take(range(middle), axis=self.output_axis),
                right.take(range(middle - (self.width - self.tile), self.tile), axis=self.output_axis),
            ],
            axis=self.output_axis,
        )
        return compare(stitched, whole)


def allowed(axis: Axis, least: int) -> int:
    """Return the first size of ``min + n * step`` that is no less than ``least``."""
    step = axis.step or 1
    return axis.at(0) + max(-((axis.at(0) - least) // step), 0) * step


def large_image(tensor: Tensor, test: Array, least: tuple[int, int] = LARGE) -> Array:
    """Return the test image mirrored up to at least this size under a brightness ramp, so that no two places are alike.

    The ramp runs from the image's own darkest tenth to its full intensity, along both axes.
    """
    shape = list(tensor.shape(0))
    for letter, size in zip("yx", least, strict=True):
        axis = tensor.axis(letter)
        if axis is not None:
            shape[tensor.order.index(letter)] = allowed(axis, size) if axis.step else size
    image = fit(tensor, test, shape).astype(np.float32)
    y, x = (tensor.order.index(letter) for letter in "yx")
    rows = np.linspace(0, 1, image.shape[y], dtype=np.float32)
    columns = np.linspace(0, 1, image.shape[x], dtype=np.float32)
    ramp = np.ones((), np.float32)
    for index, values in ((y, rows), (x, columns)):
        ramp = ramp + values.reshape([-1 if axis == index else 1 for axis in range(image.ndim)])
    low = np.float32(image.min())
    return np.asarray(low + (image - low) * (0.1 + 0.9 * (ramp - 1) / 2), np.float32)


def by_region(
    found: NDArray[np.floating], whole: NDArray[np.floating], tiling: Tiling, near: int
) -> dict[str, Difference | None]:
    """Return the difference in the interior, at the seams, at the image's edges and in the cut blocks.

    Parameters
    ----------
    found, whole : arrays (..., height, width)
        The stitched result and that of the whole image.
    tiling : Tiling
        How it was cut.
    near : int
        What counts as at a seam or an edge, in pixels.
    """
    range_ = float(np.ptp(whole)) or 1.0
    gap = np.abs(np.asarray(found, np.float64) - whole) / range_
    parts: dict[str, Difference | None] = {}
    for name, region in tiling.regions(near).items():
        values = gap[..., region]
        parts[name] = Difference(largest=float(values.max()), mean=float(values.mean())) if values.size else None
    return parts


def near_seam(halos: Sequence[int]) -> int:
    """Return how many pixels count as at a seam or an edge: the halo, and at least 16."""
    return max(16, *halos)
