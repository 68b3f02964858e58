"""Where installed engines live, and how one comes to be there whole or not at all."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import EngineError
from training.util.cache import cache_folder
from training.util.writing import clear_parts, new_folder

_DIGITS = 8


def engine_folder(name: str, locked: Iterable[str]) -> Path:
    """Return the folder of an engine; it exists where the engine is installed, and then it is whole.

    Parameters
    ----------
    name
        Of the engine.
    locked
        What its lock pins, such as hashes: the folder's name ends in a hash of it, so that files of an older lock never
        run under a newer one's name.
    """
    digest = hashlib.sha256("\n".join(locked).encode()).hexdigest()
    return cache_folder() / "engines" / f"{name}-{digest[:_DIGITS]}"


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Give an empty folder beside an engine's own; it takes that place when the block ends well, else it is deleted.

    Raises
    ------
    UserError
        Where the cache cannot be written.
    """
    try:
        clear_parts(target.parent, target.name)
        with new_folder(target) as folder:
            yield folder
    except OSError as error:
        if target.is_dir():  # another process installed it meanwhile
            return
        raise EngineError(
            f"{target.name} could not be installed in {target.parent} ({error.strerror or error}): try again, or name "
            "another folder in BMZ_FMD_CACHE"
        ) from error


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder, 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def remove_engine(name: str) -> int:
    """Delete an engine's folder, and those of other locks, and return the bytes freed."""
    freed = 0
    for folder in (cache_folder() / "engines").glob(f"{name}-{'[0-9a-f]' * _DIGITS}"):
        freed += folder_size(folder)
        away = folder.with_name(f".{folder.name}-removed")
        folder.rename(away)  # from here on the engine counts as not installed, however far the deleting gets
        shutil.rmtree(away, ignore_errors=True)
    return freed
