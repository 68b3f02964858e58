"""A sound package for the tests of rules, and a copy to spoil."""

import pytest
from helpers.small_package import copy, small_package


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_package(tmp_path_factory.mktemp("sound") / "package")


@pytest.fixture
def spoiled(sound, tmp_path):
    return copy(sound, tmp_path / "package")
