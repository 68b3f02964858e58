"""One process trains a run at a time, also where several machines share the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import RunError
from training.util.writing import clear_parts, disk_full_at, this_host

_LOCK = ".training.lock"  # its first line is the process, its second the machine


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, and clear away what dead processes of this machine left in it.

    A lock whose process of this machine is dead is taken over; that of another machine never is.

    Raises
    ------
    RunError
        Where another process trains the run.
    """
    import filelock

    lock = filelock.SoftFileLock(folder / _LOCK, timeout=0)
    try:
        with disk_full_at(folder):
            lock.acquire()
    except filelock.Timeout:
        raise _held(folder) from None
    try:
        clear_parts(folder)
        yield
    finally:
        lock.release()


def _held(folder: Path) -> RunError:
    try:
        process, host = (folder / _LOCK).read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        process, host = "?", "?"
    again = f"go on with `resume` `name` {folder.absolute().name}"
    if host == this_host():
        return RunError(f"{folder}: process {process} is training this run; wait for it or stop it, then {again}")
    return RunError(
        f"{folder}: process {process} on {host} is training this run; wait for it or stop it there, or delete "
        f"{folder / _LOCK} if it is no more, then {again}"
    )
