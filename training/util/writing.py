"""Files and folders that appear whole or not at all: written beside their place first, then renamed into it.

What is being written is called ``.NAME.HOST.PROCESS.part``, so that what a killed process left can be told from what
another one is writing now, also on a disk that several machines share.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import DiskFullError

_PART = re.compile(r"\.(?P<name>.+)\.(?P<host>[\w-]+)\.(?P<process>\d+)\.part")
_LONGEST = 100  # bytes of a name that go into that of its part
_INITIAL = 0xEFFFFFFC  # Linux's number of the PID namespace outside of all containers
_CLOCKS_APART = 60.0  # seconds that a file server's clock may be off
# torch's writer of archives keeps no error number
_TORCH_FULL = ("file write failed", "failed writing file", "iostream error", "unexpected pos")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write to; it takes the place of ``path`` at once when the block ends well.

    Raises
    ------
    DiskFullError
        Where the disk was full; what stood at ``path`` is kept.
    """
    part = part_of(path)
    try:
        with disk_full_at(path):
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which becomes ``path`` when the block ends well, and is deleted if not.

    Raises
    ------
    DiskFullError
        Where the disk was full.
    OSError
        Where ``path`` exists by then, or cannot be made.
    """
    part = part_of(path)
    try:
        with disk_full_at(path):
            part.mkdir(parents=True)
            yield part
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8 with line feeds, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def part_of(path: Path) -> Path:
    """Return where this process writes what will become ``path``."""
    return path.with_name(f".{_cut(path.name)}.{_host()}.{os.getpid()}.part")


def abandoned_parts(folder: Path, name: str | None = None) -> list[Path]:
    """Return the parts in a folder that dead processes of this machine left; never those of another machine.

    Parameters
    ----------
    folder : Path
        Where to look; it may not exist.
    name : str, optional
        Only parts of the file or folder of this name.
    """
    found = []
    for path in folder.glob(".*.part"):
        part = _PART.fullmatch(path.name)
        if part is None or part["host"] != _host() or (name is not None and part["name"] != _cut(name)):
            continue
        if not _lives(int(part["process"]), path):
            found.append(path)
    return found


def clear_parts(folder: Path, name: str | None = None) -> None:
    """Delete what ``abandoned_parts`` finds."""
    for path in abandoned_parts(folder, name):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an exception, or what it came of, says that a disk is full or a quota used up."""
    while True:
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _TORCH_FULL):
            return True
        before = error.__cause__ or error.__context__
        if before is None:
            return False
        error = before


@contextmanager
def disk_full_at(path: Path) -> Iterator[None]:
    """Turn whatever a library says of a full disk into a ``DiskFullError`` that names what was being written."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(
            f"{path}: the disk is full; what was written before is kept: make room, then run the same command again"
        ) from None


def this_host() -> str:
    """Return what process numbers count for, in filelock's words: the machine, in a container its PID namespace too."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # another system
        namespace = _INITIAL
    return socket.gethostname() + ("" if namespace == _INITIAL else f"?pidns-{namespace:x}")


def _host() -> str:
    return re.sub(r"[^\w-]", "-", this_host())


def _cut(name: str) -> str:
    """Return the beginning of a name that leaves room for the rest: file systems count bytes."""
    return os.fsencode(name)[:_LONGEST].decode(errors="ignore")


def _lives(process: int, path: Path) -> bool:
    """Return whether the process that wrote a part lives; one that began later has only inherited its number."""
    import psutil

    try:
        return bool(psutil.Process(process).create_time() <= path.stat().st_mtime + _CLOCKS_APART)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.Error:  # it is there, and another user's
        return True
