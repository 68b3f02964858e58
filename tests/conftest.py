"""Fixtures of all tests."""

import os
import subprocess
import sys

import pytest
from helpers.shared import shared_path

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the processors; torch and NumPy ask when they are imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


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
