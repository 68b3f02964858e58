"""Which clean file belongs to which noisy one."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from training.datasets.splits import natural
from training.errors import UserError
from training.images import SUFFIXES

_EXAMPLE = "--pattern '{}_low.tif={}_high.tif'"


@dataclass(frozen=True)
class Match:
    """A noisy file, its clean one, and the part of the name that they share."""

    shared: str
    noisy: Path
    clean: Path


def match(noisy: Path, clean: Path, pattern: str | None = None) -> tuple[list[Match], list[Path]]:
    """Pair the files of two folders, or two files.

    By ``pattern`` where one is given; else by equal name where any two names are equal; else by equal name before the
    ending.

    Parameters
    ----------
    noisy, clean
        Two folders, whose subfolders are not searched, or two files. With a pattern they may be the same folder.
    pattern
        ``NOISY=CLEAN``, each with one ``{}`` for what the two names share; with or without the ending.

    Returns
    -------
    matches
        In the order of the noisy names.
    left
        Files of either folder that have no partner.

    Raises
    ------
    UserError
        Where a path is missing, nothing matches, or several files match one.
    """
    for option, path in (("--noisy", noisy), ("--clean", clean)):
        if not path.exists():
            raise UserError(f"{option} {path} does not exist: check the path")
    if noisy.is_dir() != clean.is_dir():
        folder, file = (noisy, clean) if noisy.is_dir() else (clean, noisy)
        raise UserError(f"{folder} is a folder and {file} a file: give two folders or two files")
    same = noisy.samefile(clean)
    if not noisy.is_dir():
        if same:
            raise UserError(f"--noisy and --clean are the same file {noisy}: give the clean image of it")
        return [Match(stem(noisy), noisy, clean)], []
    if same and pattern is None:
        raise UserError(f"--noisy and --clean are the same folder {noisy}: say how the names differ, as {_EXAMPLE}")
    files = images_in(noisy), images_in(clean)
    if pattern is not None:
        keys = _parse(pattern)
        sides = [_by_key(paths, key, pattern) for paths, key in zip(files, keys, strict=True)]
    else:
        sides = [{path.name: path for path in paths} for paths in files]
        if not sides[0].keys() & sides[1].keys():
            sides = [_by_key(paths, stem, "the name before its ending") for paths in files]
    both = [key for key in sides[0] if key in sides[1]]
    if not both:
        raise UserError(_nothing(noisy, clean, files, pattern))
    used = {side[key] for side in sides for key in both}
    left = [path for path in dict.fromkeys([*files[0], *files[1]]) if path not in used]
    stems = [stem(Path(key)) if pattern is None else key for key in both]
    often = Counter(stems)
    shared = [one if often[one] == 1 else key for one, key in zip(stems, both, strict=True)]
    return [Match(name, sides[0][key], sides[1][key]) for name, key in zip(shared, both, strict=True)], left


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, by name with numbers by value; hidden ones and subfolders are left out.

    Raises
    ------
    UserError
        Where there is none, or the folder may not be read.
    """
    try:
        visible = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
    files = sorted(visible, key=lambda path: natural(path.name))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        if not files:
            raise UserError(f"{folder} holds no file (subfolders are not searched): name the folder of the images")
        example = files[0].name
        raise UserError(f"{folder} holds no TIFF or PNG image, but {example}: export the images as OME-TIFF")
    return images


def stem(path: Path) -> str:
    """Return a file's name without its ending, ``.ome.tif`` taken as one.

    Examples
    --------
    >>> stem(Path("a/fov_1.ome.tif")), stem(Path("fov.2.png"))
    ('fov_1', 'fov.2')
    """
    return path.stem.removesuffix(".ome").removesuffix(".OME")


def _parse(pattern: str) -> tuple[Callable[[Path], str | None], Callable[[Path], str | None]]:
    sides = pattern.split("=")
    if len(sides) != 2 or any(side.count("{}") != 1 for side in sides):
        raise UserError(f"--pattern {pattern!r} is not NOISY=CLEAN with one {{}} on each side: write it as {_EXAMPLE}")
    first, second = (re.compile(re.escape(side).replace(r"\{\}", "(.+)")) for side in sides)

    def shared(expression: re.Pattern[str]) -> Callable[[Path], str | None]:
        def key(path: Path) -> str | None:
            found = expression.fullmatch(path.name) or expression.fullmatch(stem(path))
            return found[1] if found else None

        return key

    return shared(first), shared(second)


def _by_key(paths: Sequence[Path], key: Callable[[Path], str | None], by: str) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        shared = key(path)
        if shared is None:
            continue
        if shared in found:
            raise UserError(f"{found[shared]} and {path.name} match alike by {by}: keep one, or give a --pattern")
        found[shared] = path
    return found


def _nothing(noisy: Path, clean: Path, files: tuple[list[Path], list[Path]], pattern: str | None) -> str:
    here, there = (", ".join(path.name for path in side[:2]) for side in files)
    how = f"the pattern {pattern!r}" if pattern else "their names"
    way = f"say how the names differ, as {_suggestion(files) or _EXAMPLE}"
    return f"no file of {noisy} ({here}) matches one of {clean} ({there}) by {how}: {way}"


def _suggestion(files: tuple[list[Path], list[Path]]) -> str | None:
    """Return the pattern that the names themselves suggest, where it pairs some of them."""
    sides = []
    for side in files:
        names = [path.name for path in side]
        front = _common_start(names).rstrip("0123456789")
        back = _common_start([name[len(front) :][::-1] for name in names])[::-1].lstrip("0123456789")
        sides.append((front, back, {name[len(front) : len(name) - len(back)] for name in names} - {""}))
    if not sides[0][2] & sides[1][2]:
        return None
    return "--pattern '" + "=".join(f"{front}{{}}{back}" for front, back, _ in sides) + "'"


def _common_start(names: Sequence[str]) -> str:
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)
