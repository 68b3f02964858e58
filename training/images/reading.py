"""Opening an image file without reading its pixels."""

from __future__ import annotations

import logging
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from training.errors import UserError
from training.images.layout import Layout, PixelSize

if TYPE_CHECKING:
    import tifffile
    import xarray

SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".png")
"""Endings, in lower case, of the files that a folder of images is searched for."""

_MAKERS = (
    ".nd2 .czi .lif .lof .xlif .oib .oif .oir .vsi .lsm .zvi .stk .nd .dv .r3d .ims .ids .ics .sld .mrxs .svs .scn "
    ".ndpi .ndpis .bif .flex .mvd2 .ipw .spe .tvips .sif .qptiff .zarr .h5 .hdf5"
)
_PHOTOGRAPHS = ".jpg .jpeg .gif .bmp .webp .heic .jp2 .avif"
_ORDER = "TCZYX"
_SPARE = "QIRPVMLAHEBDFGJKNOUW"
_NEEDED_TAGS = (270, 273, 279, 324, 325, 50838, 50839)  # description, places of the pixels, ImageJ's metadata
_TAG_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # others: a byte
_IMAGEJ_UNITS = {"": None, "pixel": None, "um": "µm", "micron": "µm", "microns": "µm", "\\u00B5m": "µm"}
_UNREADABLE = (
    OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, AssertionError, EOFError,
    struct.error, zlib.error, ZeroDivisionError, OverflowError, MemoryError, SyntaxError,
)  # fmt: skip

# tifffile logs what it finds odd in a broken file; the same reaches the user as one line
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class _Address:
    """Where a plane lies: ``item`` of a page of a file, or at an offset into the file where it is stored as it is."""

    path: Path
    page: int | None = None
    item: int = 0
    offset: int | None = None


