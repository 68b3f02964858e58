"""The versions that made a run, as lines that pip takes, and the container that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.version import InvalidVersion, Version

_PYTHON = re.compile(r"3\.\d+\.\d+")


def locked(versions: Mapping[str, str]) -> list[str]:
    """Return a requirement for each recorded package, by name; Python itself is none.

    What stands behind a plus, as in ``2.15.0+cpu``, names a build that only its own index has: it is left out.
    """
    return [f"{name}=={_public(version)}" for name, version in sorted(versions.items()) if name != "python"]


def base_image(versions: Mapping[str, str]) -> str:
    """Return the image of the Python that was recorded, or where it was no release, of the oldest that goes."""
    recorded = versions.get("python", "")
    return f"docker.io/library/python:{recorded if _PYTHON.fullmatch(recorded) else '3.11'}-slim"


def _public(version: str) -> str:
    try:
        return Version(version).public
    except InvalidVersion:
        return version
