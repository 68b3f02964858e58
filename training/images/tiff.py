"""TIFF and OME-TIFF: what a file holds, found without reading its pixels."""

from __future__ import annotations

import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.errors import ImageError, ImageWarning
from training.images import ome
from training.images.lazy import Address, FilePlanes, Region, as_array
from training.images.metadata import Metadata, PixelSize
from training.util.text import counted

if TYPE_CHECKING:
    import tifffile
    import xarray

_SPARE = "QIRPVMLAHEBDFGJKNOUW"
_NEEDED_TAGS = (270, 273, 279, 324, 325, 50838, 50839)  # description, places of the pixels, ImageJ's metadata
_DATE_TIME = re.compile(r"[\x01-\x7f]{16}:[\x01-\x7f]{2}")  # all that tifffile writes
_SIGNED = (0, -32768.0, 1.0)  # ImageJ's calibration of values: a straight line, offset and slope
_UNCHANGED = (0, 0.0, 1.0)
_PADDING = 8  # bytes that a writer may leave at the end of a file
_JPEG = (6, 7, 33007, 34892)
_IMAGEJ_UNITS = {"": None, "pixel": None, "um": "µm", "micron": "µm", "microns": "µm", "\\u00B5m": "µm"}

# tifffile logs what it finds odd in a broken file; the same reaches the user as one line
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class _Raw:
    """A plane that is stored as it is, at an offset into the file."""

    path: Path
    offset: int

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any], region: Region) -> NDArray[Any]:
        rows, columns = region
        lines = rows.stop - rows.start, shape[1]
        start = self.offset + rows.start * shape[1] * stored.itemsize
        return np.fromfile(self.path, stored, math.prod(lines), offset=start).reshape(lines)[:, columns]


@dataclass(frozen=True)
class _Signed:
    """A plane of signed 16 bits as ImageJ stores it: unsigned, 32768 above."""

    address: Address
    unsigned: np.dtype[Any]

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any], region: Region) -> NDArray[Any]:
        return (self.address.read(shape, self.unsigned, region) ^ 0x8000).astype("u2").view(stored)


@dataclass(frozen=True)
class _InPage:
    """A plane that a page holds, ``item`` of several where it has a depth."""

    path: Path
    page: int | tuple[int, ...]
    offset: int
    """Of the page's header: the chain of pages need not be walked to it."""
    item: int

    def read(self, shape: tuple[int, ...], stored: np.dtype[Any], region: Region) -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(self.path) as tif:
            tif.filehandle.seek(self.offset)
            page = tifffile.TiffPage(tif, index=self.page)
            if page.axes == "YX":
                return _part(page, region)
            array = page.asarray()
            if not _in_colour(page):
                return np.asarray(array.reshape(-1, *array.shape[-2:])[self.item][region])
            if page.axes[-1] != "S":
                array = np.moveaxis(array, -3, -1)
            alpha = sum(kind in (1, 2) for kind in page.extrasamples)
            colours = array.shape[-1] - alpha
            return np.asarray(array.reshape(-1, *array.shape[-3:])[self.item, ..., :colours][region])