@dataclass(frozen=True)
class _Planes:
    """Reads single planes of one image; as a dask block function, by block number."""

    file: Path
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    addresses: tuple[_Address, ...]

    def __call__(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        index = block_id[:-2]
        plane = self.read(index)
        return plane.reshape((1,) * len(index) + plane.shape)

    def read(self, index: tuple[int, ...]) -> NDArray[Any]:
        lead = self.shape[:-2]
        address = self.addresses[int(np.ravel_multi_index(index, lead)) if lead else 0]
        where = f"{self.file}{self._label(index)}"
        try:
            plane = self._stored_plane(address)
        except _UNREADABLE as error:
            raise _damaged(where, error) from error
        if plane.ndim == 3:
            plane = _luminance(plane, where)
        if plane.shape != self.shape[-2:]:
            raise UserError(f"{where} is {plane.shape}, not {self.shape[-2:]}: the file is damaged, copy it anew")
        if plane.dtype.kind == "f" and not np.isfinite(plane).all():
            count = int((~np.isfinite(plane)).sum())
            raise UserError(f"{where} holds {count} NaN or infinite pixels: replace them and save the file again")
        return plane.astype(plane.dtype.newbyteorder("="), copy=False)

    def _stored_plane(self, address: _Address) -> NDArray[Any]:
        if address.offset is not None:
            count = math.prod(self.shape[-2:])
            flat = np.fromfile(address.path, self.stored, count, offset=address.offset)
            return flat.reshape(self.shape[-2:])
        if address.page is None:
            return _decode_png(address.path)
        import tifffile

        with tifffile.TiffFile(address.path) as tif:
            page = tif.pages[address.page].aspage()
            array = page.asarray()
            if page.axes[-1] == "S":
                alpha = sum(kind in (1, 2) for kind in page.extrasamples)
                colours = array.shape[-1] - alpha
                return np.asarray(array.reshape(-1, *array.shape[-3:])[address.item, ..., :colours])
            return np.asarray(array.reshape(-1, *array.shape[-2:])[address.item])

    def _label(self, index: tuple[int, ...]) -> str:
        told = " ".join(f"{dim}={number}" for dim, number in zip(self.dims, index, strict=False))
        return f", plane {told}," if told else ""


def open_image(path: Path | str) -> xarray.DataArray:
    """Open an image file; its planes are read when they are asked for.

    Parameters
    ----------
    path
        A TIFF, OME-TIFF or PNG file of gray values of any integer or float type. Colour images count as gray where
        their channels are equal.

    Returns
    -------
    xarray.DataArray
        Lazy (one dask block a plane); dims are a part of ``TCZYX`` in that order, with other axes of the file in
        front. ``attrs``: ``path``; ``dtype``; ``resolution`` (a ``PixelSize`` or None); ``metadata`` (a ``Layout``).
        Named channels are the coordinates of ``C``.

    Raises
    ------
    UserError
        Where the file is missing, is no such image, is damaged, or (when a plane is read) holds NaN or infinite values.
    """
    path = Path(path)
    kind = _kind(path)
    try:
        return _open_png(path) if kind == "png" else _open_tiff(path)
    except UserError:
        raise
    except _UNREADABLE as error:
        raise _damaged(str(path), error) from error


def plane_values(plane: xarray.DataArray) -> NDArray[Any]:
    """Return the pixels of a plane (or of any part of an image), read in the calling thread."""
    return np.asarray(plane.compute(scheduler="synchronous").values)


def planes(image: xarray.DataArray) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Yield the index over all axes but the last two, and the (H, W) plane there, in the image's own units."""
    for index in np.ndindex(image.shape[:-2]):
        yield index, plane_values(image[index])


def _kind(path: Path) -> str:
    """``tiff`` or ``png``, by what the file holds; the messages that need no look at the pixels."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if suffix in _MAKERS.split():
        raise UserError(f"{path} is a format of its maker ({suffix}): export it as OME-TIFF (Fiji: File > Save As)")
    if path.is_dir():
        raise UserError(f"{path} is a folder, not an image: name a file in it")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}") from error
    if not start:
        raise UserError(f"{path} is empty: copy it anew")
    if start == b"\x89PNG\r\n\x1a\n":
        return "png"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    reason = (
        "its compression loses gray values; save the original" if suffix in _PHOTOGRAPHS.split() else "save the image"
    )
    raise UserError(f"{path} is no TIFF or PNG image: {reason} as TIFF, OME-TIFF or PNG")


def _open_tiff(path: Path) -> xarray.DataArray:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        every = tif.series
        if not every:
            raise UserError(f"{path} holds no image: the file is damaged or cut off, copy it anew")
        first = every[0]
        if any(one.shape != first.shape or one.dtype != first.dtype or one.axes != first.axes for one in every):
            shapes = ", ".join("x".join(map(str, one.shape)) for one in every[:4])
            raise UserError(f"{path} holds {len(every)} images of different shape ({shapes}): save each as a file")
        _check_type(path, first.dtype)
        _check_whole(path, tif, every)
        axes, shape = first.axes, first.shape
        if axes[-1] == "S":
            axes, shape = axes[:-1], shape[:-1]
        if axes[-2:] != "YX":
            raise UserError(f"{path} has the axes {axes}: save it with height and width as the last two (YX)")
        addresses = [address for one in every for address in _addresses(path, one)]
        if len(addresses) != len(every) * math.prod(shape[:-2]):
            raise UserError(f"{path} is laid out in a way that is not read here: export it as OME-TIFF")
        if len(every) > 1:
            axes = _unused(axes, "P") + axes
            shape = (len(every), *shape)
        axes = _distinct(axes)
        layout = _layout(tif, axes, len(every))
        stored = np.dtype(first.dtype).newbyteorder(tif.byteorder)
        names = _channel_names(tif, layout, shape[axes.index("C")]) if "C" in axes else None
        resolution = _pixel_size(tif, layout)
    stored_planes = _Planes(path, tuple(axes), tuple(shape), stored, tuple(addresses))
    return _as_array(stored_planes, layout, resolution, names)


def _addresses(path: Path, series: tifffile.TiffPageSeries) -> Iterator[_Address]:
    """Where every plane of a series lies, in the order of its axes."""
    keyframe = series.keyframe
    samples = keyframe.axes[-1] == "S"
    plane = math.prod(keyframe.shape[-3:-1] if samples else keyframe.shape[-2:])
    if series.dataoffset is not None and not samples:
        count = math.prod(series.shape) // plane
        nbytes = plane * np.dtype(series.dtype).itemsize
        yield from (_Address(path, offset=series.dataoffset + number * nbytes) for number in range(count))
        return
    items = math.prod(keyframe.shape[:-3] if samples else keyframe.shape[:-2])
    for number, page in enumerate(series.pages):
        if page is None:
            raise UserError(f"{path}, plane {number}, is missing: the file belongs to a set that is not whole")
        index = page.index if isinstance(page.index, int) else page.index[0]
        owner = Path(page.parent.filehandle.path)
        yield from (_Address(owner, page=index, item=item) for item in range(items))


def _check_type(path: Path, dtype: np.dtype[Any] | None) -> None:
    if dtype is None or dtype.kind not in "uif":
        kinds = {"c": "complex numbers", "b": "a 1-bit mask"}
        held = kinds.get(dtype.kind if dtype is not None else "", "values of no known type")
        raise UserError(f"{path} holds {held}, not gray values: save an image of integers or floats")


def _check_whole(path: Path, tif: tifffile.TiffFile, every: Sequence[tifffile.TiffPageSeries]) -> None:
    """Refuse a file that ends before its pixels or pages do: tifffile reads what is left of it."""
    size = path.stat().st_size
    cut = UserError(f"{path} is cut off: it ends before its last plane does, copy it anew")
    if tif.is_imagej and every[0].kind != "imagej":
        raise cut
    for one in every:
        if one.dataoffset is not None and one.dataoffset + one.nbytes > size:
            raise cut
        for page in one.pages:
            if page is not None and page.parent is tif:
                ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=False))
                if max(ends, default=0) > size:
                    raise cut
    if any(_end_of_header(tif, tif.pages[number].offset) > size for number in {0, len(tif.pages) - 1}):
        raise cut


def _end_of_header(tif: tifffile.TiffFile, offset: int) -> int:
    """Return the last byte that the page header at an offset needs, the next header's first included."""
    handle, form = tif.filehandle, tif.tiff
    handle.seek(offset)
    count = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    entries = handle.read(count * form.tagsize)
    end = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0] + 1
    layout = f"{tif.byteorder}HH" + form.offsetformat[-1] * 2
    for code, kind, length, place in struct.iter_unpack(layout, entries):
        nbytes = length * _TAG_BYTES.get(kind, 1)
        if code in _NEEDED_TAGS and nbytes > form.offsetsize:
            end = max(end, place + nbytes)
    return int(end)


