"""A jar that tests need beside those of the engines: fetched once, from the cache or through Maven's settings."""

import importlib.util
from pathlib import Path


def maven_jar(coordinate: str, sha256: str, size: int) -> Path:
    """Return a jar of that hash and size in bytes; the test is skipped, saying why, where it cannot be had or run."""
    import pytest

    from bmz_export.engines import maven
    from bmz_export.engines.java import java_library
    from training.errors import EngineError
    from training.util import hashing
    from training.util.cache import cache_folder

    if importlib.util.find_spec("jgo") is None:
        pytest.skip(f"{coordinate} is fetched by jgo: pip install 'bmz-fmd[engines]'")
    if java_library() is None:
        pytest.skip(f"there is no Java to run {coordinate}")
    wanted = maven.Jar(coordinate, sha256, size)
    folder = cache_folder() / "test-material"
    found = folder / wanted.filename
    if not found.is_file() or hashing.sha256(found) != sha256:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            maven.fetch(wanted, folder, lambda _count: None)
        except EngineError as error:
            pytest.skip(f"{coordinate} cannot be fetched: {error}")
    return found
