"""``bmz-fmd train``: what is said, where the run lies, what is refused, and that nothing is left half made."""

import os
import re

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd, snapshot
from helpers.machine import HOST

from training.runs.run import open_run

QUICK = (
    *("--dataset", "simulated", "--option", "images=5", "--option", "size=40"),
    *("--network", "dncnn", "--network-set", "depth=3", "--network-set", "width=4"),
    *("--set", "epochs=1", "--set", "crop=16"),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, and a cache without checkpoints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    return tmp_path


def own_pairs(folder, *, nan=False):
    rng = np.random.default_rng(0)
    for part in ("noisy", "clean"):
        (folder / part).mkdir()
        for number in range(4):
            image = rng.normal(100, 5, (32, 40)).astype(np.float32)
            if nan and number == 1:
                image[3, 3] = np.nan
            tifffile.imwrite(folder / part / f"fov_{number}.tif", image)


def test_a_run_is_named_by_data_set_network_and_date_and_ends_with_its_scores(here):
    ended = bmz_fmd("train", *QUICK)
    assert ended.code == 0, ended.err
    (folder,) = (here / "runs").iterdir()
    assert re.fullmatch(r"simulated-dncnn-\d{4}-\d\d-\d\d", folder.name)
    assert "noisy" in ended.out
    assert "calibrated, before training" in ended.out
    assert f"next: bmz-fmd export --run runs/{folder.name}" in ended.out
    assert "from scratch" in ended.err
    assert "1 epoch of 3 patches" in ended.err
    assert open_run(folder).provenance.data.name == "simulated"


def test_a_run_is_never_overwritten_and_goes_on_with_resume(here):
    assert bmz_fmd("train", *QUICK, "--name", "mine").code == 0
    before = snapshot(here / "runs")
    again = bmz_fmd("train", *QUICK, "--name", "mine")
    assert again.code == 2
    assert "--resume --name mine" in again.message
    other = bmz_fmd("train", "--resume", "--name", "mine", "--set", "lr=0.5")
    assert other.code == 2
    assert "--set lr: not as the run began" in other.message
    assert "--network:" in bmz_fmd("train", "--resume", "--name", "mine", "--network", "kbnet").message
    assert snapshot(here / "runs") == before
    on = bmz_fmd("train", *QUICK, "--name", "mine", "--resume", "--set", "epochs=2")
    assert on.code == 0, on.err
    assert [row["epoch"] for row in open_run(here / "runs" / "mine").history()] == [0, 1, 2]


def test_the_same_words_go_on_also_with_a_checkpoint_of_changed_settings(here):
    assert bmz_fmd("train", *QUICK, "--name", "first").code == 0
    words = ("train", *QUICK, "--checkpoint", "runs/first/best.ckpt", "--name", "second")
    assert bmz_fmd(*words).code == 0
    on = bmz_fmd(*words, "--resume")
    assert on.code == 0, on.err
    assert "all 1 epochs are trained" in on.err


def test_a_run_that_another_process_trains_is_left_alone(here):
    assert bmz_fmd("train", *QUICK, "--name", "mine").code == 0
    parent = os.getppid()
    (here / "runs" / "mine" / ".training.lock").write_text(f"{parent}\n{HOST}\n")
    before = snapshot(here / "runs")
    ended = bmz_fmd("train", "--name", "mine", "--resume", "--set", "epochs=2")
    assert ended.code == 2
    assert f"process {os.getppid()} is training this run" in ended.message
    assert snapshot(here / "runs") == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--resume",), "say which run with --name"),
        (("--resume", "--name", "none"), "no such run"),
        (("--network", "dncn"), "did you mean dncnn"),
        ((*QUICK, "--name", "a/b"), "--name"),
        ((*QUICK, "--set", "epoch=3"), "did you mean epochs"),
        ((*QUICK, "--set", "crop=5"), "crop=5"),
        ((*QUICK, "--network-set", "deep=3"), "did you mean depth"),
        ((*QUICK, "--network-set", "depth=many"), "--network-set"),
        ((*QUICK, "--network-set", "depth=1"), "depth >= 2"),
        ((*QUICK, "--checkpoint", "nowhere.pth"), "nowhere.pth"),
        ((*QUICK, "--recipe", "fast"), "--recipe fast"),
        ((*QUICK, "--device", "tpu"), "--device tpu"),
        ((*QUICK, "--devices", "99"), "--devices 99"),
        ((*QUICK, "--option", "image=3"), "image"),
        ((*QUICK, "--set", "crop=[8,16,16]"), "the images have 2 axes"),
        (
            ("--noisy", "noisy", "--network", "dncnn", "--checkpoint", "none", "--method", "supervised"),
            "--noisy is given without --clean: supervised learning needs",
        ),
        ((), "--dataset NAME"),
    ],
)
def test_what_will_not_do_is_one_line_and_leaves_nothing(here, words, expected):
    own_pairs(here)
    ended = bmz_fmd("train", *words)
    assert ended.code == 2
    assert expected in ended.err
    assert "Traceback" not in ended.err
    assert not (here / "runs").exists() or not any((here / "runs").iterdir())


