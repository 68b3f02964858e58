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


def as_package(name: str, given: object) -> Path:
    """Return where a model lies that was given for a parameter; one that is named by an address is fetched first."""
    from bmz_export.remote import fetch_package
    from training.util.progress import logged

    return fetch_package(as_path(name, given), logged())
