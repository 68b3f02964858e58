"""One process trains a run at a time; what a process that was killed left in the folder is cleared away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import RunError

_CLAIM = "training"
_CLOCKS_APART = 60.0  # seconds that a file server's clock may be off


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; files that a dead one was writing there, its claim included, are removed.

    The claim is a file ``.training.PID``: one a process, so that two that begin at once see each other, and neither
    takes over what the other holds.

    Raises
    ------
    UserError
        Where another process that lives trains the run.
    """
    claim = folder / f".{_CLAIM}.{os.getpid()}"
    claim.touch()
    try:
        check_unclaimed(folder)
        for path, process in _written_by_processes(folder):
            if path != claim and not _is_alive(process, path):
                path.unlink(missing_ok=True)
        yield
    finally:
        claim.unlink(missing_ok=True)


def check_unclaimed(folder: Path) -> None:
    """Raise ``UserError`` where another process that lives trains the run."""
    for path, process in _written_by_processes(folder):
        if path.name.startswith(f".{_CLAIM}.") and process != os.getpid() and _is_alive(process, path):
            raise RunError(
                f"{folder}: process {process} is training this run; wait for it or stop it, "
                f"then go on with `resume` `name` {folder.absolute().name}"
            )


def _written_by_processes(folder: Path) -> list[tuple[Path, int]]:
    """Return the files ``.NAME.PID`` of a folder (see ``training.util.writing.replacing``) and their processes."""
    found = ((path, path.suffix.removeprefix(".")) for path in folder.glob(".*.[0-9]*"))
    return [(path, int(process)) for path, process in found if process.isdecimal()]


def _is_alive(process: int, path: Path) -> bool:
    """Return whether the process that wrote the file lives; one that began later has only inherited its number."""
    import psutil

    try:
        return psutil.Process(process).create_time() <= path.stat().st_mtime + _CLOCKS_APART
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.Error:  # it is there, and another user's
        return True
