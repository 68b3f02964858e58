"""How a tool cuts an image into tiles, and that cutting done by ourselves over any predictor.

Each tile is a window of the image, padded where it leaves it; of the network's result a part is kept and written. The
same values serve every tool: only where the windows lie and how they are padded differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bmz_export.inspection import Inspection
from bmz_export.package.description import Axis
from bmz_export.tools import finders
from training.inference import tiles as own

Span = tuple[int, int]
Mode = Literal["symmetric", "reflect", "edge"]
"""What fills a tile beyond the image, in NumPy's words: the image mirrored with its edge pixel repeated (deepImageJ) or
without (ilastik), or the edge pixel alone (QuPath)."""
TILE = 512
"""Pixels, the tile that QuPath and ilastik aim for."""
MAX_TILES = 2000
"""Of an image: more mean that a halo leaves hardly anything of each, for which nobody waits."""


class Part(NamedTuple):
    """One tile along one axis, in pixels; see :class:`Tile`."""

    read: Span
    pad: Span
    keep: Span
    write: Span
    cut: bool = False


@dataclass(frozen=True)
class Tile:
    """One tile, in pixels of the image, (y, x) each.

    Attributes
    ----------
    read : pair of spans
        The part of the image that is read, within the image.
    pad : pair of spans
        Pixels added before and after along each axis.
    keep : pair of spans
        The part of the padded tile that is kept; as large as ``write``.
    write : pair of spans
        Where it goes in the image.
    cut : bool
        Whether it is smaller than a full one.
    """

    read: tuple[Span, Span]
    pad: tuple[Span, Span]
    keep: tuple[Span, Span]
    write: tuple[Span, Span]
    cut: bool


@dataclass(frozen=True)
class Tiling:
    """All tiles of an image, and what fills them outside of it."""

    shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    mode: Mode

    def windows(self, image: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield each tile of an image of shape (..., height, width), padded."""
        for tile in self.tiles:
            (top, bottom), (left, right) = tile.read
            window = image[..., top:bottom, left:right]
            pad = [(0, 0)] * (image.ndim - 2) + list(tile.pad)
            yield np.pad(window, pad, mode=self.mode)

    def stitch(self, results: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the whole image from the results of the tiles, in order."""
        whole = np.full((*results[0].shape[:-2], *self.shape), np.nan, np.float32)
        for tile, result in zip(self.tiles, results, strict=True):
            (top, bottom), (left, right) = tile.keep
            (y0, y1), (x0, x1) = tile.write
            whole[..., y0:y1, x0:x1] = result[..., top:bottom, left:right]
        return whole

    def regions(self, near: int) -> dict[str, NDArray[np.bool_]]:
        """Return which pixels are ``interior``, at a ``seam``, at the image's ``edge``, or inside a ``cut`` block.

        Parameters
        ----------
        near : int
            What counts as at a seam or an edge, in pixels.
        """
        height, width = self.shape
        seam = np.zeros(self.shape, bool)
        cut = np.zeros(self.shape, bool)
        for tile in self.tiles:
            (y0, y1), (x0, x1) = tile.write
            if tile.cut:
                cut[y0:y1, x0:x1] = True
            for line in (y0, y1):
                if 0 < line < height:
                    seam[max(line - near, 0) : line + near, x0:x1] = True
            for line in (x0, x1):
                if 0 < line < width:
                    seam[y0:y1, max(line - near, 0) : line + near] = True
        edge = np.ones(self.shape, bool)
        edge[near : height - near, near : width - near] = False
        # A cut block's own seams count with it: where a tool centres it, the grid of the strides shifts in all of it.
        return {"interior": ~(seam | edge | cut), "seam": seam & ~cut & ~edge, "edge": edge, "cut": cut & ~edge}


def grid(shape: tuple[int, int], along: Callable[[int, int], Sequence[Part]], mode: Mode) -> Tiling | None:
    """Return a tiling whose two axes are cut independently, None where it would be more than ``MAX_TILES``.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    along : Callable
        From axis (0 or 1) and size to the parts along it.
    mode : str
        What fills a tile beyond the image.
    """
    rows, columns = along(0, shape[0]), along(1, shape[1])
    if len(rows) * len(columns) > MAX_TILES:
        return None
    tiles = tuple(
        Tile((y.read, x.read), (y.pad, x.pad), (y.keep, x.keep), (y.write, x.write), y.cut or x.cut)
        for y in rows
        for x in columns
    )
    return Tiling(shape, tiles, mode)


def blocks(
    tile: Callable[[Axis], int], mode: Mode, *, halo: bool = True
) -> Callable[[Inspection, tuple[int, int]], Tiling | None]:
    """Return the cutting into blocks, each read with its halo and centred in a tile, whose rest is filled.

    Parameters
    ----------
    tile : Callable
        From an axis of the input to the size of a tile along it, in pixels.
    mode : str
        What fills a tile beyond the image.
    halo : bool
        Whether tiles overlap by the halo that the package declares.
    """

    def cut(inspection: Inspection, shape: tuple[int, int]) -> Tiling | None:
        def along(axis: int, length: int) -> list[Part]:
            letter = "yx"[axis]
            declared = finders.input_axis(inspection, letter)
            margin = finders.declared_halo(inspection, letter) if halo else 0
            side = tile(declared) if declared else TILE
            block = max(side - 2 * margin, 1)
            parts = []
            for start in range(0, length, block):
                size = min(block, length - start)
                spare = side - size - 2 * margin
                before = spare // 2 + margin
                read, pad = window(start - margin, size + 2 * margin, length)
                around = (pad[0] + spare // 2, pad[1] + spare - spare // 2)
                parts.append(Part(read, around, (before, before + size), (start, start + size), size < block))
            return parts

        return grid(shape, along, mode)

    return cut


def clipped(inspection: Inspection, shape: tuple[int, int]) -> Tiling | None:
    """Return the cutting of our own tiles: they end with the image, and begin at multiples of the declared halo.

    So nothing is filled in, and the grid of the network's strides stays, since a halo is a multiple of them.
    """
    halo = max(finders.declared_halo(inspection, letter) for letter in "yx")
    side = max(TILE, 3 * halo)
    unit = halo or side

    def along(_axis: int, length: int) -> list[Part]:
        return [inside(span) for span in own.spans(length, side, halo, unit)]

    return grid(shape, along, "edge")


def inside(span: own.Span) -> Part:
    """Return one of our own tiles along an axis: it lies within the image, so nothing is filled in."""
    keep, write = span.core_in_tile, span.core
    return Part((span.start, span.stop), (0, 0), (keep.start, keep.stop), (write.start, write.stop))


def window(start: int, size: int, length: int) -> tuple[Span, Span]:
    """Return (read, pad) of a window of an axis of that length; it may begin before the axis and end after it."""
    read = max(start, 0), min(start + size, length)
    return read, (read[0] - start, start + size - read[1])
