"""Where installed engines live, and how one comes to be there whole or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from bmz_export.engines.base import Progress
from training.errors import EngineError
from training.util.cache import cache_folder
from training.util.writing import clear_parts, disk_full_at, new_folder

_DIGITS = 8


def engine_folder(name: str, locked: Iterable[str]) -> Path:
    """Return the folder of an engine; it exists where the engine is installed, and then it is whole.

    Its name ends in a hash of what the engine's lock pins: files of an older lock never run under a newer one's name.
    """
    digest = hashlib.sha256("\n".join(locked).encode()).hexdigest()
    return cache_folder() / "engines" / f"{name}-{digest[:_DIGITS]}"


def install_into(target: Path, write: Callable[[Path], None], progress: Progress | None = None) -> None:
    """Let ``write`` fill an empty folder, which becomes the engine's own when all is there, and is deleted if not.

    One process installs an engine at a time; another one waits, and finds it installed. Where the disk is full or the
    cache cannot be written, a ``UserError`` says so, and engines that were installed before are kept.
    """
    from filelock import SoftFileLock, Timeout

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = SoftFileLock(target.parent / f".{target.name}.lock")  # holds process and machine; the dead hold none
        with disk_full_at(target):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if progress:
                    progress("waiting for another installation", 0, 1)
                lock.acquire()
        try:
            clear_parts(target.parent, target.name)
            if not target.is_dir():
                with new_folder(target) as folder:
                    write(folder)
        finally:
            lock.release()
    except OSError as error:
        raise EngineError(
            f"{target} cannot be written ({error.strerror or error}): name another folder in BMZ_FMD_CACHE"
        ) from error


def raise_if_disk_full(said: str) -> None:
    """Raise the ``OSError`` of a full disk where another program says that it met one."""
    if "ENOSPC" in said or os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder, 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def remove_engine(name: str) -> int:
    """Delete an engine's folder, and those of other locks, and return the bytes freed."""
    freed, digest = 0, "[0-9a-f]" * _DIGITS
    engines = cache_folder() / "engines"
    for folder in engines.glob(f"{name}-{digest}"):
        freed += folder_size(folder)
        shutil.rmtree(away := folder.with_name(f".{folder.name}-removed"), ignore_errors=True)
        folder.rename(away)  # from here on the engine counts as not installed, however far the deleting gets
    for away in engines.glob(f".{name}-{digest}-removed"):  # also where an earlier deleting was interrupted
        shutil.rmtree(away, ignore_errors=True)
    return freed
