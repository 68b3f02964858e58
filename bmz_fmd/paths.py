"""Paths as people give them."""

from __future__ import annotations

import os
from pathlib import Path

StrPath = str | os.PathLike[str]


def as_path(name: str, given: object) -> Path:
    """Return what was given for a parameter as a path; a ``UserError`` where it is none."""
    if isinstance(given, str | os.PathLike):
        return Path(given)
    from training.errors import SettingError

    kind = "an array" if hasattr(given, "shape") else f"of type {type(given).__name__}"
    raise SettingError(f"`{name}` is {kind}: give a folder or a file")
