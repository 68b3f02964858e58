"""OME-XML: which planes it speaks of, the part of it that is of one file of a set, and what it becomes when written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from training.errors import ImageError

_TYPES = {name: name for name in ("uint8", "uint16", "uint32", "int8", "int16", "int32")}
_TYPES |= {"float32": "float", "float64": "double"}


def elements(xml: str, name: str) -> list[ElementTree.Element]:
    """Return the elements of a name, in the order of the text; none where the text is no XML."""
    root = _parsed(xml)
    return [] if root is None else _named(root, name)


def part_of_set(xml: str, path: Path, pages: int) -> str | None:
    """Return the OME-XML of one file of a set as it would be if the file, of so many pages, stood alone.

    That of a file that stands alone comes back as it is. The header of a set may lie in another file beside it; None
    where no header speaks of the file's only plane. One that is missing, or planes that are no full grid, raise.
    """
    root = _parsed(xml)
    if root is None:
        return xml
    uuid = root.get("UUID")
    elsewhere = next(iter(_named(root, "BinaryOnly")), None)
    if elsewhere is not None:
        root = _header_beside(path, elsewhere.get("MetadataFile", ""))
    elif all(mark.text == uuid for mark in _named(root, "UUID")):
        return xml
    marks = set() if root is None else {mark.text for mark in _named(root, "UUID")}

    def here(block: ElementTree.Element) -> bool:
        mark = next(iter(_named(block, "UUID")), None)
        if mark is None or mark.text == uuid or len(marks) == 1:  # the only file named may have another name by now
            return True
        return mark.get("FileName", "").casefold() == path.name.casefold()

    found = [] if root is None else [image for image in _named(root, "Image") if _keep(image, here, path, pages)]
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
        for child in [*parent.findall("{*}Image"), *parent.findall("{*}ImageRef")]:
            if child.get("ID") not in kept:
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
    return dtype.name in _TYPES


def rewritten(xml: str, *, planes: int, dtype: np.dtype[Any]) -> str:
    """Return OME-XML that ``describes`` the planes, so many a series, as it is where they follow one another.

    The pixels are of a type that ``has_type``.
    """
    root = ElementTree.fromstring(xml)
    root.attrib.pop("UUID", None)
    for number, pixels in enumerate(_named(root, "Pixels")):
        samples = _samples(pixels)
        if pixels.get("Type") != _TYPES[dtype.name]:
            pixels.attrib.pop("SignificantBits", None)
        pixels.set("Type", _TYPES[dtype.name])
        pixels.set("SizeC", str(int(pixels.get("SizeC", samples)) // samples))
        pixels.attrib.pop("BigEndian", None)
        for channel in _named(pixels, "Channel"):
            if "SamplesPerPixel" in channel.attrib:
                channel.set("SamplesPerPixel", "1")
        _place(pixels, [{"IFD": number * planes, "PlaneCount": planes}])
    return _text(root)


def _keep(image: ElementTree.Element, here: Callable[[ElementTree.Element], bool], path: Path, pages: int) -> bool:
    """Leave of an image what lies in the file: sizes, channels and planes; whether anything does."""
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return False
    order = pixels.get("DimensionOrder", "XYZCT")[2:]  # the fastest axis first
    samples = _samples(pixels)
    sizes = [int(pixels.get(f"Size{axis}", 1)) // (samples if axis == "C" else 1) for axis in order]
    grid = [index[::-1] for index in np.ndindex(*sizes[::-1])]
    planes: list[tuple[tuple[int, ...], int]] = []  # the index of each, and its page
    for block in filter(here, _named(pixels, "TiffData")):
        count = int(block.get("PlaneCount", block.get("NumPlanes", 1 if "IFD" in block.attrib else pages)))
        first = [int(block.get(f"First{axis}", 0)) for axis in order]
        start = int(np.ravel_multi_index(first, sizes, order="F"))
        planes += zip(grid[start : start + count], range(int(block.get("IFD", 0)), pages), strict=False)
    if not planes:
        return False
    held = {axis: sorted({index[at] for index, _ in planes}) for at, axis in enumerate(order)}
    if len({index for index, _ in planes}) < math.prod(map(len, held.values())):
        raise ImageError(
            f"{path} is one of a set of files and holds a part of it that is no full grid of {', '.join(order)}: "
            "save the set as one OME-TIFF"
        )
    channels = _named(pixels, "Channel")
    if len(channels) * samples == int(pixels.get("SizeC", 0)):
        for number, channel in enumerate(channels):
            if number not in held["C"]:
                pixels.remove(channel)
    for axis, numbers in held.items():
        pixels.set(f"Size{axis}", str(len(numbers) * (samples if axis == "C" else 1)))
    for plane in _named(pixels, "Plane"):
        place = {axis: int(plane.get(f"The{axis}", 0)) for axis in order}
        if any(place[axis] not in held[axis] for axis in order):
            pixels.remove(plane)
            continue
        for axis in order:
            plane.set(f"The{axis}", str(held[axis].index(place[axis])))
    firsts = [{f"First{axis}": held[axis].index(index[at]) for at, axis in enumerate(order)} for index, _ in planes]
    _place(pixels, [first | {"IFD": page, "PlaneCount": 1} for first, (_, page) in zip(firsts, planes, strict=True)])
    return True


def _header_beside(path: Path, name: str) -> ElementTree.Element | None:
    """Return the OME-XML that lies in another file of the folder: a companion, or the first image of the set."""
    import tifffile

    beside = path.parent / Path(name).name
    try:
        if beside.suffix.lower() in (".ome", ".xml"):
            return _parsed(beside.read_text(encoding="utf-8"))
        with tifffile.TiffFile(beside) as tif:
            return _parsed(tif.ome_metadata or "")
    except (OSError, ValueError):
        return None


def _place(pixels: ElementTree.Element, blocks: list[dict[str, int]]) -> None:
    """Say where the planes lie, behind the channels, in place of what was said before."""
    for name in ("TiffData", "BinData", "MetadataOnly"):
        for child in _named(pixels, name):
            pixels.remove(child)
    space = pixels.tag.removesuffix("Pixels")
    for number, block in enumerate(blocks, start=len(_named(pixels, "Channel"))):
        attributes = {name: str(value) for name, value in block.items()}
        pixels.insert(number, ElementTree.Element(f"{space}TiffData", attributes))


def _parsed(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def _text(root: ElementTree.Element) -> str:
    namespace = root.tag.rpartition("}")[0].removeprefix("{")
    if namespace:
        ElementTree.register_namespace("", namespace)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(root, encoding="unicode")


def _named(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return element.findall(f".//{{*}}{name}")


def _samples(pixels: ElementTree.Element) -> int:
    return max((int(channel.get("SamplesPerPixel", 1)) for channel in _named(pixels, "Channel")), default=1)
