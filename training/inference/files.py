"""Which images a user means, and where their results go: judged before anything is computed or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from training.data import matching
from training.errors import ImageError
from training.images import SUFFIXES
from training.util.text import data_size

_TIFF = tuple(suffix for suffix in SUFFIXES if suffix != ".png")


def images_in(paths: Iterable[Path]) -> list[Path]:
    """Return the image files that paths mean: files as they are named, of folders the images directly inside.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders, in any order.

    Returns
    -------
    list of Path
        In the order given, within a folder by name.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += matching.images_in(path)
        elif path.exists():
            found.append(path)
        else:
            raise ImageError(f"{path} does not exist: check the path")
    return found


def results_for(inputs: Sequence[Path], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Return where the result of each image goes: into the folder, under the input's name, always as TIFF.

    Parameters
    ----------
    inputs : sequence of Path
        Files that exist.
    folder : Path
        It may not exist yet; nothing is made here.
    overwrite : bool
        Whether a result may replace a file. It may never replace an input.

    Raises
    ------
    UserError
        If two inputs would give one file, a result would replace an input (also through a link) or, without
        ``overwrite``, any file, or the folder cannot be written to.
    """
    _check_folder(folder)
    results: list[Path] = []
    taken: dict[str, Path] = {}
    for source in inputs:
        result = folder / (source.name if source.suffix.lower() in _TIFF else f"{source.stem}.tif")
        other = taken.setdefault(result.name.casefold(), source)  # some file systems do not tell a from A
        if other is not source:
            raise ImageError(f"{other} and {source} would both become {result}: denoise them into two folders")
        results.append(result)
    originals = {_identity(source): source for source in inputs}
    for result in results:
        if not os.path.lexists(result):
            continue
        original = originals.get(_identity(result)) if result.exists() else None
        if original is not None:
            raise ImageError(f"{result} is the input {original}, and an input is never replaced: choose another `out`")
        if result.is_dir():
            raise ImageError(f"{result} is a folder where a result would go: choose another `out`")
        if not overwrite:
            raise ImageError(f"{result} exists: choose another `out`, or replace it with `overwrite`")
    return results


def check_replaceable(path: Path, option: str, suffix: str, is_result: Callable[[Path], bool]) -> None:
    """Raise a ``UserError`` unless a result may be written to ``path``: to a new file, or over an earlier result.

    Parameters
    ----------
    path : Path
        As given.
    option : str
        What it was given with, named in the message.
    suffix : str
        What the name must end in.
    is_result : callable
        Whether a file that exists is an earlier result, which may be replaced.
    """
    if path.suffix.lower() != suffix:
        raise ImageError(f"{option} {path}: let the name end in {suffix}")
    if path.is_dir():
        raise ImageError(f"{option} {path} is a folder: name a file")
    if os.path.lexists(path) and not (path.exists() and is_result(path)):
        raise ImageError(f"{option} {path} exists and is no earlier result: it is not replaced, name another")
    folder = _nearest(path.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{option} {path}: {folder} cannot be written to; name a file elsewhere")


def check_space(folder: Path, nbytes: int) -> None:
    """Raise a ``UserError`` if the disk that the folder is, or will be, on has no room for so many bytes."""
    free = shutil.disk_usage(_nearest(folder)).free
    if nbytes > free:
        raise ImageError(
            f"`out` {folder}: the results need {data_size(nbytes)} and its disk has {data_size(free)} left; "
            "choose another, or denoise fewer images"
        )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"`out` {folder} is a file: name a folder for the results")
    nearest = _nearest(folder)
    if not nearest.is_dir():
        raise ImageError(f"`out` {folder}: {nearest} is a file, so no folder can be made below it")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ImageError(f"`out` {folder}: {nearest} may not be written to; choose another folder")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from others, whatever name or link it is reached by."""
    status = path.stat()
    return status.st_dev, status.st_ino
