"""Which clean file belongs to which noisy one."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os.path import commonprefix
from pathlib import Path

from training.data.splits import natural
from training.errors import DataError
from training.images import SUFFIXES
from training.util.text import composed

_Key = Callable[[Path], str | None]
_EXAMPLE = "`pattern` '{}_low.tif={}_high.tif'"


@dataclass(frozen=True)
class Match:
    """A noisy file, its clean one if there is one, and the part of the name that they share.

    ``folder`` is the name of the subfolder that it lies in, where images lie in one subfolder a field.
    """

    shared: str
    noisy: Path
    clean: Path | None
    folder: str | None = None


def match(noisy: Path, clean: Path | None, pattern: str | None = None) -> tuple[list[Match], list[Path]]:
    """Pair the files of two folders, or two files.

    By ``pattern`` where one is given; else by equal name, and what is left by equal name before the ending.

    With a pattern, ``NOISY=CLEAN`` with one ``{}`` each for what the two names share, with or without the ending, they
    may be the same folder; without ``clean``, every noisy file stands alone. Subfolders are not searched.

    Subfolders are searched where there is no ``clean`` and the folder itself holds no image: one a field of view.

    Returns
    -------
    matches
        In the order of the noisy names.
    left
        Files of either folder that have no partner.
    """
    for option, path in (("`noisy`", noisy), ("`clean`", clean)):
        if path is not None and not path.exists():
            raise DataError(f"{option} {path} does not exist: check the path")
    if clean is None:
        if pattern is not None:
            raise DataError("`pattern` says how names of a pair differ: give `clean`, or leave it out")
        below = subfolders(noisy)
        if below:
            return [
                replace(one, shared=f"{folder.name}_{one.shared}", folder=composed(folder.name))
                for folder in below
                for one in match(folder, None)[0]
            ], []
        alone = images_in(noisy) if noisy.is_dir() else [noisy]
        return _by_stem([Match("", path, None) for path in alone]), []
    if noisy.is_dir() != clean.is_dir():
        folder, file = (noisy, clean) if noisy.is_dir() else (clean, noisy)
        raise DataError(f"{folder} is a folder and {file} a file: give two folders or two files")
    same = noisy.samefile(clean)
    if not noisy.is_dir():
        if same:
            raise DataError(f"`noisy` and `clean` are the same file {noisy}: give the clean image of it")
        return _by_stem([Match("", noisy, clean)]), []
    if same and pattern is None:
        raise DataError(f"`noisy` and `clean` are the same folder {noisy}: say how the names differ, as {_EXAMPLE}")
    files = images_in(noisy), images_in(clean)
    if pattern is not None:
        found = _paired(files, _parse(pattern), pattern)
    else:
        found = _paired(files, (_name, _name), "their names")
        found += _paired((_left(files[0], found), _left(files[1], found)), (stem, stem), "the name before its ending")
        found = _by_stem(found)
    if not found:
        here, there = (", ".join(_name(path) for path in side[:2]) for side in files)
        how = f"the pattern {pattern!r}" if pattern else "their names"
        raise DataError(
            f"no file of {noisy} ({here}) matches one of {clean} ({there}) by {how}: say how the names differ, as "
            f"{_suggestion(files) or _EXAMPLE}"
        )
    place = {path: number for number, path in enumerate(files[0])}
    return sorted(found, key=lambda one: place[one.noisy]), _left(dict.fromkeys([*files[0], *files[1]]), found)


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, by name with numbers by value; hidden ones and subfolders are left out."""
    try:
        visible = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
    files = sorted(visible, key=lambda path: (natural(path.name), path.name))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(f"{folder} holds no file (subfolders are not searched): name the folder of the images")
    if not images:
        raise DataError(f"{folder} holds no TIFF or PNG image, but {files[0].name}: export the images as OME-TIFF")
    return images


def subfolders(folder: Path) -> list[Path]:
    """Return the subfolders that hold images of a folder that holds none itself, in the order of their names."""
    try:
        inside = list(folder.iterdir()) if folder.is_dir() else []
        if any(map(_is_image, inside)):
            return []
        below = (path for path in inside if path.is_dir() and not path.name.startswith("."))
        found = [path for path in below if any(map(_is_image, path.iterdir()))]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
    return sorted(found, key=lambda path: natural(path.name))


def _is_image(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() in SUFFIXES


def stem(path: Path) -> str:
    """Return a file's name without its ending, ``.ome.tif`` taken as one.

    Examples
    --------
    >>> stem(Path("a/fov_1.ome.tif")), stem(Path("fov.2.png"))
    ('fov_1', 'fov.2')
    """
    return composed(path.stem.removesuffix(".ome").removesuffix(".OME"))


def _parse(pattern: str) -> tuple[_Key, _Key]:
    sides = pattern.split("=")
    if len(sides) != 2 or any(side.count("{}") != 1 for side in sides):
        raise DataError(f"`pattern` {pattern!r} is not NOISY=CLEAN with one {{}} on each side: write it as {_EXAMPLE}")
    first, second = (partial(_shared, re.escape(composed(side)).replace(r"\{\}", "(.+)")) for side in sides)
    return first, second


def _shared(expression: str, path: Path) -> str | None:
    found = re.fullmatch(expression, _name(path)) or re.fullmatch(expression, stem(path))
    return found[1] if found else None


def _name(path: Path) -> str:
    return composed(path.name)


def _by_stem(found: Sequence[Match]) -> list[Match]:
    """Call each match by its name before the ending, or its whole name where several would be called alike."""
    often = Counter(stem(one.noisy) for one in found)
    return [replace(one, shared=stem(one.noisy) if often[stem(one.noisy)] == 1 else _name(one.noisy)) for one in found]


def _left(paths: Iterable[Path], found: Sequence[Match]) -> list[Path]:
    used = {path for one in found for path in (one.noisy, one.clean)}
    return [path for path in paths if path not in used]


def _paired(files: tuple[Sequence[Path], Sequence[Path]], keys: tuple[_Key, _Key], by: str) -> list[Match]:
    """Return a match for each key that files on both sides have."""
    sides: list[dict[str, list[Path]]] = [{}, {}]
    for side, paths, key in zip(sides, files, keys, strict=True):
        for path in paths:
            if (shared := key(path)) is not None:
                side.setdefault(shared, []).append(path)
    both = {shared: (sides[0][shared], sides[1][shared]) for shared in sides[0] if shared in sides[1]}
    for first, second, *_ in (side for pair in both.values() for side in pair if len(side) > 1):
        raise DataError(f"{first} and {second.name} match alike by {by}: keep one, or give a `pattern`")
    return [Match(shared, here[0], there[0]) for shared, (here, there) in both.items()]


def _suggestion(files: tuple[list[Path], list[Path]]) -> str | None:
    """Return the pattern that the names themselves suggest, where it pairs some of them."""
    sides = []
    for side in files:
        names = [_name(path) for path in side]
        front = commonprefix(names).rstrip("0123456789")  # noqa: RUF071  (letters, not folders)
        back = commonprefix([name[len(front) :][::-1] for name in names])[::-1].lstrip("0123456789")  # noqa: RUF071
        sides.append((front, back, {name[len(front) : len(name) - len(back)] for name in names} - {""}))
    if not sides[0][2] & sides[1][2]:
        return None
    return "`pattern` '" + "=".join(f"{front}{{}}{back}" for front, back, _ in sides) + "'"
