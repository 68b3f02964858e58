"""SIGTERM is Ctrl-C, and a full disk is a line: nothing half written is left, and the work goes on afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd
from helpers.machine import IN_NAME
from helpers.small_disk import enlarge, small_disk
from helpers.small_run import small_run

from training.runs.run import open_run

TRAIN = (
    *("train", "--dataset", "simulated", "--option", "images=5", "--option", "size=48", "--network", "dncnn"),
    *("--network-set", "depth=4", "--network-set", "width=32", "--checkpoint", "none", "--name", "one"),
    *("--set", "crop=16", "--device", "cpu"),
)


def hidden(folder):
    return [path.name for path in Path(folder).rglob(".*")]


def terminated(words, when):
    """Send SIGTERM to a command once something is there, and return its exit code and what it said."""
    here = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-m", "bmz_fmd", *words], stderr=subprocess.PIPE, text=True, env=os.environ | here
    )
    while not when():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_sigterm_leaves_a_run_that_can_be_used_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "one"
    code, said = terminated([*TRAIN, "--set", "epochs=100000"], (run / "last.ckpt").exists)
    assert code == 130
    assert "go on with bmz-fmd train --resume --name one" in said
    assert said.splitlines()[-1] == "bmz-fmd: interrupted"
    assert hidden(run) == []
    assert open_run(run).finished()
    assert open_run(run).provenance.scores["affine"].denoised.psnr > 0


def test_sigterm_while_denoising_leaves_whole_files_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    names = [f"cells_{number}.tif" for number in range(6)]
    for name in names:
        shape = (2, 64, 64) if name == names[0] else (100, 256, 256)
        stack = np.random.default_rng(0).integers(0, 400, shape).astype(np.uint16)
        tifffile.imwrite(name, stack, photometric="minisblack")
    words = ["denoise", *names, "-m", "runs/small", "-o", "out", "--device", "cpu"]
    code, said = terminated(words, (tmp_path / "out" / names[0]).exists)
    assert code == 130
    assert said.splitlines()[-1] == "bmz-fmd: interrupted"
    left = list((tmp_path / "out").glob("*.tif"))
    assert 1 <= len(left) < 6
    assert all(len(tifffile.imread(path)) in (2, 100) for path in left)
    assert hidden(tmp_path / "out") == [".denoised.jsonl"]


def test_what_a_killed_denoise_left_is_cleared_by_the_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    tifffile.imwrite("cells.tif", np.full((64, 64), 100, np.uint16))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "out").mkdir()
    for host in (IN_NAME, "elsewhere"):
        (tmp_path / "out" / f".cells.tif.{host}.{dead.pid}.part").write_text("half")
    assert bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", "out", "--device", "cpu").code == 0
    left = [path.name for path in (tmp_path / "out").glob(".*.part")]
    assert left == [f".cells.tif.elsewhere.{dead.pid}.part"]


def test_training_on_a_full_disk_is_a_line_and_goes_on_where_there_is_room_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with small_disk(tmp_path / "runs", 256) as disk:
        ended = bmz_fmd(*TRAIN, "--set", "epochs=2")  # the best weights fit, the last with Adam's state do not
        assert ended.code == 2
        assert "the disk is full; kept: " in ended.err.splitlines()[-1]
        assert "make room, then go on with --resume --name one" in ended.err.splitlines()[-1]
        assert hidden(disk) == []
        enlarge(disk, 4096)
        again = bmz_fmd("train", "--resume", "--name", "one", "--device", "cpu")
        assert again.code == 0, again.err
        assert [row["epoch"] for row in open_run(disk / "one").history()] == [0, 1, 2]


@pytest.mark.parametrize("width", [72, 64])
def test_denoising_to_a_full_disk_is_a_line(tmp_path, monkeypatch, width):
    """Where the room does not do for the pixels, and where it does, but not for what stands beside them."""
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    tifffile.imwrite("cells.tif", np.full((64, width), 100, np.uint16))
    with small_disk(tmp_path / "disk", 8) as disk:
        ended = bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", disk / "out", "--device", "cpu")
        assert ended.code == 2
        assert ended.err.splitlines()[-1].startswith("bmz-fmd: ")
        assert "0.0 GB" not in ended.err
        assert not hidden(disk)


def test_exporting_to_a_full_disk_is_a_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    with small_disk(tmp_path / "packages", 64) as disk:
        ended = bmz_fmd("export", "--run", "runs/small", "--engines", "none")
        assert ended.code == 2
        assert "packages/small: the disk is full" in ended.err.splitlines()[-1]
        assert list(disk.iterdir()) == []
