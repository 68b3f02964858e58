"""Image files as arrays with named axes: read plane by plane when asked for, written back alike.

TIFF of every compression that imagecodecs knows (stacks, ImageJ hyperstacks, BigTIFF, several series), OME-TIFF and PNG
are read; TIFF is written.
"""

from training.images.channels import channel_names, channel_number
from training.images.lazy import FileSource, source_in
from training.images.metadata import Metadata, PixelSize
from training.images.planes import PlaneReader, planes
from training.images.reading import SUFFIXES, open_image
from training.images.writing import check_writable, write_image

__all__ = [
    "SUFFIXES",
    "FileSource",
    "Metadata",
    "PixelSize",
    "PlaneReader",
    "channel_names",
    "channel_number",
    "check_writable",
    "open_image",
    "planes",
    "source_in",
    "write_image",
]