def _layout(tif: tifffile.TiffFile, axes: str, series: int) -> Layout:
    page = tif.series[0].keyframe
    kind = tif.series[0].kind
    tags: dict[str, Any] = {}
    if "XResolution" in page.tags and "YResolution" in page.tags:
        resolution = page.tags["XResolution"].value, page.tags["YResolution"].value
        if all(number and per for number, per in resolution):
            tags["resolution"] = resolution
            tags["resolutionunit"] = int(page.resolutionunit)
    if page.photometric == 0:  # WhiteIsZero
        tags["photometric"] = "miniswhite"
    elif page.colormap is not None and page.axes[-1] != "S":
        tags["colormap"] = page.colormap
    for name in ("Software", "DateTime"):
        if name in page.tags and isinstance(page.tags[name].value, str):
            value = page.tags[name].value
            tags[name.lower()] = value if value.isascii() else value.encode()
    known = {"imagej": "imagej", "ome": "ome", "shaped": "shaped", "uniform": "plain", "generic": "plain"}
    kind = known.get(kind, "shaped")
    if kind == "shaped" and not any("axes" in entry for entry in tif.shaped_metadata or ({"axes": axes},)):
        kind = "plain" if len(axes) == 2 else "unnamed"
    if kind == "plain" and page.description:
        tags["description"] = page.description.encode()
    return Layout(
        kind=kind,
        axes=axes,
        series=series,
        imagej=dict(tif.imagej_metadata or {}) if kind == "imagej" else {},
        ome=(tif.ome_metadata or "") if kind == "ome" else "",
        tags=tags,
        colour=page.axes[-1] == "S",
        bigtiff=tif.is_bigtiff,
        byteorder=tif.byteorder,
    )


def _pixel_size(tif: tifffile.TiffFile, layout: Layout) -> PixelSize | None:
    if layout.kind == "ome":
        pixels = _ome_pixels(layout.ome)
        try:
            y, x = (float(pixels[f"PhysicalSize{axis}"]) for axis in "YX")
        except (KeyError, ValueError):
            return None
        return PixelSize(y, x, pixels.get("PhysicalSizeYUnit", "µm"))
    if "resolution" not in layout.tags:
        return None
    (x_number, x_per), (y_number, y_per) = layout.tags["resolution"]
    unit = {2: "inch", 3: "cm"}.get(layout.tags["resolutionunit"])
    if layout.kind == "imagej":
        written = str(layout.imagej.get("unit", ""))
        unit = _IMAGEJ_UNITS.get(written, written)
    return PixelSize(y_per / y_number, x_per / x_number, unit) if unit else None


