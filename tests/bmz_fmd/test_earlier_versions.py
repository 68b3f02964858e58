"""Runs and packages that version 0.1 wrote are still opened, gone on with, exported and checked."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd

OLD = Path(__file__).parents[1] / "data" / "version_0_1"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.random.default_rng(0).poisson(120, (40, 52)).astype(np.uint16))
    return path


@pytest.fixture
def old_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(OLD / "run", tmp_path / "runs" / "old"))


def test_a_run_and_its_package_still_denoise_alike(old_run, image, tmp_path):
    for model, out in ((old_run, "by_run"), (OLD / "package.zip", "by_package")):
        ended = bmz_fmd("denoise", image, "--model", model, "--out", tmp_path / out)
        assert ended.code == 0, ended.err
    by_run, by_package = (tifffile.imread(tmp_path / out / "cells.tif") for out in ("by_run", "by_package"))
    assert np.abs(by_run.astype(float) - by_package).max() <= 1


def test_a_run_goes_on(old_run):
    ended = bmz_fmd("train", "--resume", "--name", "old", "--set", "epochs=5", "--device", "cpu")
    assert ended.code == 0, ended.err
    with (old_run / "losses.csv").open() as table:
        assert [int(row["epoch"]) for row in csv.DictReader(table)] == [0, 1, 2, 3, 4, 5]


def test_a_run_is_still_exported(old_run):
    ended = bmz_fmd("export", "--run", old_run, "--engines", "none", "--license", "CC0-1.0")
    assert ended.code == 0, ended.err


def test_a_package_still_passes_its_check(tmp_path):
    ended = bmz_fmd("check", OLD / "package.zip", "--engines", "torch,onnxruntime", "--json", tmp_path / "found.json")
    assert ended.code == 0, ended.out + ended.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert {row["verdict"] for row in found["rows"] if row["engine"] in ("torch", "onnxruntime")} == {"passed"}
