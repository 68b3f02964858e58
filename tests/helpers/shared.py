"""Where the material beside the project lies; a test that needs what is missing skips, saying so."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("BMZ_FMD_SHARED", Path(__file__).parents[3] / "shared"))


def shared_path(name: str) -> Path:
    """Return a path below the shared material, or skip the test, saying what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is missing: set BMZ_FMD_SHARED to the folder that holds {name}")
    return path