def _part(page: tifffile.TiffPage, region: Region) -> NDArray[Any]:
    """Return a region (rows, columns) of a page of one gray plane, decoding the strips or tiles that it touches."""
    rows, columns = region
    whole = rows.start == columns.start == 0 and (rows.stop, columns.stop) == page.shape
    if whole or page.compression in _JPEG:  # what a JPEG needs beside its segments, tifffile knows best
        return np.asarray(page.asarray()[region])
    height, width = page.chunks
    first = rows.start // height * height, columns.start // width * width
    size = -(-rows.stop // height) * height - first[0], -(-columns.stop // width) * width - first[1]
    result = np.zeros(size, page.dtype)
    for top in range(first[0], rows.stop, height):
        for left in range(first[1], columns.stop, width):
            number = top // height * page.chunked[-1] + left // width
            page.parent.filehandle.seek(page.dataoffsets[number])
            encoded = page.parent.filehandle.read(page.databytecounts[number])
            segment, _, (_, lines, length, _) = page.decode(encoded, number)
            place = slice(top - first[0], top - first[0] + lines), slice(left - first[1], left - first[1] + length)
            result[place] = page.nodata if segment is None else segment[0, ..., 0]
    return result[rows.start - first[0] : rows.stop - first[0], columns.start - first[1] : columns.stop - first[1]]


def open_tiff(path: Path) -> xarray.DataArray:
    """Open a file that begins as a TIFF does; see ``open_image``."""
    with _open_one(path) as (tif, stale):
        every = tif.series
        if not every:
            raise ImageError(f"{path} holds no image: the file is damaged or cut off, copy it anew")
        first = every[0]
        if any(one.shape != first.shape or one.dtype != first.dtype or one.axes != first.axes for one in every):
            shapes = ", ".join("x".join(map(str, one.shape)) for one in every[:4])
            raise ImageError(f"{path} holds {len(every)} images of different shape ({shapes}): save each as a file")
        if first.dtype is None or first.dtype.kind not in "uif":
            held = {"c": "complex numbers", "b": "a 1-bit mask"}.get(
                np.dtype(first.dtype).kind, "values of no known type"
            )
            raise ImageError(f"{path} holds {held}, not gray values: save an image of integers or floats")
        _check_whole(path, tif, every)
        if stale:
            pages = counted(len(tif.pages), "page")
            warnings.warn(
                f"{path}: the description in it does not fit the file: what it holds is read, {pages}",
                ImageWarning,
                stacklevel=2,
            )
        axes, shape = first.axes, first.shape
        if _in_colour(first.keyframe) and "S" in axes:
            samples = axes.rindex("S")
            axes, shape = axes[:samples] + axes[samples + 1 :], shape[:samples] + shape[samples + 1 :]
        planar = axes[-3:] == "SYX" and "C" not in axes
        if planar:
            axes = axes[:-3] + "CYX"
        if axes[-2:] != "YX":
            raise ImageError(f"{path} has the axes {axes}: save it with height and width as the last two (YX)")
        addresses = [address for one in every for address in _addresses(path, one)]
        if len(addresses) != len(every) * math.prod(shape[:-2]):
            raise ImageError(f"{path} is laid out in a way that is not read here: export it as OME-TIFF")
        if len(every) > 1:
            axes = _unused(axes, "P") + axes
            shape = (len(every), *shape)
        axes = _distinct(axes)
        metadata = _metadata(tif, axes, len(every), planar=planar)
        if not metadata.signed and _value_calibration(metadata.imagej) not in ((), _UNCHANGED):
            warnings.warn(
                f"{path}: Fiji shows its values calibrated ({metadata.imagej['vunit']}); the stored numbers are read",
                ImageWarning,
                stacklevel=2,
            )
        stored = np.dtype(first.dtype).newbyteorder(tif.byteorder)
        if metadata.signed:
            stored, addresses = np.dtype("i2"), [_Signed(address, stored) for address in addresses]
        names = _channel_names(tif, metadata, shape[axes.index("C")]) if "C" in axes else None
        resolution = _pixel_size(tif, metadata)
    opened = FilePlanes(path, tuple(axes), tuple(shape), stored, tuple(addresses))
    return as_array(opened, metadata, resolution, names)


@contextmanager
def _open_one(path: Path) -> Iterator[tuple[tifffile.TiffFile, bool]]:
    """Open a file without the others of its set, and say whether its description was ignored, as not fitting the pages.

    tifffile follows the names of the other files of a set, and believes any description.
    """
    import tifffile

    with tifffile.TiffFile(path) as tif:
        alone = not any(one.is_multifile for one in tif.series)
        scope = alone and tif.is_mmstack and all(one.kind == "mmstack" for one in tif.series)
        stale = not scope and _is_stale(tif)
        xml = None if scope else tif.ome_metadata
        here = ome.part_of_set(xml, path, len(tif.pages)) if xml else None
        if here == xml and alone and not stale:
            yield tif, False
            return
    options: dict[str, Any] = {"omexml": here, "is_ome": here is not None, "is_mmstack": False, "is_ndtiff": False}
    if stale:
        options = {"is_ome": False, "is_imagej": False, "is_shaped": False}
    with tifffile.TiffFile(path, **options) as tif:
        yield tif, stale


def _is_stale(tif: tifffile.TiffFile) -> bool:
    """Whether a description of the planes, kept by a program that saved some of them, does not fit the pages.

    Not so where the file is cut off: of a stack with one header before all planes, no header speaks of what is lost.
    """
    if not tif.series or not (tif.is_imagej or tif.is_shaped):
        return False
    page, one_header = tif.pages.first, len(tif.pages) == 1
    size = tif.filehandle.size
    if all(one.kind in ("imagej", "shaped") for one in tif.series) and (
        sum(one.size for one in tif.series) == len(tif.pages) * page.size
        or len({one.shape for one in tif.series}) > 1
        or (one_header and all(one.dataoffset and one.dataoffset + one.nbytes <= size for one in tif.series))
    ):
        return False
    if not one_header:
        return True
    header = page.offset + tif.tiff.tagnosize + len(page.tags) * tif.tiff.tagsize + tif.tiff.offsetsize
    values = [tag.valueoffset + tag.valuebytecount for tag in page.tags]
    return bool(size - max(header, page.dataoffsets[-1] + page.databytecounts[-1], *values) <= _PADDING)


def _addresses(path: Path, series: tifffile.TiffPageSeries) -> Iterator[Address]:
    """Where every plane of a series lies, in the order of its axes."""
    keyframe = series.keyframe
    colour = _in_colour(keyframe)
    sides = [length for axis, length in zip(keyframe.axes, keyframe.shape, strict=True) if axis in "YX"]
    nbytes = math.prod(sides) * np.dtype(series.dtype).itemsize
    if series.dataoffset is not None and not colour:
        yield from (_Raw(path, series.dataoffset + start) for start in range(0, series.nbytes, nbytes))
        return
    items = math.prod(keyframe.shape[: -3 if colour else -2])
    for number, page in enumerate(series.pages):
        if page is None:
            raise ImageError(f"{path}, plane {number}, is missing: its header names more than it holds, save it anew")
        if page.is_final and page.dataoffsets[0] and not colour:
            yield from (_Raw(path, page.dataoffsets[0] + item * nbytes) for item in range(items))
        else:
            yield from (_InPage(path, page.index, page.offset, item) for item in range(items))


def _in_colour(page: tifffile.TiffPage) -> bool:
    """Whether the last axis of a page are samples, or it holds a plane for each of red, green and blue.

    Three planes of signed numbers or floats are channels: tifffile calls them colours where nobody told it otherwise.
    """
    planes = page.axes[-3:] == "SYX" and page.photometric == 2
    return page.axes[-1] == "S" or (planes and np.dtype(page.dtype).kind == "u")


def _check_whole(path: Path, tif: tifffile.TiffFile, every: Sequence[tifffile.TiffPageSeries]) -> None:
    """Refuse a file that ends before its pixels or pages do: tifffile reads what is left of it."""
    size = path.stat().st_size
    ends = [one.dataoffset + one.nbytes for one in every if one.dataoffset is not None]
    for page in (page for one in every for page in one.pages if page is not None):
        ends += map(sum, zip(page.dataoffsets, page.databytecounts, strict=False))
    ends += [_end_of_header(tif, tif.pages[number].offset) for number in {0, len(tif.pages) - 1}]
    if max(ends) > size or (tif.is_imagej and every[0].kind != "imagej"):
        raise ImageError(f"{path} is cut off: it ends before its last plane does, copy it anew")


def _end_of_header(tif: tifffile.TiffFile, offset: int) -> int:
    """Return the last byte that the page header at an offset needs, the next header's first included."""
    import tifffile

    handle, form, formats = tif.filehandle, tif.tiff, tifffile.TIFF.DATA_FORMATS
    handle.seek(offset)
    count = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    entries = handle.read(count * form.tagsize)
    end = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0] + 1
    layout = f"{tif.byteorder}HH" + form.offsetformat[-1] * 2
    for code, kind, length, place in struct.iter_unpack(layout, entries):
        nbytes = length * struct.calcsize("<" + formats.get(kind, "b"))
        if code in _NEEDED_TAGS and nbytes > form.offsetsize:
            end = max(end, place + nbytes)
    return int(end)


