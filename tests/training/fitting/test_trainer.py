"""Training: what a run folder holds afterwards, that it goes on as if never stopped, and that it never gets worse."""

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
import torch
from helpers.machine import IN_NAME

from training.checkpoints import load_weights
from training.data.settings import DataSettings
from training.errors import UserError
from training.fitting.trainer import train
from training.networks import create
from training.runs.run import Run, create_run, open_run
from training.runs.settings import Recipe, Settings, save_settings
from training.util.progress import Listener

SMALL = {"depth": 3, "width": 8}
RECIPE = {"epochs": 3, "batch": 2, "crop": 32, "lr": 1e-3}


def begun(folder, *, checkpoint=None, network="dncnn", network_settings=None, images=8, **recipe):
    """A run folder on simulated images, with settings only."""
    settings = Settings(
        name=folder.name,
        network=network,
        network_settings=SMALL if network_settings is None else network_settings,
        checkpoint=checkpoint,
        data=DataSettings(dataset="simulated", options={"images": images, "size": 48}),
        recipe=Recipe(**(RECIPE | recipe)),
    )
    return create_run(settings, folder)


def weights(run, which="best"):
    return torch.load(run.checkpoint(which), weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run trained without interruption."""
    return train(begun(tmp_path_factory.mktemp("runs") / "whole"), device="cpu")


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


_TRAIN = """
import sys
from pathlib import Path
from training.fitting.trainer import train
from training.runs.run import open_run
train(open_run(Path(sys.argv[1])), resume=True, device="cpu")
"""


@pytest.mark.parametrize("after", [pytest.param("best.ckpt", marks=pytest.mark.slow), "last.ckpt"])
def test_a_run_that_was_killed_goes_on_as_if_it_never_had_been(whole, tmp_path, after):
    """SIGKILL in the first epoch (only the start is written) and after it."""
    run = begun(tmp_path / "killed")
    process = subprocess.Popen([sys.executable, "-c", _TRAIN, str(run.folder)])
    while not (run.folder / after).exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not run.finished()
    (run.folder / f".last.ckpt.{IN_NAME}.{process.pid}.part").write_bytes(b"half a checkpoint")
    train(open_run(run.folder), resume=True, device="cpu")
    for which in ("best", "last"):
        assert weights(run, which)["epoch"] == weights(whole, which)["epoch"]
        assert same(weights(run, which)["state_dict"], weights(whole, which)["state_dict"])
    assert [row["epoch"] for row in run.history()] == [0, 1, 2, 3]
    assert run.finished()
    assert not list(run.folder.glob(".*"))


def test_rows_beyond_the_last_checkpoint_are_cut(whole, tmp_path):
    run = train(begun(tmp_path / "run", epochs=1), device="cpu")
    with (run.folder / "losses.csv").open("a") as stream:
        stream.write("2,0.001,9,9,9,9,9\n")
    (run.folder / "settings.yaml").write_text(
        save_settings(run.settings.model_copy(update={"recipe": Recipe(**RECIPE)})), encoding="utf-8"
    )
    train(open_run(run.folder), resume=True, device="cpu")
    assert [row["epoch"] for row in run.history()] == [0, 1, 2, 3]
    assert run.history()[2]["psnr"] == whole.history()[2]["psnr"]
    assert same(weights(run, "last")["state_dict"], weights(whole, "last")["state_dict"])


_INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored outside
from contextlib import contextmanager
from pathlib import Path
from training.fitting.trainer import train
from training.util.progress import Listener
from training.runs.run import open_run

@contextmanager
def progress(title, total):
    def advance(steps, what):
        if title == "training" and what.startswith("epoch 2"):
            signal.raise_signal(signal.SIGINT)
    yield advance

try:
    train(open_run(Path(sys.argv[1])), resume=True, device="cpu", listener=Listener(progress=progress))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_control_c_leaves_a_usable_run_that_goes_on(whole, tmp_path):
    run = begun(tmp_path / "interrupted")
    assert subprocess.run([sys.executable, "-c", _INTERRUPTED, str(run.folder)], check=False).returncode == 130
    assert run.provenance.scores["affine"].denoised.psnr > 0
    assert run.provenance.best_epoch == weights(run)["epoch"] <= 2
    assert (run.folder / "panel.png").exists()
    assert run.finished()
    assert run.provenance.epochs == 2
    train(run, resume=True, device="cpu")
    assert same(weights(run, "last")["state_dict"], weights(whole, "last")["state_dict"])


def test_training_never_hands_over_less_than_the_start(tmp_path):
    """With a learning rate that ruins it, the best stays the start."""
    good = train(begun(tmp_path / "good", epochs=8), device="cpu")
    ruined = begun(tmp_path / "ruined", checkpoint=str(good.checkpoint()), lr=0.3, seed=3)
    with pytest.raises(UserError, match="the loss diverged"):
        train(ruined, device="cpu")
    assert weights(ruined)["epoch"] == 0
    scores = ruined.provenance.scores["affine"]
    assert scores.denoised.psnr == pytest.approx(scores.start.psnr)


def test_ctrl_c_before_there_are_weights_leaves_the_settings_alone(tmp_path, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    run = begun(tmp_path / "run")
    monkeypatch.setattr("training.fitting.trainer._epoch_zero", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(run, device="cpu")
    assert not run.checkpoint().exists()


@pytest.mark.parametrize("lr", [1e6, 1e30])
def test_a_loss_that_diverges_ends_with_a_word_and_keeps_what_was(tmp_path, lr):
    run = begun(tmp_path / "run", lr=lr)
    with pytest.raises(UserError, match=r"the loss diverged at epoch \d: lower `lr` \(now 1e\+\d+\)"):
        train(run, device="cpu")
    assert weights(run)["epoch"] == 0
    assert run.finished()
    assert run.provenance.epochs == 0


def test_a_finished_run_that_is_trained_on_is_unfinished_until_it_is_scored_again(tmp_path):
    run = train(begun(tmp_path / "run", epochs=1), device="cpu")
    seen = []

    @contextmanager
    def progress(title, total):
        seen.append((title, run.finished()))
        yield lambda steps, what: seen.append((what, run.finished())) if what.startswith("epoch") else None

    longer = Run(run.folder, run.settings.model_copy(update={"recipe": Recipe(**(RECIPE | {"epochs": 2}))}))
    train(longer, resume=True, device="cpu", listener=Listener(progress=progress))
    assert seen[0] == ("training", True)
    assert seen[-1] == ("scoring the test images", False)
    assert len(seen) > 2
    assert not any(finished for _, finished in seen[1:])
    assert run.finished()
    assert run.provenance.epochs == 2


def test_a_model_that_does_not_beat_its_noisy_input_says_so(tmp_path):
    warnings = []
    run = train(begun(tmp_path / "run", epochs=1, lr=1e-9), device="cpu", listener=Listener(warn=warnings.append))
    provenance = run.provenance
    assert provenance.beats_noisy() is False
    scores = provenance.scores["affine"]
    figures = f"PSNR {scores.denoised.psnr:.2f} dB denoised, {scores.noisy.psnr:.2f} dB noisy, over 1 test image"
    assert f"does NOT beat its noisy input ({figures}; " in provenance.judgement()
    assert warnings == [provenance.judgement()]
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


def test_a_run_that_was_trained_is_not_trained_over(whole):
    with pytest.raises(UserError, match="was trained already; go on with `resume` `name` whole"):
        train(whole, device="cpu")


def test_a_finished_run_resumes_to_the_same(whole):
    notes = []
    before = weights(whole, "last")["state_dict"]
    train(whole, resume=True, device="cpu", listener=Listener(note=notes.append))
    assert "all 3 epochs are trained" in notes[0]
    assert same(weights(whole, "last")["state_dict"], before)


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
    assert said[1:4] == ["measuring the images", "calibrating", "scoring the test images"]
    assert said[4].startswith("run: 1 epoch of 6 patches, 3 steps each, about ")


def test_where_it_takes_days_a_smaller_network_is_proposed(tmp_path, monkeypatch):
    monkeypatch.setattr("training.fitting.trainer._LONG", 0.0)
    warnings = []
    settings = {"widths": [4, 4, 4, 4], "blocks": 1}
    run = begun(tmp_path / "run", network="drunet", network_settings=settings, images=5, epochs=1)
    train(run, device="cpu", listener=Listener(warn=warnings.append))
    assert "`network` dncnn is far quicker" in warnings[0]


def test_data_that_changed_since_are_not_gone_on_with(tmp_path):
    import tifffile

    rng = np.random.default_rng(0)
    for part in ("noisy", "clean"):
        (tmp_path / part).mkdir()
        for number in range(4):
            tifffile.imwrite(tmp_path / part / f"{number}.tif", rng.integers(0, 200, (40, 40)).astype(np.uint8))
    settings = Settings(
        name="run",
        network="dncnn",
        network_settings=SMALL,
        data=DataSettings(noisy=tmp_path / "noisy", clean=tmp_path / "clean"),
        recipe=Recipe(**(RECIPE | {"epochs": 1})),
    )
    run = train(create_run(settings, tmp_path / "run"), device="cpu")
    tifffile.imwrite(tmp_path / "noisy" / "0.tif", rng.integers(0, 200, (40, 40)).astype(np.uint8))
    with pytest.raises(UserError, match=r"the images changed since the run began .*0\.tif"):
        train(run, resume=True, device="cpu")


def test_a_last_checkpoint_of_something_else_is_one_line(tmp_path):
    run = train(begun(tmp_path / "run", epochs=1), device="cpu")
    torch.save({"state_dict": {}}, run.checkpoint("last"))
    with pytest.raises(UserError, match="not of this run"):
        train(run, resume=True, device="cpu")


TWO_DEVICES = """
import sys
from pathlib import Path
from training.errors import UserError
from training.fitting.trainer import train
from training.runs.run import open_run

if __name__ == "__main__":
    try:
        train(open_run(Path(sys.argv[1])), resume=True, device="cpu", devices=2)
    except UserError as error:
        sys.exit(str(error))
"""


def trained_on_two_devices(run, tmp_path):
    """Two processes on the CPU stand in for two GPUs."""
    (tmp_path / "script.py").write_text(TWO_DEVICES)
    return subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(run.folder)],
        check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_several_devices_train_one_model(tmp_path):
    run = begun(tmp_path / "run")
    ended = trained_on_two_devices(run, tmp_path)
    assert ended.returncode == 0
    assert "GLOBAL_RANK" not in ended.stderr
    assert weights(run, "last")["epoch"] == 3
    assert [row["epoch"] for row in run.history()] == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_goes_wrong_on_another_device_is_one_line_too(tmp_path):
    ended = trained_on_two_devices(begun(tmp_path / "run", lr=1e30), tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("the loss diverged at epoch 1: lower `lr`")


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
