"""``bmz-fmd evaluate`` as it is typed."""

import json

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd, snapshot


def pairs(place, count=3):
    y, x = np.mgrid[:48, :64]
    for number in range(count):
        clean = 120 + 80 * np.sin(x / 9 + number) * np.cos(y / 7)
        for which, values in (("noisy", np.random.default_rng(number).poisson(clean)), ("clean", clean)):
            (place / which).mkdir(exist_ok=True)
            tifffile.imwrite(place / which / f"fov_{number}.tif", values.astype(np.uint8))


def test_scores_are_printed_and_stored_with_all_that_made_them(place):
    pairs(place)
    words = ("--noisy", "noisy", "--clean", "clean", "--convention", "affine", "--data-range", 255)
    ended = bmz_fmd("evaluate", "--model", "runs/small", *words, "--json", "scores/small.json")
    assert ended.code == 0
    for word in ("fov_0", "fov_1", "fov_2", "mean", "sd", "PSNR noisy", "SSIM noisy", "slope", "total intensity"):
        assert word in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines() if line.startswith(("image", "fov", "mean", "sd")))
    stored = json.loads((place / "scores" / "small.json").read_text())
    assert stored["convention"] == "affine"
    assert stored["data_range"] == 255
    assert stored["settings"]["noisy"] == "noisy"
    assert stored["model"]["kind"] == "run"
    assert len(stored["model"]["sha256"]) == 64
    assert "torch" in stored["versions"]
    assert [image["name"] for image in stored["images"]] == ["fov_0", "fov_1", "fov_2"]
    values = [image["psnr_denoised"] for image in stored["images"]]
    assert stored["mean"]["psnr_denoised"] == pytest.approx(np.mean(values))
    assert (place / "scores" / "small-residuals.png").stat().st_size > 1000


def test_a_dead_frame_has_no_figures_and_does_not_lift_the_mean(place):
    pairs(place)
    for which in ("noisy", "clean"):
        tifffile.imwrite(place / which / "fov_0.tif", np.zeros((48, 64), np.uint8))
    ended = bmz_fmd("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--data-range", 255)
    assert ended.code == 0
    assert "fov_0: the clean image has one value only" in ended.out
    assert "nan" not in ended.out and "100.00" not in ended.out


def test_a_second_evaluation_replaces_the_first(place):
    pairs(place, 1)
    words = ("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--json", "scores.json")
    assert bmz_fmd(*words).code == 0
    assert bmz_fmd(*words, "--convention", "raw").code == 0
    assert json.loads((place / "scores.json").read_text())["convention"] == "raw"


def test_without_folders_the_runs_own_test_images_are_scored(place):
    ended = bmz_fmd("evaluate", "--model", "runs/small", "--data-range", "4000")
    assert ended.code == 0
    assert "field_" in ended.out
    assert (place / "runs" / "small" / "residuals.png").exists()


def test_denoising_and_scoring_change_nothing_else(place):
    pairs(place)
    before = snapshot(place)
    assert bmz_fmd("denoise", "noisy", "--model", "runs/small", "--out", "out").code == 0
    assert bmz_fmd("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--json", "s.json").code == 0
    after = snapshot(place)
    assert {path: after[path] for path in before if path.name != "small"} == {
        path: kept for path, kept in before.items() if path.name != "small"
    }
