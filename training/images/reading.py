"""Opening an image file without reading its pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import ImageError, UserError
from training.images.lazy import UNREADABLE, damaged
from training.images.png import open_png
from training.images.tiff import open_tiff

if TYPE_CHECKING:
    import xarray

SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".png")
"""Endings, in lower case, of the files that a folder of images is searched for."""

_MAKERS = (
    ".nd2 .czi .lif .lof .xlif .oib .oif .oir .vsi .lsm .zvi .stk .nd .dv .r3d .ims .ids .ics .sld .mrxs .svs .scn "
    ".ndpi .ndpis .bif .flex .mvd2 .ipw .spe .tvips .sif .qptiff .zarr .h5 .hdf5"
)
_PHOTOGRAPHS = ".jpg .jpeg .gif .bmp .webp .heic .jp2 .avif"


def open_image(path: Path | str) -> xarray.DataArray:
    """Open an image file; its planes are read when they are asked for.

    Parameters
    ----------
    path
        A TIFF, OME-TIFF or PNG file of gray values of any integer or float type. Colour images count as gray where
        their channels are equal. One file of a set (OME-TIFF, Micro-Manager) is opened by itself.

    Returns
    -------
    xarray.DataArray
        Lazy (one dask block a plane); dims are a part of ``TCZYX`` in that order, with other axes of the file in
        front. ``attrs``: ``path``; ``dtype``; ``resolution`` (a ``PixelSize`` or None); ``metadata`` (a ``Metadata``);
        ``file``, of which ``source_in`` makes sources. Named channels are the coordinates of ``C``.

    Warns
    -----
    ImageWarning
        Where ImageJ's description does not fit the pages, or Fiji shows other values than are stored.

    Raises
    ------
    UserError
        Where the file is missing, is no such image, is damaged, or (when a plane is read) holds NaN, infinite values or
        values beyond float32.
    """
    path = Path(path)
    kind = _kind(path)
    try:
        return open_png(path) if kind == "png" else open_tiff(path)
    except UserError:
        raise
    except UNREADABLE as error:
        raise damaged(str(path), error) from error


def _kind(path: Path) -> str:
    """``tiff`` or ``png``, by what the file holds; the messages that need no look at the pixels."""
    suffix = path.suffix.lower()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise ImageError(f"{shown} is not named in UTF-8: rename the file, or the folder that is named so") from None
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the path")
    if suffix in _MAKERS.split():
        raise ImageError(f"{path} is a format of its maker ({suffix}): export it as OME-TIFF (Fiji: File > Save As)")
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image: name a file in it")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}") from error
    if not start:
        raise ImageError(f"{path} is empty: copy it anew")
    if start == b"\x89PNG\r\n\x1a\n":
        return "png"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    reason = (
        "its compression loses gray values; save the original" if suffix in _PHOTOGRAPHS.split() else "save the image"
    )
    raise ImageError(f"{path} is no TIFF or PNG image: {reason} as TIFF, OME-TIFF or PNG")
