"""Image files as arrays with named axes: read plane by plane when asked for, written back alike.

TIFF of every compression that imagecodecs knows (stacks, ImageJ hyperstacks, BigTIFF, several series), OME-TIFF and PNG
are read; TIFF is written.
"""

from training.images.channels import channel_names, channel_number
from training.images.layout import Layout, PixelSize
from training.images.reading import SUFFIXES, open_image, plane_values, planes
from training.images.writing import write_image

__all__ = [
    "SUFFIXES",
    "Layout",
    "PixelSize",
    "channel_names",
    "channel_number",
    "open_image",
    "plane_values",
    "planes",
    "write_image",
]