def test_an_image_that_turns_out_unreadable_leaves_no_run_behind(here):
    own_pairs(here, nan=True)
    ended = bmz_fmd("train", "--noisy", "noisy", "--clean", "clean", "--network", "dncnn", "--name", "mine")
    assert ended.code == 2
    assert "fov_1" in ended.err
    assert "NaN" in ended.err
    assert not (here / "runs" / "mine").exists()


def test_own_pairs_train_as_typed(here):
    own_pairs(here)
    ended = bmz_fmd(
        *("train", "--noisy", "noisy", "--clean", "clean", "--name", "mine", "--network", "dncnn"),
        *("--network-set", "depth=3", "--network-set", "width=4", "--set", "epochs=1", "--checkpoint", "none"),
    )
    assert ended.code == 0, ended.err
    assert "patches are 32 x 32 pixels, as the smallest image" in ended.err
    provenance = open_run(here / "runs" / "mine").provenance
    assert sorted(provenance.data.hashes) == sorted(f"{p}/fov_{n}.tif" for p in ("clean", "noisy") for n in range(4))


def test_going_on_contradicts_nothing_of_the_run(here):
    assert bmz_fmd("train", *QUICK, "--set", "epochs=3", "--name", "one").code == 0
    run = open_run(here / "runs" / "one")
    settings = (run.folder / "settings.yaml").read_text()
    fewer = bmz_fmd("train", "--resume", "--name", "one", "--set", "epochs=1")
    assert (fewer.code, fewer.message.partition(";")[0]) == (
        2, "bmz-fmd: --set epochs=1: runs/one is trained for 3 epochs already"
    )  # fmt: skip
    recipe = here / "mine.yaml"
    recipe.write_text("crop: 16\n")
    assert bmz_fmd("train", "--resume", "--name", "one", "--recipe", recipe).code == 2  # other rates of learning
    assert (run.folder / "settings.yaml").read_text() == settings
    weights = here / "runs" / "one" / "best.ckpt"
    assert bmz_fmd("train", *QUICK, "--checkpoint", weights, "--name", "two").code == 0
    other = bmz_fmd("train", "--resume", "--name", "two", "--checkpoint", "none")
    assert other.code == 2
    assert other.message.startswith("bmz-fmd: --checkpoint: not as the run began")


def test_a_best_checkpoint_that_was_lost_is_made_of_the_last(here):
    assert bmz_fmd("train", *QUICK, "--name", "one").code == 0
    run = open_run(here / "runs" / "one")
    run.checkpoint().unlink()
    again = bmz_fmd("train", "--resume", "--name", "one")
    assert again.code == 0
    assert "best.ckpt is missing: the weights of epoch 1 stand in for it" in again.err
    assert run.provenance.best_epoch == 1


def test_the_peak_is_that_of_the_clean_images(here):
    rng = np.random.default_rng(0)
    clean = rng.random((4, 32, 32)).astype(np.float32)
    for part in ("noisy", "clean"):
        (here / part).mkdir()
    for number, plane in enumerate(clean):
        tifffile.imwrite(here / "clean" / f"fov_{number}.tif", plane)
        noisy = (200 * plane + rng.normal(0, 5, plane.shape)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(here / "noisy" / f"fov_{number}.tif", noisy)
    words = ("--noisy", "noisy", "--clean", "clean", "--name", "one")
    ended = bmz_fmd("train", *QUICK[6:], *words)
    assert ended.code == 0, ended.err
    assert 0.9 < open_run(here / "runs" / "one").provenance.scores["affine"].data_range < 1
    other = bmz_fmd("evaluate", "--model", "runs/one", "--noisy", "noisy", "--clean", "clean")
    assert other.code == 2
    assert "--data-range is missing: PSNR of float32 images" in other.message
