"""Which images a user means, and where their results go: judged before anything is computed or written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data import matching
from training.data.splits import natural
from training.errors import DataError, ImageError
from training.images import SUFFIXES
from training.inference.record import Record
from training.util.text import composed, data_size
from training.util.writing import is_disk_full

_TIFF = tuple(suffix for suffix in SUFFIXES if suffix != ".png")


@dataclass(frozen=True)
class ImageFile:
    """An image file, and where it lies below the folder that was named: its ``place``, just its name by default."""

    path: Path
    place: Path


def images_in(paths: Iterable[Path], *, recursive: bool = False, out: Path | None = None) -> list[ImageFile]:
    """Return the image files that paths mean: files as they are named, of folders the images inside.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders, in any order.
    recursive : bool
        Whether the images of subfolders count too; hidden ones never do.
    out : Path, optional
        A folder for results: of subfolders, what lies in it is left out.

    Returns
    -------
    list of ImageFile
        In the order given, within a folder by name.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no image.
    """
    found: list[ImageFile] = []
    for path in paths:
        if path.is_dir():
            files = _at_any_depth(path, out) if recursive else _at_the_top(path)
            found += [ImageFile(file, file.relative_to(path)) for file in files]
        elif path.exists():
            found.append(ImageFile(path, Path(path.name)))
        else:
            raise ImageError(f"{path} does not exist: check the path")
    return found


def results_for(inputs: Sequence[ImageFile], folder: Path) -> list[Path]:
    """Return where the result of each image goes: to the input's place in the folder, always as TIFF.

    Parameters
    ----------
    inputs : sequence of ImageFile
        Files that exist.
    folder : Path
        It may not exist yet; nothing is made here.

    Raises
    ------
    UserError
        If two inputs would give one file, a result would replace an input (also through a link) or a folder, or the
        folder cannot be written to.
    """
    _check_folder(folder)
    results: list[Path] = []
    taken: dict[str, ImageFile] = {}
    for source in inputs:
        place = source.place
        result = folder / (place if place.suffix.lower() in _TIFF else place.with_suffix(".tif"))
        same = composed(str(result)).casefold()  # some file systems do not tell a from A, or forms of é
        other = taken.setdefault(same, source)
        if other is not source:
            raise ImageError(
                f"{other.path} and {source.path} would both become {result}: denoise them into two folders"
            )
        results.append(result)
    originals = {_identity(source.path): source.path for source in inputs}
    for result in results:
        original = originals.get(_identity(result)) if result.exists() else None
        if original is not None:
            raise ImageError(f"{result} is the input {original}, and an input is never replaced: choose another `out`")
        if result.is_dir():
            raise ImageError(f"{result} is a folder where a result would go: choose another `out`")
    return results


def unfinished(
    inputs: Sequence[ImageFile], results: Sequence[Path], record: Record, *, overwrite: bool = False
) -> list[tuple[Path, Path]]:
    """Return the inputs whose results are still to be made, each with its result.

    What ``record`` holds is finished, with ``overwrite`` too.

    Raises
    ------
    UserError
        If a file stands in the place of one of them, without ``overwrite``.
    """
    pairs = [(source.path, result) for source, result in zip(inputs, results, strict=True)]
    left = [pair for pair in pairs if not record.holds(*pair)]
    for _, result in left:
        if os.path.lexists(result) and not overwrite:
            raise ImageError(
                f"{result} exists and is no finished result of this input and model: choose another `out`, or replace "
                "it with `overwrite`"
            )
    return left


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


def left_out(paths: Iterable[Path], *, recursive: bool = False) -> list[Path]:
    """Return the files of folders, hidden ones apart, that are no TIFF or PNG by their names."""
    inside = [
        path for folder in paths if folder.is_dir() for path in (folder.rglob("*") if recursive else folder.iterdir())
    ]
    shown = (path for path in inside if path.suffix.lower() not in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in shown if path.is_file())


def _at_the_top(folder: Path) -> list[Path]:
    try:
        return matching.images_in(folder)
    except DataError as error:
        if any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir()):
            raise ImageError(
                f"{folder} itself holds no TIFF or PNG image: `recursive` takes those of its subfolders"
            ) from error
        raise


def _at_any_depth(folder: Path, out: Path | None) -> list[Path]:
    left_out = None if out is None else out.resolve()
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
        and (left_out is None or not path.resolve().is_relative_to(left_out))
    ]
    if not found:
        raise ImageError(f"{folder} holds no TIFF or PNG image, nor do its subfolders: export the images as OME-TIFF")
    return sorted(found, key=lambda path: [natural(part) for part in path.relative_to(folder).parts])


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"`out` {folder} is a file: name a folder for the results")
    nearest = _nearest(folder)
    if not nearest.is_dir():
        raise ImageError(f"`out` {folder}: {nearest} is a file, so no folder can be made below it")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        if is_disk_full(error):
            return  # which is said with figures once the images are read
        raise ImageError(f"`out` {folder}: {nearest} may not be written to; choose another folder") from None


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from others, whatever name or link it is reached by."""
    status = path.stat()
    return status.st_dev, status.st_ino
