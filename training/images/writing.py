"""Writing an image as TIFF, like the file that it came from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import DTypeLike, NDArray

from training.errors import UserError
from training.images.layout import Layout
from training.images.reading import plane_values
from training.whole import replacing

if TYPE_CHECKING:
    import xarray

_OME_TYPES = {
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "i1": "int8", "i2": "int16", "i4": "int32",
    "f4": "float", "f8": "double",
}  # fmt: skip
_CLASSIC_LIMIT = 2**32 - 2**25  # tifffile's own: bytes of pixels that leave room for the tags


def write_image(
    path: Path | str,
    array: xarray.DataArray | NDArray[Any],
    *,
    like: xarray.DataArray,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
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

    Raises
    ------
    UserError
        Where the file exists, is the input, or cannot be written, and where a pixel is NaN or infinite.
    """
    import xarray

    path = Path(path)
    image = like.copy(data=array) if not isinstance(array, xarray.DataArray) else array
    if image.dims != like.dims or image.shape != like.shape:
        raise ValueError(f"{image.dims} of {image.shape} is not laid out as {like.dims} of {like.shape}")
    if path.suffix.lower() not in (".tif", ".tiff", ".btf", ".tf2", ".tf8"):
        raise UserError(f"{path}: images are written as TIFF; let the name end in .tif")
    origin = Path(like.attrs["path"])
    if path.exists():
        if origin.exists() and path.samefile(origin):
            raise UserError(f"{path} is the input: an input is never replaced, write to another folder")
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file")
        if not overwrite:
            raise UserError(f"{path} exists: choose another folder, or replace it with --overwrite")
    layout: Layout = like.attrs["metadata"]
    target = np.dtype(like.attrs["dtype"] if dtype is None else dtype)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            _write(beside, image, layout, target, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _write(beside: Path, image: xarray.DataArray, layout: Layout, dtype: np.dtype[Any], path: Path) -> None:
    axes = layout.axes
    kind = layout.kind
    if kind == "imagej" and dtype.char not in "BHhf":
        kind = "shaped"  # ImageJ has no such type
    if kind == "ome" and (dtype.str[1:] not in _OME_TYPES or not _describes(layout, image)):
        kind = "shaped"  # OME has no such type, or the header is that of a set of several files
    if kind == "imagej":
        axes = "".join(sorted(axes, key="TZCYX".find))
    image = image.transpose(*axes)
    stored = dtype.newbyteorder(layout.byteorder) if dtype.itemsize > 1 else dtype
    nbytes = image.size * dtype.itemsize
    # ImageJ reads more than 4 GB where one header stands before all planes
    truncate = {"truncate": True} if kind == "imagej" and nbytes > _CLASSIC_LIMIT else {}
    options: dict[str, Any] = {"photometric": "minisblack", **layout.tags, **truncate}
    colormap = options.pop("colormap", None)
    if colormap is not None and dtype.str[1:] == f"u{int(math.log2(colormap.shape[1])) // 8}":
        options |= {"colormap": colormap, "photometric": "palette"}
    if axes.endswith("SYX"):
        options["planarconfig"] = "separate"
    options |= _metadata(kind, axes, image, layout, dtype)
    import tifffile

    with tifffile.TiffWriter(
        beside,
        bigtiff=kind != "imagej" and (layout.bigtiff or nbytes > _CLASSIC_LIMIT),
        byteorder=layout.byteorder,
        imagej=kind == "imagej",
        ome=False,
        shaped=kind in ("shaped", "unnamed"),
    ) as tif:
        # an OME file takes all its series in one row of pages
        parts = [image] if kind == "ome" or layout.series == 1 else [image[n] for n in range(layout.series)]
        for part in parts:
            tif.write(_cast(part, dtype, path), shape=part.shape, dtype=stored, **options)


def _cast(image: xarray.DataArray, dtype: np.dtype[Any], path: Path) -> Iterator[NDArray[Any]]:
    for index in np.ndindex(image.shape[:-2]):
        plane = plane_values(image[index])
        if plane.dtype != dtype:
            if not np.isfinite(plane).all():
                raise UserError(f"{path}: plane {index} came out as NaN or infinite, nothing is written")
            if dtype.kind in "ui":
                limits = np.iinfo(dtype)
                plane = np.clip(np.rint(plane) if plane.dtype.kind == "f" else plane, limits.min, limits.max)
        yield plane.astype(dtype)


def _metadata(kind: str, axes: str, image: xarray.DataArray, layout: Layout, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what says the axes, as keywords of ``TiffWriter.write``."""
    match kind:
        case "imagej":
            kept = {key: _escaped(key, value) for key, value in layout.imagej.items() if key != "order"}
            return {"metadata": {**kept, "axes": axes}, "description": None, "software": None}
        case "ome":
            return {"metadata": None, "description": _ome_xml(layout, image, dtype).encode()}
        case "shaped":
            return {"metadata": {"axes": axes[1:] if layout.series > 1 else axes}, "description": None}
        case "unnamed":
            return {"metadata": {}, "description": None}
        case _:
            return {"metadata": None}


def _escaped(key: str, value: object) -> object:
    """Write letters beyond ASCII as ImageJ does in its header; its capitalised entries lie elsewhere, as they are."""
    if not isinstance(value, str) or key[0].isupper():
        return value
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in value)


def _pixels(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [element for element in root.iter() if _plain(element.tag) == "Pixels"]


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def _samples(pixels: ElementTree.Element) -> int:
    counts = [int(child.get("SamplesPerPixel", 1)) for child in pixels if _plain(child.tag) == "Channel"]
    return max(counts, default=1)


def _describes(layout: Layout, image: xarray.DataArray) -> bool:
    """Whether the OME-XML speaks of these planes and no others."""
    try:
        found = _pixels(ElementTree.fromstring(layout.ome))
        counts = [math.prod(int(one.get(f"Size{axis}", 0)) for axis in "ZCT") // _samples(one) for one in found]
    except (ElementTree.ParseError, ValueError):
        return False
    return counts == [math.prod(image.shape[:-2]) // layout.series] * layout.series


def _ome_xml(layout: Layout, image: xarray.DataArray, dtype: np.dtype[Any]) -> str:
    """Return the OME-XML of the input, changed where the new file differs: type of the pixels, place of the planes."""
    root = ElementTree.fromstring(layout.ome)
    namespace = root.tag[1:].partition("}")[0] if root.tag.startswith("{") else ""
    if namespace:
        ElementTree.register_namespace("", namespace)
    root.attrib.pop("UUID", None)
    planes = math.prod(image.shape[:-2]) // layout.series
    for number, pixels in enumerate(_pixels(root)):
        samples = _samples(pixels)
        written = _OME_TYPES[dtype.str[1:]]
        if pixels.get("Type") != written:
            pixels.attrib.pop("SignificantBits", None)
        pixels.set("Type", written)
        pixels.set("SizeC", str(int(pixels.get("SizeC", samples)) // samples))
        pixels.attrib.pop("BigEndian", None)
        for child in list(pixels):
            if _plain(child.tag) in ("TiffData", "BinData", "MetadataOnly"):
                pixels.remove(child)
            elif _plain(child.tag) == "Channel" and "SamplesPerPixel" in child.attrib:
                child.set("SamplesPerPixel", "1")
        place = sum(_plain(child.tag) == "Channel" for child in pixels)
        tag = f"{{{namespace}}}TiffData" if namespace else "TiffData"
        pixels.insert(place, ElementTree.Element(tag, IFD=str(number * planes), PlaneCount=str(planes)))
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(root, encoding="unicode")
