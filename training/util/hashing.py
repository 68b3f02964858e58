"""What tells a file from any other."""

import hashlib
from contextlib import suppress
from pathlib import Path

from training.errors import DiskFullError
from training.util.cache import cache_folder
from training.util.writing import write_text

_LARGE = 2**26  # bytes: what takes longer to read than a note of its hash


def sha256(path: Path) -> str:
    """Return the sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Return the sha256 of a file; a large one is read once, and again when its size or its time of change differ.

    A run compares its files with what they were each time its data are opened, and a data set may have 75 GB. The notes
    lie in the user's cache.
    """
    state = path.stat()
    if state.st_size < _LARGE:
        return sha256(path)
    words = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    note = cache_folder() / "hashes" / hashlib.sha256(words.encode(errors="surrogateescape")).hexdigest()
    with suppress(OSError):
        return note.read_text(encoding="utf-8")
    digest = sha256(path)
    with suppress(OSError, DiskFullError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, digest)
    return digest
