"""``bmz-fmd denoise`` as it is typed."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd, snapshot
from helpers.image_sets import save_set
from helpers.small_run import small_run
from helpers.small_stack import stack

from training.images import open_image


def written(folder):
    """The visible files of a folder, by their names below it."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if not name.split("/")[-1].startswith("."))


def test_images_come_out_with_name_axes_type_and_pixel_size(place):
    stack(place / "cells.tif", shape=(2, 3, 40, 50), axes="TCYX")
    ended = bmz_fmd("denoise", "cells.tif", "--model", "runs/small", "--out", "out", "--device", "cpu")
    assert ended.code == 0
    assert ended.out == "1 image denoised into out\n"
    before, after = open_image("cells.tif"), open_image("out/cells.tif")
    assert (after.dims, after.shape, after.dtype) == (before.dims, before.shape, before.dtype)
    assert after.attrs["resolution"] == before.attrs["resolution"]
    assert "has 3 channels: all are denoised" in ended.err


def test_a_denoised_file_is_the_whole_planes_result_rounded(place):
    from training.runs.run import open_run

    noisy = stack(place / "cells.tif")
    assert bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", "float", "--float", "--device", "cpu").code == 0
    assert bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", "tiled", "--tile", "16", "--float").code == 0
    assert bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", "same").code == 0
    whole = open_run(place / "runs" / "small").denoiser(device="cpu").predict(noisy[:, None].astype(np.float32))[:, 0]
    as_float = tifffile.imread("float/cells.tif")
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float, whole, rtol=1e-5)
    np.testing.assert_allclose(tifffile.imread("tiled/cells.tif"), whole, rtol=1e-5)
    np.testing.assert_allclose(tifffile.imread("same/cells.tif"), whole, atol=0.5001)


def test_folders_and_png_are_read_and_tiff_is_written(place):
    from PIL import Image

    (place / "in").mkdir()
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(place / "in" / "photo.png")
    stack(place / "in" / "cells.tif")
    assert bmz_fmd("denoise", "in", "--model", "runs/small", "--out", "out").out == "2 images denoised into out\n"
    assert written(place / "out") == ["cells.tif", "photo.tif"]
    assert tifffile.imread("out/photo.tif").shape == (20, 30)


