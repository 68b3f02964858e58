"""A sound package for each module of tests, and a copy to spoil for each test."""

import pytest
from helpers.small_package import copy, small_package

from bmz_export.checking import seams


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_package(tmp_path_factory.mktemp("sound") / "package")


@pytest.fixture
def spoiled(sound, tmp_path):
    return copy(sound, tmp_path / "package")


@pytest.fixture
def small_tiles(monkeypatch):
    """An image of a few tiles, where each tool's tiling is tried."""
    monkeypatch.setattr(seams, "LARGE", (128, 160))
