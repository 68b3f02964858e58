"""``bmz-fmd fix``: what it prints, its exit codes, what it leaves."""

import shutil
import zipfile

import pytest
from helpers.command_line import bmz_fmd
from planted import FAULTS, Package, Sound


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Sound(tmp_path_factory.mktemp("sound"))


def test_a_package_is_mended_and_told_tool_by_tool(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    FAULTS["onnx-first-in-fiji"].plant(package)
    archive = package.zip(inside="package/")
    shutil.rmtree(package.folder)
    ran = bmz_fmd("fix", archive, "--out", tmp_path / "mended", "--engines", "none")
    assert ran.code == 0, ran.err
    assert "Fiji (deepImageJ)" in ran.out
    assert "will not open" in ran.out
    assert "rdf.yaml is not at the root of the zip" in ran.out
    with zipfile.ZipFile(tmp_path / "mended" / "package.zip") as mended:
        assert mended.namelist()[0] == "rdf.yaml"
    again = bmz_fmd("fix", tmp_path / "mended" / "package.zip", "--out", tmp_path / "again", "--engines", "none")
    assert again.code == 0
    assert "Nothing to mend" in again.out


def test_what_cannot_be_mended_is_one_line(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    FAULTS["a-torchscript-that-writes-when-loaded"].plant(package)
    ran = bmz_fmd("fix", package.folder, "--out", tmp_path / "mended")
    assert ran.code == 2
    assert "nothing of it was run" in ran.err
    assert not (tmp_path / "mended").exists()
