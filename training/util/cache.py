"""The user's cache: checkpoints and engines that were fetched once, and notes of hashes."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the user's cache of this project; the environment variable ``BMZ_FMD_CACHE`` names another."""
    named = os.environ.get("BMZ_FMD_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("bmz-fmd"))
