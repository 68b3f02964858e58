"""Where a mended package is written: beside nothing that would be lost, and known to be writable before the work."""

from __future__ import annotations

import os
from pathlib import Path

from training.errors import PackageError


def free_place(package: Path, out: Path) -> tuple[Path, Path]:
    """Return the mended package's folder and zip in ``out``, under the package's own name.

    Raises
    ------
    UserError
        Where they exist, ``out`` lies in the package, or nothing can be written there.
    """
    name = package.resolve().name.removesuffix(".zip")
    places = (out / name, out / f"{name}.zip")
    if package.is_dir() and out.resolve().is_relative_to(package.resolve()):
        raise PackageError(f"{out}: lies in the package, which stays as it is; choose another `out`")
    for there in places:
        if there.exists() or there.is_symlink():
            raise PackageError(f"{there}: exists, so it stays; choose another `out`")
    nearest = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise PackageError(f"{out}: {nearest} is a file; choose another `out`")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PackageError(f"{out}: {nearest} is not writable; choose another `out`")
    return places