def _metadata(tif: tifffile.TiffFile, axes: str, series: int, *, planar: bool) -> Metadata:
    page = tif.series[0].keyframe
    tags: dict[str, Any] = {}
    resolution = page.tags.valueof("XResolution"), page.tags.valueof("YResolution")
    if all(one and all(one) for one in resolution):
        tags |= {"resolution": resolution, "resolutionunit": int(page.resolutionunit)}
    if page.photometric == 0:  # WhiteIsZero
        tags["photometric"] = "miniswhite"
    elif page.colormap is not None and not _in_colour(page):
        tags["colormap"] = page.colormap
    software, date = page.tags.valueof("Software"), page.tags.valueof("DateTime")
    if isinstance(software, str):
        tags["software"] = software if software.isascii() else software.encode()
    if isinstance(date, str) and _DATE_TIME.fullmatch(date):
        tags["datetime"] = date
    known = {"imagej": "imagej", "ome": "ome", "shaped": "shaped", "uniform": "plain", "generic": "plain"}
    kind = known.get(tif.series[0].kind, "shaped")
    named = any("axes" in entry for entry in tif.shaped_metadata or ({"axes": axes},))
    if kind == "shaped" and not named and not (page.is_volumetric and page.imagedepth > 1):
        kind = "plain" if len(axes) == 2 else "unnamed"
    of_axes = page.is_ome or page.is_imagej or page.description == page.shaped_description  # it may not fit any more
    if kind == "plain" and page.description and not of_axes:
        tags["description"] = page.description.encode()
    imagej = dict(tif.imagej_metadata or {}) if kind == "imagej" else {}
    return Metadata(
        kind=kind,
        axes=axes,
        series=series,
        imagej=imagej,
        signed=page.dtype == np.uint16 and _value_calibration(imagej) == _SIGNED,
        ome=(tif.ome_metadata or "") if kind == "ome" else "",
        tags=tags,
        colour=_in_colour(page),
        planar=planar,
        bigtiff=tif.is_bigtiff,
        byteorder=tif.byteorder,
    )


