"""An image as it is stored: where each of its planes lies, and an array that reads a plane when it is asked for."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.errors import ImageError, UserError
from training.images.metadata import Metadata, PixelSize

if TYPE_CHECKING:
    import xarray

_ORDER = "TCZYX"
Region = tuple[slice, slice]
"""Rows and columns, each with a start and a stop."""
_FLOAT32 = np.finfo(np.float32)
UNREADABLE = (
    OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, AssertionError, EOFError,
    struct.error, zlib.error, ZeroDivisionError, OverflowError, MemoryError, SyntaxError,
)  # fmt: skip
"""What the libraries raise at a broken file."""


class Address(Protocol):
    """Where one plane lies."""

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any], region: Region) -> NDArray[Any]:
        """Return a region of the plane as it lies there: (rows, columns), or (rows, columns, colours)."""


@dataclass(frozen=True)
class FilePlanes:
    """Reads single planes of one image; as a dask block function, by block number."""

    file: Path
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    addresses: tuple[Address, ...] = field(repr=False)

    def __deepcopy__(self, memo: object) -> FilePlanes:
        """Return itself: xarray copies what stands beside an array, and this never changes."""
        return self

    def __call__(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        """Return the block of one plane."""
        return np.expand_dims(self.read(block_id[:-2]), tuple(range(len(block_id) - 2)))

    def read(self, index: tuple[int, ...], region: Region | None = None) -> NDArray[Any]:
        """Return the plane (H, W) at an index over all axes but the last two, or a region of it, in its own type."""
        address = self.addresses[int(np.ravel_multi_index(index, self.shape[:-2])) if index else 0]
        numbers = " ".join(f"{dim}={number}" for dim, number in zip(self.dims, index, strict=False))
        where = f"{self.file}, plane {numbers}," if index else str(self.file)
        rows, columns = region = region or (slice(0, self.shape[-2]), slice(0, self.shape[-1]))
        shape = rows.stop - rows.start, columns.stop - columns.start
        try:
            plane = address.read(self.shape[-2:], self.stored, region)
        except UNREADABLE as error:
            raise damaged(where, error) from error
        if plane.ndim == 3:
            if (plane != plane[..., :1]).any():
                raise ImageError(
                    f"{where} is a colour image: split its channels and save the one that counts as gray values "
                    "(Fiji: Image > Color > Split Channels)"
                )
            plane = np.ascontiguousarray(plane[..., 0])
        if plane.shape != shape:
            raise ImageError(f"{where} is {plane.shape}, not {shape}: the file is damaged, copy it anew")
        if plane.dtype.kind == "f" and (count := plane.size - np.count_nonzero(np.isfinite(plane))):
            raise ImageError(f"{where} holds {count} NaN or infinite pixels: replace them and save the file again")
        if plane.dtype.kind == "f" and plane.dtype.itemsize > 4:
            largest = np.abs(plane).max()
            if largest > _FLOAT32.max or 0 < largest < _FLOAT32.tiny:
                raise ImageError(f"{where} holds {largest:.3g}, beyond float32: scale the images and save them again")
        return plane.astype(plane.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class FileSource:
    """A plane (H, W) or a stack (D, H, W) of an image file; see ``training.data.sample.Source``."""

    image: FilePlanes
    index: tuple[int | None, ...]
    """Along each axis of the file but the last two, a number; None along the axis that is the stack's depth."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, region: tuple[slice, ...] | None = None) -> NDArray[Any]:
        """Return a region, or everything, in the file's own type and units; only what lies in it is read."""
        *depth, rows, columns = region or tuple(slice(0, length) for length in self.shape)
        numbers = range(depth[0].start, depth[0].stop) if depth else [0]
        each = [tuple(number if at is None else at for at in self.index) for number in numbers]
        read = [self.image.read(index, (rows, columns)) for index in each]
        return np.stack(read) if depth else read[0]


def source_in(image: xarray.DataArray, axes: str, **index: int) -> FileSource:
    """Return a plane (``axes`` YX) or a stack (ZYX) of what ``open_image`` returned.

    ``index`` is its number along the file's other axes, where it is not 0.
    """
    opened: FilePlanes = image.attrs["file"]
    shape = tuple(length for dim, length in zip(opened.dims, opened.shape, strict=True) if dim in axes)
    at = tuple(None if dim in axes else index.get(dim, 0) for dim in opened.dims[:-2])
    return FileSource(opened, at, shape, opened.stored.newbyteorder("="))


def as_array(
    opened: FilePlanes, metadata: Metadata, resolution: PixelSize | None, names: list[str] | None
) -> xarray.DataArray:
    """Return the lazy image, its axes in order; see ``open_image``."""
    import dask.array
    import xarray

    dtype = opened.stored.newbyteorder("=")
    lead = opened.shape[:-2]
    lazy = dask.array.map_blocks(  # type: ignore[no-untyped-call]
        opened,
        chunks=tuple((1,) * length for length in lead) + tuple((length,) for length in opened.shape[-2:]),
        dtype=dtype,
        meta=np.empty((0,) * len(opened.shape), dtype),
    )
    about = {"path": opened.file, "dtype": str(dtype), "resolution": resolution, "metadata": metadata, "file": opened}
    image = xarray.DataArray(lazy, dims=opened.dims, coords={"C": names} if names else None, attrs=about)
    ordered = [dim for dim in opened.dims if dim not in _ORDER] + [dim for dim in _ORDER if dim in opened.dims]
    return image.transpose(*ordered)


def damaged(where: str, error: BaseException) -> UserError:
    """Return the one line for a file, or a plane of it, that cannot be read."""
    text = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    brief = text if len(text) <= 100 else text[:97] + "..."
    return ImageError(f"{where} cannot be read, the file is damaged or cut off: copy it anew ({brief})")
