"""Fixtures of the command line's tests."""

import pytest
from helpers.small_run import small_run


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a run in ``runs/small``."""
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    return tmp_path