def _value_calibration(imagej: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the number of the function that Fiji puts the stored values through, and its coefficients, if any."""
    coefficients = [imagej[key] for key in ("c0", "c1", "c2", "c3", "c4") if key in imagej]
    return (imagej.get("cf", 0), *coefficients) if "vunit" in imagej and len(coefficients) >= 2 else ()


def _pixel_size(tif: tifffile.TiffFile, metadata: Metadata) -> PixelSize | None:
    if metadata.kind == "ome":
        pixels = next(iter(ome.elements(metadata.ome, "Pixels")))
        try:
            y, x = (float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "YX")
        except (KeyError, ValueError):
            return None
        return PixelSize(y, x, pixels.get("PhysicalSizeYUnit", "µm"))
    if "resolution" not in metadata.tags:
        return None
    (x_number, x_per), (y_number, y_per) = metadata.tags["resolution"]
    unit = {2: "inch", 3: "cm"}.get(metadata.tags["resolutionunit"])
    if metadata.kind == "imagej":
        written = str(metadata.imagej.get("unit", ""))
        unit = _IMAGEJ_UNITS.get(written, written)
    return PixelSize(y_per / y_number, x_per / x_number, unit) if unit else None


def _channel_names(tif: tifffile.TiffFile, metadata: Metadata, count: int) -> list[str] | None:
    """What the file calls its channels, where it calls each something of its own."""
    names: list[str] = []
    if metadata.kind == "ome":
        names = [element.get("Name", "") for element in ome.elements(metadata.ome, "Channel")][:count]
    elif metadata.kind == "imagej":
        labels = metadata.imagej.get("Labels", [])
        names = [str(label) for label in labels[:count]] if isinstance(labels, list) else []
    return names if len(names) == count and len({*names, ""}) == count + 1 else None


def _unused(axes: str, wanted: str) -> str:
    return next(letter for letter in wanted + _SPARE if letter not in axes)


def _distinct(axes: str) -> str:
    """Give the second of two equal letters, which tifffile uses for unknown axes, a letter of its own."""
    named = ""
    for letter in axes:
        named += _unused(named + axes.replace(letter, ""), letter) if letter in named else letter
    return named
