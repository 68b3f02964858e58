"""What a file says about its image beside the pixels, as far as it can be written back."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class PixelSize(NamedTuple):
    """Height and width of a pixel in ``unit`` (``µm``, ``inch``, ...)."""

    y: float
    x: float
    unit: str


@dataclass(frozen=True)
class Metadata:
    """What a file says of its image beside the pixels: what ``write_image`` needs to write one like it."""

    kind: str
    """``imagej``, ``ome``, ``shaped`` (axes in tifffile's own description), or ``plain``."""

    axes: str
    """Letters of the axes in the order of the file."""

    series: int = 1
    """Number of series in the file: more than one stand along the first axis."""

    imagej: dict[str, Any] = field(default_factory=dict)
    """ImageJ's own entries: unit, spacing, labels, look-up tables, display range, regions of interest."""

    ome: str = ""
    """The OME-XML of the file."""

    tags: dict[str, Any] = field(default_factory=dict)
    """Keywords of ``tifffile.TiffWriter.write``: resolution, photometric interpretation, colour map, description."""

    signed: bool = False
    """Whether ImageJ stores signed 16 bits as unsigned ones, 32768 above, with a calibration of the values."""

    colour: bool = False
    """Whether the pixels are stored in colour; they count as gray where the colours are equal."""

    planar: bool = False
    """Whether the channels, ``C`` in front of ``YX``, are stored as samples that are no colours, a plane each."""

    bigtiff: bool = False
    byteorder: Literal["<", ">"] = "<"
