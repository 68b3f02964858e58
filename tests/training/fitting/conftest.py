"""Fixtures of the training's tests."""

import pytest
from helpers.begun_run import begun

from training.fitting.trainer import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run trained without interruption."""
    return train(begun(tmp_path_factory.mktemp("runs") / "whole"), device="cpu")
