"""``bmz-fmd camera measure``, and what train, denoise and packages do with a camera's profile."""

import json

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd
from helpers.small_run import small_run

import bmz_fmd as interface
from training.calibration import measure_camera, read_camera
from training.evaluation.pictures import is_ours
from training.runs.run import open_run


def taken(gain=2.0, offset=100.0, seed=0, side=192):
    """A camera's image of smooth structure, of few to many photons."""
    y, x = np.mgrid[:side, :side]
    light = 2 + 40 * (np.sin(x / 23) * np.cos(y / 31) + 1)
    rng = np.random.default_rng(seed)
    return (gain * rng.poisson(light) + offset + rng.normal(0, 3, light.shape)).round().astype(np.uint16)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", taken())
    return tmp_path


def test_one_image_gives_a_profile_a_picture_and_what_they_mean(here):
    ended = bmz_fmd("camera", "measure", "cells.tif")
    assert (ended.code, ended.err) == (0, "")
    assert "gain (units a photo-electron)" in ended.out
    assert "Noise is independent from pixel to pixel" in ended.out
    assert "train --noisy DIR --camera camera.json" in ended.out
    profile = read_camera(here / "camera.json")
    assert profile.gain.low <= 2 <= profile.gain.high
    assert list(profile.files) == ["cells.tif"]
    assert profile.created is not None
    assert "numpy" in profile.versions
    assert is_ours(here / "camera.png")
    assert bmz_fmd("camera", "measure", "cells.tif").code == 0  # an earlier profile is replaced


def test_dark_frames_and_given_figures_tell_offset_and_read_noise(here):
    (here / "dark").mkdir()
    for number in range(2):
        tifffile.imwrite(f"dark/{number}.tif", np.random.default_rng(number).normal(100, 3, (64, 64)).astype("f4"))
    assert "read noise" in bmz_fmd("camera", "measure", "cells.tif", "--dark", "dark").out
    found = read_camera(here / "camera.json")
    assert (found.offset, found.read_noise) == (pytest.approx(100, abs=0.2), pytest.approx(3, abs=0.1))
    assert len(found.files) == 3
    words = ("camera", "measure", "cells.tif", "--out", "given.json", "--offset", "100")
    assert bmz_fmd(*words, "--read-noise", "3").code == 0
    assert read_camera(here / "given.json").read_noise == 3
    assert "--offset and --read-noise belong together" in bmz_fmd(*words).err
    assert "--dark tells --offset" in bmz_fmd(*words, "--dark", "dark").err


def test_dark_frames_of_another_setting_are_told_by_the_gain_that_they_lead_to(here):
    said = bmz_fmd("camera", "measure", "cells.tif", "--offset", "60", "--read-noise", "3").err
    assert "without the dark frames the images show a gain of" in said
    assert (
        "without the dark frames"
        not in bmz_fmd("camera", "measure", "cells.tif", "--offset", "100", "--read-noise", "3").err
    )


def test_correlated_noise_and_two_cameras_are_said(here):
    along = taken().astype(np.float32)
    tifffile.imwrite("rows.tif", (along + np.roll(along, 1, 1)) / 2)
    assert "correlated along X (0." in bmz_fmd("camera", "measure", "rows.tif").out
    tifffile.imwrite("other.tif", taken(gain=7, offset=300))
    ended = bmz_fmd("camera", "measure", "cells.tif", "other.tif")
    assert ended.code == 0
    assert "the images differ in gain" in ended.err
    assert "in cells.tif and" in ended.err


def test_a_stack_with_channels_asks_for_one(here):
    stack = np.stack([taken(), taken(gain=5)])
    tifffile.imwrite("stack.ome.tif", stack, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    ended = bmz_fmd("camera", "measure", "stack.ome.tif")
    assert ended.code == 2
    assert "has the channels DAPI, GFP: each has its own noise, measure one with --channel" in ended.err
    assert bmz_fmd("camera", "measure", "stack.ome.tif", "--channel", "GFP").code == 0
    assert read_camera(here / "camera.json").gain.value == pytest.approx(5, rel=0.15)


def test_what_cannot_be_measured_is_one_line_and_nothing_is_written(here):
    tifffile.imwrite("flat.tif", np.full((64, 64), 7, np.uint8))
    tifffile.imwrite("tiny.tif", taken(side=16))
    (here / "taken.json").write_text("{}")
    for words, said in [
        (("flat.tif",), "no noise can be seen"),
        (("tiny.tif",), "too few to measure"),
        (("none.tif",), "does not exist"),
        (("cells.tif", "--out", "taken.json"), "no earlier result"),
        (("cells.tif", "--out", "camera.txt"), "end in .json"),
    ]:
        ended = bmz_fmd("camera", "measure", *words)
        assert ended.code == 2
        assert said in ended.err
        assert ended.err.count("\n") == 1
    assert not list(here.glob("*.png"))
    assert (here / "taken.json").read_text() == "{}"


def with_camera(folder, profile):
    """A small run whose provenance holds a camera's profile."""
    run = open_run(small_run(folder))
    run.write_provenance(run.provenance.model_copy(update={"camera": profile}))
    return run


def test_denoise_says_where_an_image_is_not_of_the_camera(here):
    with_camera(here / "runs" / "small", measure_camera([taken(seed=seed) for seed in (1, 2)]))
    tifffile.imwrite("other.tif", taken(gain=7, offset=300))
    words = ("denoise", "--model", "runs/small", "--out", "out", "--device", "cpu")
    assert "camera" not in bmz_fmd(*words, "cells.tif").err
    said = bmz_fmd(*words, "other.tif").err
    assert "other.tif: not of the camera that the model is for: gain 7" in said
    assert "noise of standard deviation" not in said
    assert interface.load("runs/small").camera.gain.value == pytest.approx(2, rel=0.1)
    small_run(here / "runs" / "earlier")
    assert interface.load("runs/earlier").camera is None


def test_a_package_states_the_camera_and_how_to_tell_it_in_fiji(here):
    run = with_camera(here / "runs" / "small", measure_camera([taken()]))
    folder = interface.export(run, engines=()).folder
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"gain {run.provenance.camera.gain} units a photo-electron" in text
    assert "noise is independent from pixel to pixel" in text
    assert "Is an image of the camera that the model is for?" in text
    assert json.loads((folder / "provenance.json").read_text())["camera"]["images"] == 1
    assert interface.load(folder).camera == run.provenance.camera


def test_training_takes_the_profile_and_keeps_it(here):
    assert bmz_fmd("camera", "measure", "cells.tif").code == 0
    (here / "noisy").mkdir()
    (here / "clean").mkdir()
    for number in range(5):
        tifffile.imwrite(f"noisy/{number}.tif", taken(gain=7, seed=number, side=160))
        tifffile.imwrite(f"clean/{number}.tif", taken(gain=7, seed=9, side=160))
    ended = bmz_fmd(
        "train", "--noisy", "noisy", "--clean", "clean", "--camera", "camera.json", "--network", "dncnn", "--name", "a",
        "--network-set", "depth=3", "--network-set", "width=4", "--checkpoint", "none", "--device", "cpu",
        "--set", "epochs=1", "--set", "crop=32",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "is not of the camera that was given: gain " in ended.err
    run = open_run(here / "runs" / "a")
    assert run.settings.camera == run.provenance.camera == read_camera(here / "camera.json")
