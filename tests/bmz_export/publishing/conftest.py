"""A package that may be published."""

import shutil

import pytest
from helpers.small_run import small_run

from bmz_export.checking.check import CheckOptions, certify
from bmz_export.exporting import export
from bmz_export.package.about import read_about
from training.runs.run import open_run


@pytest.fixture(scope="session")
def certified(tmp_path_factory):
    """A package with all that an author fills in, and the certificate of one engine."""
    place = tmp_path_factory.mktemp("certified")
    export(
        open_run(small_run(place / "runs" / "small")),
        out=place,
        about=read_about(authors=["Ada Lovelace"], cite=["Notes | https://example.org/notes"], license="CC-BY-4.0"),
        certify=lambda folder: certify(folder, CheckOptions(engines=["torch"]), tiles=False)[1],
    )
    return place / "small"


@pytest.fixture
def package(certified, tmp_path, monkeypatch):
    """A copy of it, folder and zip, that a test may spoil."""
    monkeypatch.delenv("HYPHA_TOKEN", raising=False)
    shutil.copy(certified.with_suffix(".zip"), tmp_path / "mine.zip")
    return shutil.copytree(certified, tmp_path / "mine")
