"""OME-XML: which planes it speaks of, the part of it that is of one file of a set, and what it becomes when written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from training.errors import ImageError

_TYPES = {
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "i1": "int8", "i2": "int16", "i4": "int32",
    "f4": "float", "f8": "double",
}  # fmt: skip


@dataclass(frozen=True)
class _Plane:
    """Where a plane of the set lies in the file at hand."""

    index: tuple[int, ...]
    """Its number along the axes that ``DimensionOrder`` names after X and Y, the fastest first."""

    page: int


def elements(xml: str, name: str) -> list[ElementTree.Element]:
    """Return the elements of a name, in the order of the text; none where the text is no XML."""
    root = _parsed(xml)
    return [] if root is None else list(_named(root, name))


def part_of_set(xml: str, path: Path, pages: int) -> str | None:
    """Return the OME-XML of one file of a set as it would be if the file stood alone.

    Parameters
    ----------
    xml
        The header of the file; that of a file that stands alone comes back as it is.
    path
        The file; its header may lie in another one beside it.
    pages
        How many pages the file has.

    Returns
    -------
    str or None
        None where no header speaks of the file's planes.

    Raises
    ------
    UserError
        Where the header is missing and the file has several pages, or its planes are no full grid.
    """
    root = _parsed(xml)
    if root is None:
        return xml
    uuid = root.get("UUID")
    elsewhere = next(_named(root, "BinaryOnly"), None)
    if elsewhere is not None:
        root = _header_beside(path, elsewhere.get("MetadataFile", ""))
    elif all(mark.text == uuid for data in _named(root, "TiffData") for mark in _named(data, "UUID")):
        return xml
    found = [] if root is None else _images_in(root, path, uuid, pages)
    if root is None or not found:
        if pages == 1:
            return None
        where = f" ({elsewhere.get('MetadataFile')})" if elsewhere is not None else ""
        raise ImageError(
            f"{path} is one of a set of files, and the header that says which planes are its{where} is missing or of "
            "other files: put it beside, or save the set as one OME-TIFF"
        )
    kept = {image.get("ID") for image in found}
    for parent in list(root.iter()):
        for child in list(parent):
            if (_plain(child.tag) == "Image" and child not in found) or (
                _plain(child.tag) == "ImageRef" and child.get("ID") not in kept
            ):
                parent.remove(child)
    root.attrib.pop("UUID", None)
    return _text(root)


def describes(xml: str, *, series: int, planes: int) -> bool:
    """Whether the OME-XML speaks of so many series of so many planes each, and of no others."""
    try:
        found = elements(xml, "Pixels")
        counts = [math.prod(int(one.get(f"Size{axis}", 0)) for axis in "ZCT") // _samples(one) for one in found]
    except ValueError:
        return False
    return counts == [planes] * series


def has_type(dtype: np.dtype[Any]) -> bool:
    """Whether OME has such a type of pixels."""
    return dtype.str[1:] in _TYPES


def rewritten(xml: str, *, planes: int, dtype: np.dtype[Any]) -> str:
    """Return the OME-XML of the input, changed where the new file differs: type of the pixels, place of the planes.

    Parameters
    ----------
    xml
        A text that ``describes`` the planes.
    planes
        How many each series has; they follow one another in the new file.
    dtype
        Their type, one that ``has_type``.
    """
    root = ElementTree.fromstring(xml)
    root.attrib.pop("UUID", None)
    for number, pixels in enumerate(_named(root, "Pixels")):
        samples = _samples(pixels)
        written = _TYPES[dtype.str[1:]]
        if pixels.get("Type") != written:
            pixels.attrib.pop("SignificantBits", None)
        pixels.set("Type", written)
        pixels.set("SizeC", str(int(pixels.get("SizeC", samples)) // samples))
        pixels.attrib.pop("BigEndian", None)
        for channel in _named(pixels, "Channel"):
            if "SamplesPerPixel" in channel.attrib:
                channel.set("SamplesPerPixel", "1")
        _place(pixels, [{"IFD": number * planes, "PlaneCount": planes}])
    return _text(root)


def _images_in(root: ElementTree.Element, path: Path, uuid: str | None, pages: int) -> list[ElementTree.Element]:
    """Leave of each image what lies in the file, and return those of which something does."""
    marks = {mark.text for block in _named(root, "TiffData") for mark in _named(block, "UUID")}

    def ours(block: ElementTree.Element) -> bool:
        mark = next(_named(block, "UUID"), None)
        if mark is None or mark.text == uuid or len(marks) == 1:  # the only file named may have another name by now
            return True
        return mark.get("FileName", "").casefold() == path.name.casefold()

    return [image for image in _named(root, "Image") if _keep(image, ours, path, pages)]


def _keep(image: ElementTree.Element, ours: Callable[[ElementTree.Element], bool], path: Path, pages: int) -> bool:
    """Leave of an image what lies in the file: sizes, channels and planes; whether anything does."""
    pixels = next(_named(image, "Pixels"), None)
    if pixels is None:
        return False
    order = pixels.get("DimensionOrder", "XYZCT")[2:]
    planes = list(_planes_in(pixels, order, ours, pages))
    if not planes:
        return False
    kept = [sorted(set(numbers)) for numbers in zip(*(plane.index for plane in planes), strict=True)]
    if len({plane.index for plane in planes}) < math.prod(map(len, kept)):
        raise ImageError(
            f"{path} is one of a set of files and holds a part of it that is no full grid of {', '.join(order)}: "
            "save the set as one OME-TIFF"
        )
    held = dict(zip(order, kept, strict=True))
    channels = list(_named(pixels, "Channel"))
    samples = _samples(pixels)
    if len(channels) * samples == int(pixels.get("SizeC", 0)):
        for number, channel in enumerate(channels):
            if number not in held["C"]:
                pixels.remove(channel)
    for axis, numbers in held.items():
        pixels.set(f"Size{axis}", str(len(numbers) * (samples if axis == "C" else 1)))
    for plane in list(_named(pixels, "Plane")):
        place = {axis: int(plane.get(f"The{axis}", 0)) for axis in order}
        if any(place[axis] not in held[axis] for axis in order):
            pixels.remove(plane)
            continue
        for axis in order:
            plane.set(f"The{axis}", str(held[axis].index(place[axis])))
    firsts = [
        {f"First{axis}": held[axis].index(number) for axis, number in zip(order, plane.index, strict=True)}
        for plane in planes
    ]
    _place(pixels, [first | {"IFD": plane.page, "PlaneCount": 1} for first, plane in zip(firsts, planes, strict=True)])
    return True


def _planes_in(
    pixels: ElementTree.Element, order: str, ours: Callable[[ElementTree.Element], bool], pages: int
) -> Iterator[_Plane]:
    sizes = [int(pixels.get(f"Size{axis}", 1)) // (_samples(pixels) if axis == "C" else 1) for axis in order]
    for block in filter(ours, _named(pixels, "TiffData")):
        page = int(block.get("IFD", 0))
        count = int(block.get("PlaneCount", block.get("NumPlanes", 1 if "IFD" in block.attrib else pages)))
        first = [int(block.get(f"First{axis}", 0)) for axis in order]
        start = int(np.ravel_multi_index(first, sizes, order="F"))
        for number in range(min(count, pages - page, math.prod(sizes) - start)):
            index = np.unravel_index(start + number, sizes, order="F")
            yield _Plane(tuple(int(one) for one in index), page + number)


def _header_beside(path: Path, name: str) -> ElementTree.Element | None:
    """Return the OME-XML that lies in another file of the folder: a companion, or the first image of the set."""
    import tifffile

    beside = path.parent / Path(name).name
    if not name or not beside.is_file():
        return None
    try:
        if beside.suffix.lower() in (".ome", ".xml"):
            return _parsed(beside.read_text(encoding="utf-8"))
        with tifffile.TiffFile(beside) as tif:
            return _parsed(tif.ome_metadata or "")
    except (OSError, ValueError):
        return None


def _place(pixels: ElementTree.Element, blocks: list[dict[str, int]]) -> None:
    """Say where the planes lie, behind the channels, in place of what was said before."""
    for child in list(pixels):
        if _plain(child.tag) in ("TiffData", "BinData", "MetadataOnly"):
            pixels.remove(child)
    place = len(list(_named(pixels, "Channel")))
    space = pixels.tag.removesuffix("Pixels")
    for number, block in enumerate(blocks):
        attributes = {name: str(value) for name, value in block.items()}
        pixels.insert(place + number, ElementTree.Element(f"{space}TiffData", attributes))


def _parsed(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def _text(root: ElementTree.Element) -> str:
    namespace = root.tag[1:].partition("}")[0] if root.tag.startswith("{") else ""
    if namespace:
        ElementTree.register_namespace("", namespace)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(root, encoding="unicode")


def _named(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Yield the elements of a name below another, or itself."""
    return (one for one in list(element.iter()) if _plain(one.tag) == name)


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def _samples(pixels: ElementTree.Element) -> int:
    return max((int(channel.get("SamplesPerPixel", 1)) for channel in _named(pixels, "Channel")), default=1)
