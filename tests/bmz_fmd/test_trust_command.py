"""``bmz-fmd trust`` as it is typed, and ``bmz_fmd.trust``."""

import json

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd as typed
from helpers.oracle import samples

import bmz_fmd


@pytest.fixture
def images(place):
    """Two noisy images, of nuclei and filaments, with their clean ones, and a run that leaves images as they are."""
    for sample in samples(2):
        for kind, image in zip(("noisy", "clean"), sample.pair(), strict=True):
            (place / kind).mkdir(exist_ok=True)
            tifffile.imwrite(place / kind / f"{sample.name}.tif", image.astype(np.uint16))
    weights = place / "runs" / "small" / "best.ckpt"
    held = torch.load(weights)
    held["state_dict"] = {key: 0 * value if "denoiser" in key else value for key, value in held["state_dict"].items()}
    torch.save(held, weights)
    return place


def test_a_model_that_leaves_all_noise_is_red_says_so_and_ends_with_1(images):
    ended = typed("trust", "runs/small", "noisy", "--json", "found/trust.json")
    assert ended.code == 1
    assert "field_000_nuclei: red: too little noise was taken" in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines() if line.startswith("field_") and ":" not in line)
    stored = json.loads((images / "found" / "trust.json").read_text())
    assert stored["verdict"] == "red"
    assert [image["verdict"] for image in stored["images"]] == ["red"] * 2
    assert stored["images"][0]["measures"]["camera"]["gain"]["value"] == pytest.approx(2, rel=0.3)
    assert stored["model"]["kind"] == "run"
    assert sorted(path.name for path in (images / "runs" / "small" / "trust").iterdir()) == [
        f"{sample.name}.png" for sample in samples(2)
    ]


def test_a_second_run_replaces_the_first_and_nothing_else(images):
    words = ("trust", "runs/small", "noisy/field_000_nuclei.tif", "--out", "out", "--json", "trust.json")
    assert typed(*words).code == typed(*words).code == 1
    (images / "trust.json").write_text('{"mean": 3}')
    ended = typed(*words)
    assert ended.code == 2
    assert "trust.json exists and is no earlier result" in ended.message


def test_with_clean_images_an_error_bar_is_fixed_and_checked_on_others(images):
    ended = typed("trust", "runs/small", "noisy", "--clean", "clean", "--json", "trust.json", "--share", 0.8)
    assert "Error bar: 80 % of the clean pixels" in ended.out
    interval = json.loads((images / "trust.json").read_text())["interval"]
    assert interval["factor"] == pytest.approx(1.28, abs=0.15)  # all of a Gaussian's noise is left
    assert len(interval["held"]) == 1
    assert 0.75 < np.mean(list(interval["held"].values())) < 0.85


def test_few_of_many_planes_are_judged_evenly_spread(images):
    stack = np.stack([samples(1)[0].frame()] * 9).astype(np.uint16)
    tifffile.imwrite(images / "stack.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack")
    found = bmz_fmd.trust("runs/small", "stack.tif", limit=3, turned=False)
    assert [image.name for image in found.images] == ["stack_t0", "stack_t4", "stack_t8"]


def test_arrays_are_judged_as_files_are(images):
    sample = samples(1)[0]
    noisy, _ = sample.pair()
    of_array = bmz_fmd.trust("runs/small", noisy, turned=False).images[0]
    of_file = bmz_fmd.trust("runs/small", "noisy/field_000_nuclei.tif", turned=False).images[0]
    assert of_array.measures == of_file.measures
    with pytest.raises(bmz_fmd.UserError, match="as an array too"):
        bmz_fmd.trust("runs/small", noisy, "clean")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trust", "runs/small", "nowhere.tif"), "nowhere.tif does not exist"),
        (("trust", "runs/nowhere", "noisy"), "does not exist"),
        (("trust", "runs/small", "noisy", "noisy", "--clean", "clean"), "--clean needs one folder"),
        (("trust", "runs/small", "noisy", "--pattern", "{}={}"), "--pattern says how names"),
        (("trust", "runs/small", "noisy", "--clean", "clean", "--share", "1"), "--share 1"),
        (("trust", "runs/small", "noisy", "--json", "trust.txt"), "let the name end in .json"),
        (("trust", "runs/small"), "missing argument"),
    ],
)
def test_bad_input_is_one_line_and_2(images, words, message):
    ended = typed(*words)
    assert ended.code == 2
    assert message in ended.message


def test_evaluate_says_what_the_verdicts_are(images):
    words = ("--noisy", "noisy", "--clean", "clean", "--data-range", 500, "--json", "scores.json")
    ended = typed("evaluate", "-m", "runs/small", *words)
    assert "Judged without clean images: of 2 images 2 red" in ended.out
    assert json.loads((images / "scores.json").read_text())["trust"]["verdict"] == "red"
