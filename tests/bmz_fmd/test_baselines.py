"""Classical denoisers, other models, CAREamics and published outputs: beside a model, and in place of one."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd
from helpers.small_run import small_run

import bmz_fmd as interface
from training.data.settings import DataSettings
from training.util.cache import cache_folder

SHAPE = (48, 64)


def clean_image(number):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 400 + 300 * np.sin(x / 9 + number) * np.cos(y / 7)


def noisy_image(number):
    return np.random.default_rng(number).poisson(clean_image(number)).astype(np.uint16)


def pairs(place, count=6):
    for which, image in (("noisy", noisy_image), ("clean", clean_image)):
        (place / which).mkdir()
        for number in range(count):
            tifffile.imwrite(place / which / f"fov_{number}.tif", image(number).astype(np.uint16))


SCORED = ("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--data-range", 1000)


def test_baselines_and_published_outputs_stand_in_the_models_table_with_what_it_gains(place):
    pairs(place)
    stack = np.stack([clean_image(number) for number in range(6)]).astype(np.float32)
    tifffile.imwrite(place / "care.tif", stack)
    words = ("--baseline", "bm3d", "--baseline", "gaussian", "--baseline", "CARE=care.tif", "--json", "s.json")
    ended = bmz_fmd(*SCORED, *words)
    assert ended.code == 0, ended.err
    table = ended.out.split("PSNR")[1]
    assert all(f"\n{name} " in ended.out for name in ("mean", "bm3d", "gaussian", "CARE")), table
    assert "BM3D would have done better: the model's difference to it is -" in ended.out
    stored = json.loads((place / "s.json").read_text())
    assert stored["settings"]["baselines"] == ["bm3d", "gaussian", "CARE=care.tif"]
    bm3d, gaussian, care = stored["baselines"]
    assert [image["name"] for image in bm3d["images"]] == [f"fov_{number}" for number in range(6)]
    assert bm3d["mean"]["psnr_denoised"] > bm3d["mean"]["psnr_noisy"] + 5
    assert {"sigma"} == set(gaussian["settings"][0])
    assert care["mean"]["psnr_denoised"] > 60
    assert care["how"] == "results from care.tif"
    lost = np.mean(
        [
            own["psnr_denoised"] - other["psnr_denoised"]
            for own, other in zip(stored["images"], bm3d["images"], strict=True)
        ]
    )
    assert bm3d["gain"]["mean"] == pytest.approx(lost)
    assert bm3d["gain"]["low"] < lost < bm3d["gain"]["high"]
    again = interface.evaluate("runs/small", "noisy", "clean", data_range=1000, baselines=["bm3d"])
    assert again.baselines[0].mean.psnr_denoised == pytest.approx(bm3d["mean"]["psnr_denoised"])


def test_settings_are_searched_on_the_runs_validation_images_where_its_test_images_are_scored(place):
    found = interface.evaluate("runs/small", data_range=4000, baselines=["median"]).baselines[0]
    assert found.how == "settings by PSNR on validation images"
    assert len({setting["size"] for setting in found.settings}) == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bm4d", "--baseline bm4d: unknown; did you mean bm3d?"),
        ("CARE=none.tif", "--baseline CARE=none.tif does not exist: give NAME=FILE"),
        ("=short.tif", "--baseline =short.tif: give NAME=FILE"),
        ("CARE=", "--baseline CARE=: give NAME=FILE"),
        ("noisy=short.tif", "noisy is another row of the table; choose another name"),
        ("CARE=short.tif", "5 planes, and the test images have 6: give one for each, in their order (fov_0, fov_1"),
        ("CARE=small.tif", "the output for fov_0 and that image differ in size (20 x 64 and 48 x 64)"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(place, word, message):
    pairs(place)
    tifffile.imwrite(place / "short.tif", np.zeros((5, *SHAPE), np.float32))
    tifffile.imwrite(place / "small.tif", np.zeros((6, 20, 64), np.float32))
    ended = bmz_fmd(*SCORED, "--baseline", word, "--json", "s.json")
    assert ended.code == 2
    assert message in ended.message
    assert not (place / "s.json").exists()


def test_an_image_is_denoised_by_a_baseline_and_kept_when_asked_again(place):
    tifffile.imwrite(place / "cells.tif", noisy_image(0))
    words = ("denoise", "cells.tif", "--baseline", "bm3d", "--out", "out", "--float")
    assert bmz_fmd(*words).code == 0
    result = tifffile.imread(place / "out" / "cells.tif")
    before, after = (np.abs(image - clean_image(0)).mean() for image in (noisy_image(0), result))
    assert after < before / 2
    assert "kept as they are" in bmz_fmd(*words).err
    model = interface.baseline("bm3d")
    np.testing.assert_allclose(interface.denoise(noisy_image(0), model), result, rtol=1e-6)


def test_an_image_that_is_too_small_is_named(place):
    tifffile.imwrite(place / "line.tif", noisy_image(0)[:3])
    ended = bmz_fmd("denoise", "line.tif", "--baseline", "median", "--out", "out")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("bmz-fmd: line.tif: 0 blocks of 8 x 8 pixels")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--baseline", "bm3d", "--zero-shot"), "say what denoises"),
        (("--baseline", "bm3d", "--checkpoint", "a.pth"), "--checkpoint has no meaning without --zero-shot"),
        (("--baseline", "median filter"), "--baseline median filter: unknown; did you mean median?"),
    ],
)
def test_baselines_that_cannot_be_are_refused(place, words, message):
    tifffile.imwrite(place / "cells.tif", noisy_image(0))
    ended = bmz_fmd("denoise", "cells.tif", "--out", "out", *words)
    assert ended.code == 2
    assert message in ended.message


def test_another_run_or_package_stands_beside_the_model(place):
    pairs(place)
    shutil.copytree(place / "runs" / "small", place / "runs" / "other")
    package = Path(__file__).parents[1] / "data" / "version_0_1" / "package.zip"
    ended = bmz_fmd(*SCORED, "--baseline", "N2V=runs/other", "--baseline", f"old={package}", "--json", "s.json")
    assert ended.code == 0, ended.err
    stored = json.loads((place / "s.json").read_text())
    other, old = stored["baselines"]
    assert other["how"] == "the run runs/other"
    assert other["gain"]["mean"] == pytest.approx(0, abs=1e-6)
    assert old["how"] == f"the package {package}"
    assert old["images"][0]["psnr_noisy"] == other["images"][0]["psnr_noisy"]


def test_another_run_that_was_made_with_the_images_says_so(place):
    pairs(place)
    data = DataSettings(dataset=None, options={"noisy": str(place / "noisy"), "clean": str(place / "clean")})
    small_run(place / "runs" / "seen", data=data)
    found = interface.evaluate("runs/small", "noisy", "clean", data_range=1000, baselines=["seen=runs/seen"])
    assert found.baselines[0].title == "seen (made with 5 of these images)"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("careamics-n2v", "--baseline careamics-n2v needs CAREamics in an environment of its own: python3 -m venv"),
        ("careamics-n2v:many", "many is no number of epochs, such as careamics-n2v:10"),
        ("careamics-n2v:0", "0 is no number of epochs"),
    ],
)
def test_careamics_that_is_not_there_is_one_line(place, monkeypatch, word, message):
    pairs(place)
    monkeypatch.setenv("BMZ_FMD_CAREAMICS", str(place / "nothing"))
    ended = bmz_fmd(*SCORED, "--baseline", word)
    assert ended.code == 2
    assert message in ended.message


def test_care_learns_from_the_pairs_of_a_run_alone(place):
    pairs(place)
    package = Path(__file__).parents[1] / "data" / "version_0_1" / "package.zip"
    ended = bmz_fmd("evaluate", "-m", package, *SCORED[3:], "--baseline", "careamics-care")
    assert ended.code == 2
    assert "--baseline careamics-care learns from the training pairs of a run" in ended.message


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("name", ["careamics-n2v", "careamics-care"])
def test_careamics_trains_once_and_denoises_images_of_any_size(place, monkeypatch, name):
    folder = Path(os.environ.get("BMZ_FMD_CAREAMICS") or cache_folder() / "careamics")
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: ci/install_careamics.sh makes it")
    monkeypatch.setenv("BMZ_FMD_CAREAMICS", str(folder))
    monkeypatch.setenv("BMZ_FMD_CACHE", str(place / "cache"))
    (place / "noisy").mkdir()
    (place / "clean").mkdir()
    for number in range(2):
        for which, image in (("noisy", noisy_image), ("clean", clean_image)):
            tifffile.imwrite(place / which / f"fov_{number}.tif", image(number)[:41, :62].astype(np.uint16))
    words = (*SCORED, "--baseline", f"{name}:1", "--json", "s.json")
    ended = bmz_fmd(*words)
    assert ended.code == 0, ended.err
    found = json.loads((place / "s.json").read_text())["baselines"][0]
    assert found["how"] == "trained on the run's training images, epochs: 1"
    assert np.isfinite(found["mean"]["psnr_denoised"])
    monkeypatch.setattr(subprocess, "run", None)  # what is kept needs no other process
    assert bmz_fmd(*words).code == 0
    assert json.loads((place / "s.json").read_text())["baselines"][0]["mean"] == found["mean"]
