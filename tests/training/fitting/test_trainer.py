"""Training: what a run folder holds afterwards, that it goes on as if never stopped, and that it never gets worse."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
import torch
from helpers.begun_run import RECIPE, SMALL, begun, same, weights

from training.checkpoints import load_weights
from training.data.settings import DataSettings
from training.errors import UserError
from training.fitting.trainer import train
from training.networks import create
from training.runs.run import create_run
from training.runs.settings import Recipe, Settings
from training.util.progress import Listener


def test_a_run_folder_holds_all_that_the_contract_names(whole):
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "best.ckpt",
        "curves.png",
        "last.ckpt",
        "losses.csv",
        "panel.png",
        "provenance.json",
        "settings.yaml",
    ]


def test_the_history_has_a_row_an_epoch_and_the_calibrated_start(whole):
    rows = whole.history()
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert math.isnan(rows[0]["train_loss"])
    assert all(math.isfinite(value) for row in rows[1:] for value in row.values())
    assert set(rows[0]) == {"epoch", "lr", "train_loss", "validation_loss", "psnr", "ssim", "seconds"}


def test_the_best_checkpoint_is_that_of_the_best_row(whole):
    best, rows = weights(whole), whole.history()
    assert best["score"] == pytest.approx(max(row["psnr"] for row in rows))
    assert best["epoch"] == max(rows, key=lambda row: row["psnr"])["epoch"] == whole.provenance.best_epoch


def test_the_provenance_says_what_made_it(whole):
    provenance = whole.provenance
    assert provenance.network.settings == SMALL
    assert provenance.checkpoint is None
    assert provenance.calibration["margin"] == 3
    assert provenance.data.name == "simulated"
    assert sorted(provenance.data.splits) == ["test", "train", "validation"]
    assert provenance.trained_on.low < provenance.trained_on.high
    assert set(provenance.scores) == {"raw", "affine"}
    assert torch.__version__.startswith(provenance.versions["torch"])
    assert provenance.epochs == 3
    assert whole.finished()


def test_the_scores_are_those_of_the_best_model_on_the_test_images(whole):
    from training.evaluation.metrics import psnr

    denoise = whole.denoiser(device="cpu").tiled()
    scores = whole.provenance.scores["affine"]
    found = []
    for pair in whole.dataset().test:
        noisy, clean = pair.pair()
        found.append(psnr(clean, denoise(noisy), data_range=scores.data_range, convention="affine"))
    assert scores.denoised.psnr == pytest.approx(np.mean(found), abs=1e-3)
    assert scores.images == len(found)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(whole, tmp_path):
    again = train(begun(tmp_path / "again"), device="cpu")
    other = train(begun(tmp_path / "other", seed=1), device="cpu")
    assert same(weights(again, "last")["state_dict"], weights(whole, "last")["state_dict"])
    assert not same(weights(other, "last")["state_dict"], weights(whole, "last")["state_dict"])


def test_training_never_hands_over_less_than_the_start(tmp_path):
    """With a learning rate that ruins it, the best stays the start."""
    good = train(begun(tmp_path / "good", epochs=8), device="cpu")
    ruined = begun(tmp_path / "ruined", checkpoint=str(good.checkpoint()), lr=0.3, seed=3)
    with pytest.raises(UserError, match="the loss diverged"):
        train(ruined, device="cpu")
    assert weights(ruined)["epoch"] == 0
    scores = ruined.provenance.scores["affine"]
    assert scores.denoised.psnr == pytest.approx(scores.start.psnr)


@pytest.mark.parametrize("lr", [1e6, 1e30])
def test_a_loss_that_diverges_ends_with_a_word_and_keeps_what_was(tmp_path, lr):
    run = begun(tmp_path / "run", lr=lr)
    with pytest.raises(UserError, match=r"the loss diverged at epoch \d: lower `lr` \(now 1e\+\d+\)"):
        train(run, device="cpu")
    assert weights(run)["epoch"] == 0
    assert run.finished()
    assert run.provenance.epochs == 0


def test_a_model_that_does_not_beat_its_noisy_input_says_so(tmp_path):
    warnings = []
    run = train(begun(tmp_path / "run", epochs=1, lr=1e-9), device="cpu", listener=Listener(warn=warnings.append))
    provenance = run.provenance
    assert provenance.beats_noisy() is False
    scores = provenance.scores["affine"]
    figures = (
        f"PSNR {scores.denoised.psnr:.2f} dB denoised, {scores.noisy.psnr:.2f} dB noisy, over 1 test image after a fit"
    )
    assert f"does NOT beat its noisy input ({figures} of intensities; " in provenance.judgement()
    assert warnings == [provenance.judgement()]
    patches = provenance.validation
    figures = f"{patches.denoised:.2f} and {patches.noisy:.2f} dB over validation patches, in the image's own units)."
    assert provenance.judgement().endswith(figures)
    denoised = scores.denoised.model_copy(update={"psnr": scores.noisy.psnr + 1})
    fitted = {"affine": scores.model_copy(update={"denoised": denoised})}
    shifted = provenance.model_copy(
        update={"scores": fitted, "validation": patches.model_copy(update={"denoised": patches.noisy - 1})}
    )
    assert "does NOT beat its noisy input in the image's own units: it seems to shift or scale" in shifted.judgement()
    assert provenance.validation.denoised == pytest.approx(run.history()[provenance.best_epoch]["psnr"])


def test_training_lowers_the_noise(tmp_path):
    run = train(begun(tmp_path / "run", network_settings={"depth": 4, "width": 16}, epochs=15, lr=3e-3), device="cpu")
    scores = run.provenance.scores["affine"]
    assert scores.denoised.psnr > scores.noisy.psnr + 2
    assert run.provenance.beats_noisy()
    assert "The model beats its noisy input" in run.provenance.judgement()


@pytest.mark.parametrize(
    "recipe",
    [
        {"loss": "mse", "augment": "rotate"},
        {"loss": "l1ssim", "alpha": 1.0, "augment": "rotate+flip"},
        {"crop": None, "statistics": "instance"},
        {"crop": [16, 32], "augment": "rotate"},
        {"crop": 500, "intensity_fit": "image", "transform": "affine"},
    ],
)
def test_every_option_of_a_recipe_trains(tmp_path, recipe):
    run = train(begun(tmp_path / "run", images=5, **(recipe | {"epochs": 1})), device="cpu")
    assert math.isfinite(run.history()[1]["train_loss"])
    assert run.provenance.recipe == run.settings.recipe


def test_a_network_with_a_noise_map_trains(tmp_path):
    settings = {"widths": [4, 4, 4, 4], "blocks": 1}
    run = train(begun(tmp_path / "run", network="drunet", network_settings=settings, images=5, epochs=1), device="cpu")
    calibration = run.provenance.calibration
    assert calibration["noise_map"]
    assert calibration["multiple"] == 8
    assert calibration["sigma"] > 0


def test_a_checkpoint_is_searched_a_calibration_for_and_recorded(tmp_path):
    bare = create("dncnn", **SMALL)
    torch.save(bare.state_dict(), tmp_path / "mine.pth")
    run = train(begun(tmp_path / "run", checkpoint=str(tmp_path / "mine.pth"), epochs=1), device="cpu")
    used = run.provenance.checkpoint
    assert used.name == "mine.pth"
    assert len(used.sha256) == 64
    load_weights(run.checkpoint(), bare)  # and what came of it may start another run


def test_how_long_it_takes_is_said_before_anything_is_measured_and_again_before_the_first_epoch(tmp_path):
    bare = create("dncnn", **SMALL)
    torch.save(bare.state_dict(), tmp_path / "mine.pth")
    said = []

    @contextmanager
    def progress(title, total):
        said.append(title)
        yield lambda steps, what: None

    run = begun(tmp_path / "run", epochs=1, checkpoint=str(tmp_path / "mine.pth"))
    train(run, device="cpu", listener=Listener(note=said.append, progress=progress))
    assert said[0].startswith("run: first estimate: about ")
    hashes = "reading every file once, for its hash"
    assert said[1:5] == ["measuring the images", "calibrating", hashes, "scoring the test images"]
    assert said[5].startswith("run: 1 epoch of 6 patches, 3 steps each, about ")


def test_where_it_takes_days_a_smaller_network_is_proposed(tmp_path, monkeypatch):
    monkeypatch.setattr("training.fitting.trainer._LONG", 0.0)
    warnings = []
    settings = {"widths": [4, 4, 4, 4], "blocks": 1}
    run = begun(tmp_path / "run", network="drunet", network_settings=settings, images=5, epochs=1)
    train(run, device="cpu", listener=Listener(warn=warnings.append))
    assert "`network` dncnn is far quicker" in warnings[0]


@pytest.mark.parametrize(
    ("image", "message"),
    [(np.arange(16).reshape(4, 4), "4 x 4 pixels; train on"), (np.full((32, 32), 7), "are 7 nearly everywhere")],
)
def test_images_that_nothing_can_be_learned_from_are_refused(tmp_path, image, message):
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", image.astype(np.uint8))
    settings = Settings(
        name="one",
        network="dncnn",
        network_settings=SMALL,
        data=DataSettings(noisy=tmp_path / "noisy", clean=tmp_path / "clean"),
        recipe=Recipe(**RECIPE),
    )
    with pytest.raises(UserError, match=message):
        train(create_run(settings, tmp_path / "one"), device="cpu")


@pytest.mark.parametrize(("small", "loss"), [(3, "l1ssim"), (4, "mae")])
def test_an_image_too_small_to_judge_by_is_refused_whatever_split_it_is_in(tmp_path, small, loss):
    """Of five fields, field 4 tests, and field 3 validates with this seed."""
    rng = np.random.default_rng(0)
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        for number in range(5):
            shape = (6, 40) if number == small else (32, 32)
            image = rng.integers(0, 200, shape).astype(np.uint8)
            tifffile.imwrite(tmp_path / folder / f"fov_{number}.tif", image)
    settings = Settings(
        name="one",
        network="dncnn",
        network_settings=SMALL,
        data=DataSettings(noisy=tmp_path / "noisy", clean=tmp_path / "clean"),
        recipe=Recipe(**(RECIPE | {"loss": loss})),
    )
    run = create_run(settings, tmp_path / "one")
    data = run.dataset()
    assert f"fov_{small}" in [pair.name for pair in (*data.validation, *data.test)]
    with pytest.raises(UserError, match="the smallest image has 6 x 40 pixels; train on images of 8 x 8"):
        train(run, device="cpu")


@pytest.mark.parametrize(("dead", "part"), [(3, "validation"), (4, "test")])
def test_a_dead_frame_that_alone_would_score_is_refused_and_its_name_stays_free(tmp_path, dead, part):
    """Of five fields, field 4 tests, and field 3 validates with this seed."""
    rng = np.random.default_rng(0)
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        for number in range(5):
            image = np.zeros((32, 32)) if number == dead else rng.integers(0, 200, (32, 32))
            tifffile.imwrite(tmp_path / folder / f"fov_{number}.tif", image.astype(np.uint8))
    settings = Settings(
        name="one",
        network="dncnn",
        network_settings=SMALL,
        data=DataSettings(noisy=tmp_path / "noisy", clean=tmp_path / "clean"),
        recipe=Recipe(**RECIPE),
    )
    with pytest.raises(UserError, match=rf"each clean {part} image has one value everywhere \(fov_{dead}\)"):
        train(create_run(settings, tmp_path / "one"), device="cpu")
    assert not (tmp_path / "one").exists()
