"""``bmz-fmd trust`` as it is typed, and ``bmz_fmd.trust``."""

import json

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd as typed
from helpers.oracle import samples

import bmz_fmd

INTERVAL = {"share": 0.9, "images": 0.5, "factor": 1.0, "width": 0.3, "calibrated": ["a"], "held": {"b": 0.9}}


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


def test_with_clean_images_an_error_bar_is_fixed_and_drawn_then_drawn_around_others(images):
    ended = typed("trust", "runs/small", "noisy", "--clean", "clean", "--json", "trust.json", "--share", 0.8)
    assert "Error bar: 80 % of the clean pixels of an image" in ended.out
    interval = json.loads((images / "trust.json").read_text())["interval"]
    assert interval["width"] == pytest.approx(1.28, abs=0.15)  # all of a Gaussian's noise is left
    assert len(interval["held"]) == 1
    assert 0.75 < np.mean(list(interval["held"].values())) < 0.85
    first = tifffile.imread(images / "runs" / "small" / "trust" / "field_000_nuclei_error_bar.tif")
    noisy = tifffile.imread(images / "noisy" / "field_000_nuclei.tif")
    assert first.dtype == np.float32 and first.shape == noisy.shape
    assert first[noisy > np.percentile(noisy, 99)].mean() > first.mean()  # the noise grows with intensity

    words = ("trust", "runs/small", "noisy/field_000_nuclei.tif", "--interval", "trust.json", "--out", "out")
    ended = typed(*words)
    assert "Error bar: 80 % of the clean pixels of an image" in ended.out
    assert np.array_equal(tifffile.imread(images / "out" / "field_000_nuclei_error_bar.tif"), first)
    tifffile.imwrite(images / "out" / "field_000_nuclei_error_bar.tif", noisy)
    assert "exists and is no earlier result" in typed(*words).message


def test_an_error_bar_of_another_model_or_none_is_refused(images):
    words = ("trust", "runs/small", "noisy", "--interval", "other.json")
    assert "other.json cannot be read" in typed(*words).message
    for content, message in (
        ({"model": {"sha256": "0"}, "interval": None}, "other.json holds no error bar"),
        ({"model": {"sha256": "0"}, "interval": INTERVAL}, "other.json holds the error bar of another model"),
    ):
        (images / "other.json").write_text(json.dumps(content))
        ended = typed(*words)
        assert ended.code == 2
        assert message in ended.message
    assert "choose one of the two" in typed(*words, "--clean", "clean").message


def test_two_frames_of_a_field_are_judged_as_one_with_its_finer_details(images):
    rng = np.random.default_rng(0)
    _, clean = samples(1)[0].pair()
    level = (clean - 100) / 100
    for number in range(2):
        frame = 100 + level + rng.normal(size=level.shape) * np.sqrt(2 * level + 9)
        (images / "frames").mkdir(exist_ok=True)
        tifffile.imwrite(images / "frames" / f"cell_rep{number}.tif", frame.astype(np.float32))
    single = bmz_fmd.trust("runs/small", "frames", turned=False)
    assert [image.name for image in single.images] == ["cell_rep0", "cell_rep1"]
    ended = typed("trust", "runs/small", "frames", "--repeats", "--json", "trust.json", "--out", "out")
    assert ended.code == 1
    stored = json.loads((images / "trust.json").read_text())["images"]
    assert [image["name"] for image in stored] == ["cell"]
    finest = [max(image.measures.contrast.frequency) for image in single.images]
    assert max(stored[0]["measures"]["contrast"]["frequency"]) > 1.5 * max(finest)
    arrays = np.stack([tifffile.imread(images / "frames" / f"cell_rep{number}.tif") for number in range(2)])
    of_arrays = bmz_fmd.trust("runs/small", arrays, repeats=True, turned=False).images
    assert of_arrays[0].measures.contrast.frequency == tuple(stored[0]["measures"]["contrast"]["frequency"])


def test_what_are_no_repeats_is_said(images):
    assert (
        "field_000_nuclei has one frame: leave --repeats out"
        in typed("trust", "runs/small", "noisy", "--repeats").message
    )
    moved = np.stack([samples(1)[0].frame(), np.roll(samples(1)[0].frame(), 9, axis=0)])
    with pytest.raises(bmz_fmd.UserError, match="moves or bleaches: leave `repeats` out"):
        bmz_fmd.trust("runs/small", moved, repeats=True)


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