def _channel_names(tif: tifffile.TiffFile, layout: Layout, count: int) -> list[str] | None:
    """What the file calls its channels, where it calls each something of its own."""
    names: list[str] = []
    if layout.kind == "ome":
        names = [element.get("Name", "") for element in _ome_elements(layout.ome, "Channel")][:count]
    elif layout.kind == "imagej":
        labels = layout.imagej.get("Labels", [])
        names = [str(label) for label in labels[:count]] if isinstance(labels, list) else []
    return names if len(names) == count and len({*names, ""}) == count + 1 else None


def _ome_elements(xml: str, name: str) -> list[ElementTree.Element]:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return []
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _ome_pixels(xml: str) -> dict[str, str]:
    found = _ome_elements(xml, "Pixels")
    return dict(found[0].attrib) if found else {}


def _as_array(
    stored: _Planes, layout: Layout, resolution: PixelSize | None, names: list[str] | None
) -> xarray.DataArray:
    import dask.array
    import xarray

    dtype = stored.stored.newbyteorder("=")
    lead = stored.shape[:-2]
    lazy = dask.array.map_blocks(  # type: ignore[no-untyped-call]
        stored,
        chunks=tuple((1,) * length for length in lead) + tuple((length,) for length in stored.shape[-2:]),
        dtype=dtype,
        meta=np.empty((0,) * len(stored.shape), dtype),
    )
    image = xarray.DataArray(
        lazy,
        dims=stored.dims,
        coords={"C": names} if names else None,
        attrs={"path": stored.file, "dtype": str(dtype), "resolution": resolution, "metadata": layout},
    )
    ordered = [dim for dim in stored.dims if dim not in _ORDER] + [dim for dim in _ORDER if dim in stored.dims]
    return image.transpose(*ordered)


def _unused(axes: str, wanted: str) -> str:
    return next(letter for letter in wanted + _SPARE if letter not in axes)


def _distinct(axes: str) -> str:
    """Give the second of two equal letters, which tifffile uses for unknown axes, a letter of its own."""
    told = ""
    for letter in axes:
        told += _unused(told + axes.replace(letter, ""), letter) if letter in told else letter
    return told


def _luminance(plane: NDArray[Any], where: str) -> NDArray[Any]:
    """Return the gray values (H, W) of a colour plane (H, W, colours) whose colours are equal."""
    if any((plane[..., 0] != plane[..., other]).any() for other in range(1, plane.shape[-1])):
        raise UserError(
            f"{where} is a colour image: split its channels and save the one that counts as gray values "
            "(Fiji: Image > Color > Split Channels)"
        )
    return np.ascontiguousarray(plane[..., 0])


def _open_png(path: Path) -> xarray.DataArray:
    from PIL import Image

    with path.open("rb") as file:
        header = file.read(26)
        file.seek(-min(path.stat().st_size, 1024), 2)
        if b"IEND" not in file.read():
            raise UserError(f"{path} is cut off: it ends before its image does, copy it anew")
    width, height, depth, colour = struct.unpack(">IIBB", header[16:26])
    with Image.open(path) as picture:
        dots = picture.info.get("dpi")
    tags, resolution = {}, None
    if dots and all(dots):
        x, y = float(dots[0]), float(dots[1])
        tags, resolution = {"resolution": (x, y), "resolutionunit": 2}, PixelSize(1 / y, 1 / x, "inch")
    stored = np.dtype(np.uint16 if depth == 16 else np.uint8)
    one = _Planes(path, ("Y", "X"), (height, width), stored, (_Address(path),))
    return _as_array(one, Layout("plain", "YX", tags=tags, colour=colour != 0), resolution, None)


def _decode_png(path: Path) -> NDArray[Any]:
    import imagecodecs

    array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return array[..., :-1] if array.ndim == 3 and array.shape[-1] in (2, 4) else array  # without alpha


def _damaged(where: str, error: BaseException) -> UserError:
    told = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    brief = told if len(told) <= 100 else told[:97] + "..."
    return UserError(f"{where} cannot be read, the file is damaged or cut off: copy it anew ({brief})")
