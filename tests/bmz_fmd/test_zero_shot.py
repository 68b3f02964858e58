"""One noisy image is enough: published weights, calibrated on it, as a result, a function and a package."""

import json

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd, snapshot
from helpers.scenes import scene

import bmz_fmd as library
from training.networks import create

NETWORK = ("--network", "dncnn", "--network-set", "depth=3", "--network-set", "width=4", "--checkpoint", "small.pth")
WORDS = {"network": "dncnn", "network_settings": {"depth": 3, "width": 4}, "checkpoint": "small.pth", "device": "cpu"}


def taken(seed, *, gain=4.0, shape=(96, 112), along=0.0):
    """A noisy image of a camera with that gain; a part of each pixel's noise goes to the next in its row."""
    light = 5 + 60 * scene(seed, shape)
    noise = np.random.default_rng([7, seed]).poisson(light) - light
    noise = (noise + along * np.roll(noise, 1, 1)) / np.sqrt(1 + along**2)
    return np.clip(gain * (light + noise) + 100, 0, 65535).round().astype(np.uint16)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with weights of a small network, and two noisy images."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(create("dncnn", depth=3, width=4).state_dict(), "small.pth")
    (tmp_path / "noisy").mkdir()
    for seed in range(2):
        tifffile.imwrite(f"noisy/cell_{seed}.tif", taken(seed))
    return tmp_path


def test_one_image_is_denoised_and_what_was_chosen_is_said_in_one_line(place):
    ended = bmz_fmd("denoise", "noisy/cell_0.tif", "--zero-shot", *NETWORK, "--out", "out", "--device", "cpu")
    assert (ended.code, ended.out) == (0, "1 image denoised into out\n"), ended.err
    said = [line for line in ended.err.splitlines() if line.startswith("zero-shot: ")]
    assert len(said) == 1
    for words in ("dncnn (small.pth) for 1 plane", "camera gain", "/255", "% of the noise's"):
        assert words in said[0]
    result = tifffile.imread("out/cell_0.tif")
    assert (result.shape, result.dtype) == ((96, 112), np.uint16)
    line = json.loads((place / "out/.denoised.jsonl").read_text())
    how = json.loads((place / f"out/zero_shot_{line['model_sha256'][:12]}.json").read_text())
    assert (how["method"], how["network"]["name"], how["clean"]) == ("zero_shot", "dncnn", "none")
    assert how["calibration"]["scale"] > 0
    again = bmz_fmd("denoise", "noisy/cell_0.tif", "--zero-shot", *NETWORK, "--out", "out", "--device", "cpu")
    assert "nothing was left to denoise" in again.out


def test_images_of_two_cameras_are_told(place):
    tifffile.imwrite("noisy/cell_2.tif", 5 * taken(2))
    with pytest.warns(UserWarning, match=r"differ in gain.*cell_0.*cell_2"):
        model = library.zero_shot("noisy", **WORDS, transform="affine")
    assert model.provenance.calibration["transform"] == "affine"


def test_an_array_is_denoised_in_three_lines_and_the_same_each_time(place):
    image = taken(0)
    model = library.zero_shot(image, **WORDS)
    denoised = library.denoise(image, model)
    assert (denoised.shape, denoised.dtype) == (image.shape, np.float32)
    assert model.provenance.method == "zero_shot"
    assert 0 < model.provenance.expected_error < 1.2
    assert library.zero_shot(image, **WORDS).sha256 == model.sha256
    assert library.zero_shot(taken(1), **WORDS).sha256 != model.sha256


@pytest.mark.parametrize("noisy", ["noisy", "noisy/cell_0.tif"])
def test_a_folder_or_one_image_becomes_a_package_without_training(place, noisy):
    words = (
        "--zero-shot",
        "--noisy",
        noisy,
        *NETWORK,
        "--name",
        "mine",
        "--license",
        "MIT",
        "--engines",
        "none",
        "--device",
        "cpu",
    )
    ended = bmz_fmd("export", *words)
    assert ended.code == 0, ended.err
    assert "zero-shot: dncnn (small.pth)" in ended.err
    provenance = json.loads((place / "packages/mine/provenance.json").read_text())
    assert (provenance["method"], provenance["epochs"], provenance["recipe"]["epochs"]) == ("zero_shot", 0, 0)
    assert 0 < provenance["expected_error"] < 1.2
    assert "Nothing was trained: the calibration was chosen on" in (place / "packages/mine/README.md").read_text()
    assert bmz_fmd("check", "packages/mine.zip", "--engines", "none").code == 0
    assert bmz_fmd("denoise", "noisy/cell_1.tif", "--model", "runs/mine", "--out", "out").code == 0


def test_correlated_noise_is_told(place):
    with pytest.warns(UserWarning, match="neighbours along X is correlated"):
        library.zero_shot(taken(0, along=0.5, shape=(160, 160)), **WORDS, transform="affine")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("denoise", "none.tif", "--zero-shot", *NETWORK, "--out", "out"), "none.tif does not exist"),
        (("denoise", "noisy", "--out", "out"), "say what denoises"),
        (("denoise", "noisy", "--zero-shot", "--model", "runs/x", "--out", "out"), "say what denoises"),
        (("denoise", "noisy", "--model", "runs/x", "--network", "dncnn", "--out", "out"), "--network has no meaning"),
        (("denoise", "tiny.tif", "--zero-shot", *NETWORK, "--out", "out"), "too few to measure its noise"),
        (("denoise", "colour.tif", "--zero-shot", *NETWORK, "--out", "out"), "is a colour image"),
        (("denoise", "channels.tif", "--zero-shot", *NETWORK, "--out", "out"), "choose one with --channel"),
        (("denoise", "noisy", "--zero-shot", "--checkpoint", "none", "--out", "out"), "give --checkpoint"),
        (("denoise", "noisy", "--zero-shot", "--network", "dncnn", "--out", "out"), "--checkpoint FILE"),
        (("export", "--zero-shot", *NETWORK), "give --noisy DIR"),
        (("export", "--zero-shot", "--run", "runs/x"), "say what to export"),
        (("export", "--run", "runs/x", "--noisy", "noisy"), "--noisy has no meaning without --zero-shot"),
        (("export", "--zero-shot", "--noisy", "nowhere", *NETWORK), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(place, words, told):
    tifffile.imwrite("tiny.tif", taken(0, shape=(16, 16)))
    tifffile.imwrite("colour.tif", np.stack([taken(seed) for seed in range(3)], axis=-1), photometric="rgb")
    tifffile.imwrite("channels.tif", np.stack([taken(0), taken(1)]), imagej=True, metadata={"axes": "CYX"})
    before = snapshot(place)
    ended = bmz_fmd(*words)
    assert ended.code == 2, ended.err
    assert told in ended.err.strip().splitlines()[-1]
    assert snapshot(place) == before
