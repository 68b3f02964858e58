"""Fixtures of all tests."""

import pytest
from helpers.shared import shared_path


@pytest.fixture
def shared():
    """A function from a name to its path below the shared material; it skips where that is missing."""
    return shared_path
