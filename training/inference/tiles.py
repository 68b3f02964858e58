"""An image in tiles: cut with a halo, denoised one by one, and put together to the whole image's result.

A tile is the part of an image that goes through the network; its core is the part of it that is kept. Between core
and cut lies the halo, as wide as the network's receptive radius and a multiple of its stride, so that a strided grid
keeps its phase. At the image's own edges tiles are clipped rather than padded: the network meets the true edge and
treats it as it would in the whole image. So for a finite radius the result equals the whole image's, edges included.
All of it holds for any number of space axes; sizes are one number an axis, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GLOBAL_HALO = 96
"""Pixels of halo for a network that sees the whole image: DRUNet's seams with random weights fall to 1.4e-5 there."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the image: ``start <= core_start < core_stop <= stop``."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @classmethod
    def cut(cls, start: int, stop: int, length: int, halo: int) -> Span:
        """Return a tile of an axis of that length: of each end but the axis' own the halo is cut off."""
        return cls(start, stop, start + halo * (start > 0), stop - halo * (stop < length))

    @property
    def tile(self) -> slice:
        """What goes through the network, within the image."""
        return slice(self.start, self.stop)

    @property
    def core(self) -> slice:
        """What is kept, within the image."""
        return slice(self.core_start, self.core_stop)

    @property
    def core_in_tile(self) -> slice:
        """What is kept, within the tile."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


Tile = tuple[Span, ...]
"""One span an axis."""


def halo_for(radius: Sequence[int] | None, stride: Sequence[int]) -> tuple[int, ...]:
    """Return the halo that tiling needs, a multiple of the stride: the radius, or ``GLOBAL_HALO`` where it is None."""
    reach = [GLOBAL_HALO] * len(stride) if radius is None else radius
    return tuple(_round_up(*axis) for axis in zip(reach, stride, strict=True))


def smallest_tile(halo: int, stride: int = 1) -> int:
    """Return the side of the smallest tile that has a core: twice the halo, in whole strides, and one stride."""
    return 2 * _round_up(halo, stride) + stride


def spans(length: int, tile: int, halo: int, stride: int = 1) -> list[Span]:
    """Cut an axis into tiles whose cores, all of about the same length, cover it without overlap.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    tile : int
        Most pixels in a tile, halo included; at least ``smallest_tile(halo, stride)`` unless the axis is no longer.
    halo : int
        Pixels between core and cut; rounded up to a multiple of ``stride``.
    stride : int
        Tiles start at multiples of it.

    Returns
    -------
    list of Span
        From low to high; a single one if the axis is no longer than a tile.

    Raises
    ------
    ValueError
        If the tile has no room for a core.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    if tile < smallest_tile(halo, stride):
        raise ValueError(f"a tile of {tile} has no core: halo {halo}, stride {stride}")
    halo = _round_up(halo, stride)
    largest_core = (tile - 2 * halo) // stride * stride
    count = ceil(length / largest_core)
    core = _round_up(ceil(length / count), stride)
    return [
        Span(max(at - halo, 0), min(at + core + halo, length), at, min(at + core, length))
        for at in range(0, length, core)
    ]


def plan(shape: Sequence[int], tile: Sequence[int], halo: Sequence[int], stride: Sequence[int]) -> list[Tile]:
    """Return the tiles of an image of a shape, the last axis first; see ``spans``."""
    return list(product(*(spans(*axis) for axis in zip(shape, tile, halo, stride, strict=True))))


def largest_tile(shape: Sequence[int], pixels: float, halo: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """Return the sides, as alike as the image allows, of the largest tile of at most so many pixels.

    An axis shorter than that is taken whole, and leaves more to the others. No side is below ``smallest_tile``.
    """
    sides = list(shape)
    for done, axis in enumerate(sorted(range(len(shape)), key=lambda axis: shape[axis])):
        side = int(max(pixels, 0) ** (1 / (len(shape) - done)) + 1e-6) // stride[axis] * stride[axis]
        sides[axis] = min(shape[axis], max(side, smallest_tile(halo[axis], stride[axis])))
        pixels /= max(sides[axis], 1)
    return tuple(sides)


def in_tiles(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], images: NDArray[np.float32], tiles: Iterable[Tile]
) -> NDArray[np.float32]:
    """Return images (B, C, *space) that went through ``predict`` tile by tile, put together from the tiles' cores.

    The result has as many channels as ``predict`` returns.
    """
    result = np.empty((0,), images.dtype)
    every = (slice(None), slice(None))
    for tile in tiles:
        denoised = predict(np.ascontiguousarray(images[every + tuple(span.tile for span in tile)]))
        if not result.size:
            result = np.empty((*denoised.shape[:2], *images.shape[2:]), images.dtype)
        result[every + tuple(span.core for span in tile)] = denoised[every + tuple(span.core_in_tile for span in tile)]
    return result


def _round_up(value: int, multiple: int) -> int:
    return ceil(value / multiple) * multiple
