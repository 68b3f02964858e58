"""What tells a file from any other."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Return the sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