def test_subfolders_are_searched_when_asked_for_and_results_keep_them(place):
    for name in ("a.tif", "day1/a.tif", "day1/.hidden.tif", "day2/deep/b.tif"):
        (place / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        stack(place / "in" / name)
    words = ("denoise", "in", "--model", "runs/small", "--out", "in/out")
    assert bmz_fmd(*words).code == 0
    assert written(place / "in" / "out") == ["a.tif"]
    ended = bmz_fmd(*words, "--recursive")
    assert ended.out == "2 images denoised into in/out\n"
    assert "1 image denoised before with this model, kept as they are" in ended.err
    assert written(place / "in" / "out") == ["a.tif", "day1/a.tif", "day2/deep/b.tif"]


def test_each_file_of_a_set_becomes_a_file_of_its_own(place):
    array = np.random.default_rng(0).poisson(200, (3, 1, 20, 30)).astype(np.uint16)
    save_set(place / "in", array, {f"cell_t{t}.ome.tif": [(t, 0)] for t in range(3)})
    assert bmz_fmd("denoise", "in", "--model", "runs/small", "--out", "out", "--float").code == 0
    assert bmz_fmd("denoise", "in/cell_t2.ome.tif", "--model", "runs/small", "--out", "one", "--float").code == 0
    for path in ("out/cell_t0.ome.tif", "one/cell_t2.ome.tif"):
        assert tifffile.imread(path).shape == (20, 30)
        assert open_image(path).shape == (20, 30)
    np.testing.assert_array_equal(tifffile.imread("one/cell_t2.ome.tif"), tifffile.imread("out/cell_t2.ome.tif"))
    (place / "equal").mkdir()
    tifffile.imwrite(place / "equal" / "rgb.tif", np.stack([array[0, 0]] * 3), photometric="rgb")
    assert bmz_fmd("denoise", "equal", "--model", "runs/small", "--out", "gray").code == 0
    assert tifffile.imread("gray/rgb.tif").shape == (20, 30)


def test_a_file_that_cannot_be_written_back_is_known_before_the_work_begins(place):
    stack(place / "a.tif")
    header = "ImageJ=1.53t\nimages=2\nslices=2\ngröße=3\n".encode()
    told = {"metadata": None, "description": header, "photometric": "minisblack"}
    tifffile.imwrite(place / "b.tif", np.ones((2, 20, 30), np.uint8), **told)
    ended = bmz_fmd("denoise", "a.tif", "b.tif", "--model", "runs/small", "--out", "out", "--stop-at-first-error")
    assert ended.code == 2
    assert "b.tif: what it says beside its pixels cannot be written back" in ended.message
    assert not (place / "out").exists()


def test_a_name_that_is_no_utf_8_is_a_line_and_leaves_nothing(place):
    for side in ("noisy", "clean"):
        (place / side).mkdir()
        try:
            for name in ("a.tif", "b.tif", "caf\udce9.tif"):
                stack(place / side / name)
        except OSError:
            pytest.skip("this file system has no such names")
    before = snapshot(place)
    for words in (
        ("denoise", "noisy/caf\udce9.tif", "--model", "runs/small", "--out", "out"),
        ("denoise", "noisy", "--model", "runs/small", "--out", "out", "--stop-at-first-error"),
        ("train", "--noisy", "noisy", "--clean", "clean", "--network", "dncnn", "--set", "epochs=1"),
    ):
        ended = bmz_fmd(*words)
        assert ended.code == 2
        assert r"caf\xe9.tif is not named in UTF-8: rename the file" in ended.err.splitlines()[-1]
    assert snapshot(place) == before


def test_one_channel_is_denoised_and_the_others_are_copied(place):
    noisy = stack(place / "cells.tif", shape=(3, 40, 50), axes="CYX")
    assert bmz_fmd("denoise", "cells.tif", "-m", "runs/small", "-o", "out", "--channel", "1", "--float").code == 0
    result = tifffile.imread("out/cells.tif")
    np.testing.assert_array_equal(result[[0, 2]], noisy[[0, 2]])
    assert (result[1] != noisy[1]).any()


def test_an_image_unlike_training_is_warned_of_with_the_figures(place):
    stack(place / "bright.tif", mean=5000)
    stack(place / "alike.tif", mean=200)
    ended = bmz_fmd("denoise", "bright.tif", "alike.tif", "--model", "runs/small", "--out", "out")
    assert ended.code == 0
    told = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert all("bright.tif" in line for line in told if "intensities" in line)
    assert any("reach beyond those of training, 50 to 400" in line for line in told)
    assert any("times that of training, 10" in line for line in told)


def test_a_model_with_statistics_of_each_image_warns_of_tiles(place):
    small_run(place / "runs" / "instance", statistics="instance")
    stack(place / "cells.tif")
    words = ("denoise", "cells.tif", "--model", "runs/instance", "--out")
    assert "change the result" not in bmz_fmd(*words, "whole").err
    assert "warning: tiles of 16 x 16 pixels change the result" in bmz_fmd(*words, "tiled", "--tile", "16").err


@pytest.fixture
def three_and_one_damaged(place):
    for name in ("a.tif", "bad.tif", "c.tif"):
        (place / "in").mkdir(exist_ok=True)
        stack(place / "in" / name)
    whole = (place / "in" / "bad.tif").read_bytes()
    (place / "in" / "bad.tif").write_bytes(whole[: len(whole) // 2])
    return place


def test_a_damaged_image_is_named_at_the_end_and_the_others_are_denoised(three_and_one_damaged):
    ended = bmz_fmd("denoise", "in", "--model", "runs/small", "--out", "out")
    assert ended.code == 1
    assert ended.out == "2 images denoised into out\n"
    *_, counted, reason = ended.err.splitlines()
    assert counted == "bmz-fmd: 1 of 3 images could not be denoised:"
    assert "in/bad.tif" in reason
    assert written(three_and_one_damaged / "out") == ["a.tif", "c.tif"]


def test_a_damaged_image_stops_the_work_before_it_begins_when_asked_for(three_and_one_damaged):
    ended = bmz_fmd("denoise", "in", "--model", "runs/small", "--out", "out", "--stop-at-first-error")
    assert ended.code == 2
    assert "bad.tif" in ended.message
    assert not (three_and_one_damaged / "out").exists()


def test_an_image_that_the_model_cannot_denoise_does_not_stop_the_others(place):
    stack(place / "a.tif")
    tifffile.imwrite(place / "huge.tif", np.full((20, 30), 3e38, np.float32))
    run = place / "runs" / "small" / "best.ckpt"
    state = torch.load(run)["state_dict"]
    torch.save({"state_dict": {key: 100 * value if "denoiser" in key else value for key, value in state.items()}}, run)
    ended = bmz_fmd("denoise", "huge.tif", "a.tif", "--model", "runs/small", "--out", "out")
    assert ended.code == 1
    assert "huge.tif: the model gave NaN or infinity" in ended.err.splitlines()[-1]
    assert written(place / "out") == ["a.tif"]


def test_finished_results_of_the_same_model_and_image_are_kept_and_no_others(place):
    for name in ("a.tif", "b.tif"):
        stack(place / name)
    words = ("denoise", "a.tif", "b.tif", "--out", "out", "--model")
    assert bmz_fmd(*words, "runs/small").code == 0
    before = (place / "out" / "a.tif").stat().st_mtime_ns
    (place / "out" / "b.tif").unlink()
    ended = bmz_fmd(*words, "runs/small")
    assert (ended.code, ended.out) == (0, "1 image denoised into out\n")
    assert (place / "out" / "a.tif").stat().st_mtime_ns == before
    small_run(place / "runs" / "other", statistics="instance")
    for more in (["runs/other"], ["runs/small", "--float"]):
        ended = bmz_fmd(*words, *more)
        assert ended.code == 2, more
        assert "out/a.tif exists and is no finished result" in ended.message, more
    stack(place / "a.tif", mean=300)
    assert "out/a.tif exists and is no finished result" in bmz_fmd(*words, "runs/small").message
    assert bmz_fmd(*words, "runs/small", "--overwrite").code == 0
    result = place / "out" / "a.tif"
    result.write_bytes(result.read_bytes()[:-9])
    assert "out/a.tif exists and is no finished result" in bmz_fmd(*words, "runs/small").message


HEARS_CTRL_C = """
import signal
from bmz_fmd.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored outside
main()
"""


def test_ctrl_c_leaves_finished_files_only(place):
    for number in range(12):
        stack(place / f"cells_{number:02}.tif", shape=(4, 256, 256))
    words = ["denoise", *(f"cells_{number:02}.tif" for number in range(12)), "-m", "runs/small", "-o", "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C, *words, "--device", "cpu"], stderr=subprocess.PIPE, text=True
    )
    while not (place / "out" / "cells_00.tif").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "bmz-fmd: interrupted"
    left = written(place / "out")
    assert 1 <= len(left) < 11
    for name in left:
        assert tifffile.imread(place / "out" / name).shape == (4, 256, 256)
    assert [path.name for path in (place / "out").iterdir() if path.name not in left] == [".denoised.jsonl"]
    ended = bmz_fmd(*words)
    assert ended.out == f"{12 - len(left)} images denoised into out\n"
    assert len(written(place / "out")) == 12


def test_a_package_gives_the_pixels_of_its_run(place):
    stack(place / "cells.tif")
    assert bmz_fmd("export", "--run", "runs/small", "--license", "CC0-1.0", "--engines", "none").code == 0
    for model, out in (("runs/small", "run"), ("packages/small", "folder"), ("packages/small.zip", "zip")):
        assert bmz_fmd("denoise", "cells.tif", "-m", model, "-o", out, "--float", "--device", "cpu").code == 0
    run = tifffile.imread("run/cells.tif")
    np.testing.assert_allclose(tifffile.imread("folder/cells.tif"), run, rtol=1e-4)
    np.testing.assert_allclose(tifffile.imread("zip/cells.tif"), run, rtol=1e-4)
