"""Fixtures of all tests."""

import subprocess
import sys

import pytest
from helpers.shared import shared_path


@pytest.fixture
def shared():
    """A function from a name to its path below the shared material; it skips where that is missing."""
    return shared_path


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """The folder of shared inputs that are made when they are needed; it skips where their maker is missing."""
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, shared_path("cases/make.py"), folder], check=True)
    return folder
