"""Writing an image as TIFF, like the file that it came from."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from training.errors import ImageError
from training.images import ome
from training.images.lazy import UNREADABLE
from training.images.metadata import Metadata
from training.images.planes import planes
from training.util.writing import replacing

if TYPE_CHECKING:
    import xarray

_CLASSIC_LIMIT = 2**32 - 2**25  # tifffile's own: bytes of pixels that leave room for the tags


def write_image(
    path: Path | str,
    array: xarray.DataArray | NDArray[Any],
    *,
    like: xarray.DataArray,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
    written: Callable[[Path], object] | None = None,
) -> None:
    """Write an image as TIFF with the axes, resolution and metadata of another.

    The file is written beside its place plane by plane, so a lazy ``array`` is never whole in memory, and renamed when
    it is complete.

    Parameters
    ----------
    path
        The file to write; its folder is made where it is missing.
    array
        Pixels with the axes of ``like``.
    like
        An image of ``open_image``.
    dtype
        Type of the pixels on disk; integers are rounded and clipped to their range. Default: that of ``like``.
    overwrite
        Whether a file that exists may be replaced. The file of ``like`` never is.
    written
        Called with the complete file, which lies beside ``path``, before it takes its place.

    Raises
    ------
    UserError
        Where the file exists, is the input, or cannot be written, what stands beside the pixels of ``like`` cannot
        (``check_writable``), and where a pixel is NaN or infinite.
    """
    import xarray

    path = Path(path)
    image = like.copy(data=array) if not isinstance(array, xarray.DataArray) else array
    if image.dims != like.dims or image.shape != like.shape:
        raise ValueError(f"{image.dims} of {image.shape} is not laid out as {like.dims} of {like.shape}")
    if path.suffix.lower() not in (".tif", ".tiff", ".btf", ".tf2", ".tf8"):
        raise ImageError(f"{path}: images are written as TIFF; let the name end in .tif")
    origin = Path(like.attrs["path"])
    if path.exists():
        if origin.exists() and path.samefile(origin):
            raise ImageError(f"{path} is the input: an input is never replaced, write to another folder")
        if path.is_dir():
            raise ImageError(f"{path} is a folder: name a file")
        if not overwrite:
            raise ImageError(f"{path} exists: choose another folder, or replace it with `overwrite`")
    check_writable(like, dtype)
    metadata: Metadata = like.attrs["metadata"]
    target = np.dtype(like.attrs["dtype"] if dtype is None else dtype)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            _write(beside, image, metadata, target, lambda part: _cast(part, target, path))
            if written is not None:
                written(beside)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}") from error


def check_writable(like: xarray.DataArray, dtype: DTypeLike | None = None) -> None:
    """Refuse, before anything is computed, an image whose metadata ``write_image`` could not write back."""
    target = np.dtype(like.attrs["dtype"] if dtype is None else dtype)
    try:
        _write(io.BytesIO(), like, like.attrs["metadata"], target, lambda _: iter(_done, None))
    except _HeaderDoneError:
        return
    except UNREADABLE as error:
        raise ImageError(
            f"{like.attrs['path']}: what it says beside its pixels cannot be written back ({error}): save it anew "
            "as OME-TIFF"
        ) from error


class _HeaderDoneError(Exception):
    """The header was made, the first plane would follow."""


def _done() -> NDArray[Any]:
    raise _HeaderDoneError


def _write(
    target: Path | io.BytesIO,
    image: xarray.DataArray,
    metadata: Metadata,
    dtype: np.dtype[Any],
    cast: Callable[[xarray.DataArray], Iterator[NDArray[Any]]],
) -> None:
    axes, kind = metadata.axes, metadata.kind
    if kind == "imagej" and dtype.char not in "BHhf":
        kind = "shaped"  # ImageJ has no such type
    held = math.prod(image.shape[:-2]) // metadata.series
    if kind == "ome" and not (ome.has_type(dtype) and ome.describes(metadata.ome, series=metadata.series, planes=held)):
        kind = "shaped"  # OME has no such type, or the header speaks of other planes
    if kind == "imagej":
        axes = "".join(sorted(axes, key="TZCYX".find))
    image = image.transpose(*axes)
    signed = metadata.signed and dtype == np.int16
    dropped = {"order"} | ({"cf", "c0", "c1", "vunit"} if metadata.signed and not signed else set())
    stored = (np.dtype(np.uint16) if signed else dtype).newbyteorder(metadata.byteorder if dtype.itemsize > 1 else "=")
    nbytes = image.size * dtype.itemsize
    options: dict[str, Any] = {"photometric": "minisblack", **metadata.tags}
    if kind == "imagej" and nbytes > _CLASSIC_LIMIT:
        options["truncate"] = True  # ImageJ reads more than 4 GB where one header stands before all planes
    colormap = options.pop("colormap", None)
    if colormap is not None and dtype.str[1:] == f"u{int(math.log2(colormap.shape[1])) // 8}":
        options |= {"colormap": colormap, "photometric": "palette"}
    if metadata.planar and kind not in ("imagej", "ome"):
        options["planarconfig"] = "separate"
        axes = axes.replace("C", "S")
    match kind:
        case "imagej":
            kept = {key: _escaped(key, value) for key, value in metadata.imagej.items() if key not in dropped}
            options |= {"metadata": {**kept, "axes": axes}, "description": None, "software": None}
        case "ome":
            xml = ome.rewritten(metadata.ome, planes=held, dtype=dtype)
            options |= {"metadata": None, "description": xml.encode()}
        case "shaped":
            options |= {"metadata": {"axes": axes[1:] if metadata.series > 1 else axes}, "description": None}
        case _:
            options["metadata"] = {} if kind == "unnamed" else None
    import tifffile

    with tifffile.TiffWriter(
        target,
        bigtiff=kind != "imagej" and (metadata.bigtiff or nbytes > _CLASSIC_LIMIT),
        byteorder=metadata.byteorder,
        imagej=kind == "imagej",
        ome=False,
        shaped=kind in ("shaped", "unnamed"),
    ) as tif:
        # an OME file takes all its series in one row of pages
        parts = [image] if kind == "ome" or metadata.series == 1 else [image[n] for n in range(metadata.series)]
        for part in parts:
            written = (plane.view(np.uint16) ^ 0x8000 for plane in cast(part)) if signed else cast(part)
            tif.write(written, shape=part.shape, dtype=stored, **options)


def _cast(image: xarray.DataArray, dtype: np.dtype[Any], path: Path) -> Iterator[NDArray[Any]]:
    for index, plane in planes(image):
        whole = plane
        if plane.dtype != dtype:
            if not np.isfinite(plane).all():
                raise ImageError(f"{path}: plane {index} came out as NaN or infinite, nothing is written")
            if dtype.kind in "ui":
                limits = np.iinfo(dtype)
                whole = np.clip(np.rint(plane) if plane.dtype.kind == "f" else plane, limits.min, limits.max)
        yield whole.astype(dtype)


def _escaped(key: str, value: object) -> object:
    """Write letters beyond ASCII as ImageJ does in its header; its capitalised entries lie elsewhere, as they are."""
    if not isinstance(value, str) or key[0].isupper():
        return value
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in value)
