"""A run that was killed, interrupted or finished goes on as if it had never stopped; several devices train one."""

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
from helpers.begun_run import RECIPE, SMALL, begun, same, weights
from helpers.machine import IN_NAME

from training.data.settings import DataSettings
from training.errors import UserError
from training.fitting.trainer import train
from training.runs.run import Run, create_run, open_run
from training.runs.settings import Recipe, Settings, save_settings
from training.util.progress import Listener

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


def test_ctrl_c_before_there_are_weights_leaves_the_settings_alone(tmp_path, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    run = begun(tmp_path / "run")
    monkeypatch.setattr("training.fitting.trainer._epoch_zero", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(run, device="cpu")
    assert not run.checkpoint().exists()


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


def test_a_run_that_was_trained_is_not_trained_over(whole):
    with pytest.raises(UserError, match="was trained already; go on with `resume` `name` whole"):
        train(whole, device="cpu")


def test_a_finished_run_resumes_to_the_same(whole):
    notes = []
    before = weights(whole, "last")["state_dict"]
    train(whole, resume=True, device="cpu", listener=Listener(note=notes.append))
    assert "all 3 epochs are trained" in notes[0]
    assert same(weights(whole, "last")["state_dict"], before)


def test_data_that_changed_since_are_not_gone_on_with(tmp_path):

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
