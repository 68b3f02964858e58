"""TIFF and OME-TIFF: what a file holds, found without reading its pixels."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from training.errors import UserError
from training.images.layout import Layout, PixelSize
from training.images.stored import Address, Planes, as_array

if TYPE_CHECKING:
    import tifffile
    import xarray

_SPARE = "QIRPVMLAHEBDFGJKNOUW"
_NEEDED_TAGS = (270, 273, 279, 324, 325, 50838, 50839)  # description, places of the pixels, ImageJ's metadata
_TAG_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # others: a byte
_IMAGEJ_UNITS = {"": None, "pixel": None, "um": "µm", "micron": "µm", "microns": "µm", "\\u00B5m": "µm"}

# tifffile logs what it finds odd in a broken file; the same reaches the user as one line
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class _Raw:
    """A plane that is stored as it is, at an offset into the file."""

    path: Path
    offset: int

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any]) -> NDArray[Any]:
        return np.fromfile(self.path, stored, math.prod(shape), offset=self.offset).reshape(shape)


@dataclass(frozen=True)
class _InPage:
    """A plane that a page holds, ``item`` of several where it has a depth."""

    path: Path
    page: int
    item: int

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any]) -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(self.path) as tif:
            page = tif.pages[self.page].aspage()
            array = page.asarray()
            if not _in_colour(page):
                return np.asarray(array.reshape(-1, *array.shape[-2:])[self.item])
            if page.axes[-1] != "S":
                array = np.moveaxis(array, -3, -1)
            alpha = sum(kind in (1, 2) for kind in page.extrasamples)
            colours = array.shape[-1] - alpha
            return np.asarray(array.reshape(-1, *array.shape[-3:])[self.item, ..., :colours])


def open_tiff(path: Path) -> xarray.DataArray:
    """Open a file that begins as a TIFF does; see ``open_image``."""
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
        if _in_colour(first.keyframe) and "S" in axes:
            samples = axes.rindex("S")
            axes, shape = axes[:samples] + axes[samples + 1 :], shape[:samples] + shape[samples + 1 :]
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
    stored_planes = Planes(path, tuple(axes), tuple(shape), stored, tuple(addresses))
    return as_array(stored_planes, layout, resolution, names)


def _addresses(path: Path, series: tifffile.TiffPageSeries) -> Iterator[Address]:
    """Where every plane of a series lies, in the order of its axes."""
    keyframe = series.keyframe
    colour = _in_colour(keyframe)
    sides = [length for axis, length in zip(keyframe.axes, keyframe.shape, strict=True) if axis in "YX"]
    if series.dataoffset is not None and not colour:
        nbytes = math.prod(sides) * np.dtype(series.dtype).itemsize
        yield from (_Raw(path, series.dataoffset + start) for start in range(0, series.nbytes, nbytes))
        return
    items = math.prod(keyframe.shape[: -3 if colour else -2])
    for number, page in enumerate(series.pages):
        if page is None:
            raise UserError(f"{path}, plane {number}, is missing: the file belongs to a set that is not whole")
        index = page.index if isinstance(page.index, int) else page.index[0]
        owner = Path(page.parent.filehandle.path)
        yield from (_InPage(owner, index, item) for item in range(items))


def _in_colour(page: tifffile.TiffPage) -> bool:
    """Whether the last axis of a page are samples, or it holds a plane for each of red, green and blue."""
    return page.axes[-1] == "S" or (page.axes[-3:] == "SYX" and page.photometric == 2)


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
    elif page.colormap is not None and not _in_colour(page):
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
        colour=_in_colour(page),
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


def _unused(axes: str, wanted: str) -> str:
    return next(letter for letter in wanted + _SPARE if letter not in axes)


def _distinct(axes: str) -> str:
    """Give the second of two equal letters, which tifffile uses for unknown axes, a letter of its own."""
    told = ""
    for letter in axes:
        told += _unused(told + axes.replace(letter, ""), letter) if letter in told else letter
    return told
