"""The hash of a file of a data set: read again only where it changed."""

import hashlib
import os

import pytest

from training.util import hashing
from training.util.hashing import known_sha256


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "stack.npy"
    path.write_bytes(bytes(100))
    os.utime(path, (1000, 1000))
    return path


def rewritten(path, time):
    path.write_bytes(b"\x01" * 100)
    os.utime(path, (time, time))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_file_is_read_again_once_its_time_differs(file, monkeypatch):
    monkeypatch.setattr(hashing, "_LARGE", 100)
    before = known_sha256(file)
    assert before == hashlib.sha256(bytes(100)).hexdigest()
    after = rewritten(file, 1000)
    assert known_sha256(file) == before
    os.utime(file, (2000, 2000))
    assert known_sha256(file) == after


def test_a_small_file_is_always_read(file):
    known_sha256(file)
    assert rewritten(file, 1000) == known_sha256(file)


def test_a_cache_that_cannot_be_written_does_not_matter(file, monkeypatch):
    monkeypatch.setattr(hashing, "_LARGE", 100)
    monkeypatch.setenv("BMZ_FMD_CACHE", str(file))
    assert known_sha256(file) == hashlib.sha256(bytes(100)).hexdigest()
