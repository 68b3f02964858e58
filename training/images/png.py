"""PNG: one plane, in gray or in colour."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.errors import ImageError
from training.images.lazy import FilePlanes, Region, as_array
from training.images.metadata import Metadata, PixelSize

if TYPE_CHECKING:
    import xarray

_START = 8  # bytes before the first chunk
_METRES_AN_INCH = 0.0254


@dataclass(frozen=True)
class _Whole:
    """The one plane of a file."""

    path: Path

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any], region: Region) -> NDArray[Any]:
        import imagecodecs

        array = np.asarray(imagecodecs.png_decode(self.path.read_bytes()))
        return (array[..., :-1] if array.ndim == 3 and array.shape[-1] in (2, 4) else array)[region]  # without alpha


def open_png(path: Path) -> xarray.DataArray:
    """Open a file that begins as a PNG does; see ``open_image``."""
    tags, resolution = {}, None
    with path.open("rb") as file:
        header = file.read(26)
        if density := _density(file):
            x, y = (_METRES_AN_INCH * dots for dots in density)
            tags, resolution = {"resolution": (x, y), "resolutionunit": 2}, PixelSize(1 / y, 1 / x, "inch")
        file.seek(-min(path.stat().st_size, 1024), 2)
        if b"IEND" not in file.read():
            raise ImageError(f"{path} is cut off: it ends before its image does, copy it anew")
    width, height, depth, colour = struct.unpack(">IIBB", header[16:26])
    stored = np.dtype(np.uint16 if depth == 16 else np.uint8)
    one = FilePlanes(path, ("Y", "X"), (height, width), stored, (_Whole(path),))
    return as_array(one, Metadata("plain", "YX", tags=tags, colour=colour != 0), resolution, None)


def _density(file: BinaryIO) -> tuple[int, int] | None:
    """Return the pixels a metre along x and y, where the chunks before the pixels say them."""
    file.seek(_START)
    while len(head := file.read(8)) == 8 and not head.endswith(b"IDAT"):
        length, name = struct.unpack(">I4s", head)
        if name == b"pHYs":
            x, y, unit = struct.unpack(">IIB", file.read(9))
            return (x, y) if unit == 1 and x and y else None
        file.seek(length + 4, 1)  # and its check sum
    return None
