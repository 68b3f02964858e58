"""The command line's door: how it ends, what it says, how fast it answers, and denoising and scoring through it."""

import json
import resource
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd, snapshot
from helpers.image_sets import save_set
from helpers.small_run import small_run

from bmz_fmd import cli, console
from training.errors import UserError
from training.images import open_image
from training.inference.denoiser import TilesChangeTheResult


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a run in ``runs/small``."""
    monkeypatch.chdir(tmp_path)
    small_run(tmp_path / "runs" / "small")
    return tmp_path


def stack(path, *, shape=(3, 40, 50), axes="ZYX", mean=200, seed=0):
    values = np.random.default_rng(seed).poisson(mean, shape).astype(np.uint16)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes, "unit": "um"}, resolution=(10, 10))
    return values


def child(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "bmz_fmd", *words], capture_output=True, text=True, check=False, **options
    )


# ---- the door


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in ("train", "export", "check", "denoise"))])
def test_help_takes_at_most_0_4_s_of_processor_time(words):
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert child(*words).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(seconds() <= 0.4 for _ in range(3))  # a busy machine may slow one of them down


@pytest.mark.parametrize("module", ["bmz_fmd.cli", "training.networks", "training.errors", "bmz_export.package"])
def test_importing_it_loads_nothing_heavy(module):
    heavy = {"torch", "lightning", "matplotlib", "skimage", "scipy", "dask", "xarray", "onnxruntime", "bioimageio.core"}
    code = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_every_verb_has_a_line_of_help():
    shown = bmz_fmd("--help")
    assert shown.code == 0
    for verb in ("train", "export", "check", "denoise", "evaluate", "demo", "engines"):
        assert verb in shown.out
        assert bmz_fmd(verb, "--help").code == 0


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert bmz_fmd("--version").out == f"bmz-fmd {version('bmz-fmd')}\n"


def test_without_words_help_is_shown_and_the_exit_code_is_2():
    ended = bmz_fmd()
    assert ended.code == 2
    assert "Usage" in ended.out + ended.err


def failing(monkeypatch, error):
    """Let ``bmz-fmd denoise`` fail with the error once it looks for its images."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("training.inference.files.images_in", fail)
    return bmz_fmd("denoise", "a.tif", "--model", "runs/small", "--out", "out")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("--out x: a\n  reason"), "bmz-fmd: --out x: a reason"),
        (PermissionError(13, "Permission denied", "x/y.tif"), "bmz-fmd: x/y.tif: Permission denied"),
        (OSError(28, "No space left on device"), "bmz-fmd: the disk is full"),
        (MemoryError(), "bmz-fmd: memory ran out"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "bmz-fmd: memory ran out"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(monkeypatch, error, message):
    ended = failing(monkeypatch, error)
    assert ended.code == 2
    assert ended.message.startswith(message)


def test_a_fault_of_the_program_is_one_line_with_the_traceback_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = failing(monkeypatch, KeyError("surprise"))
    assert ended.code == 3
    (kept,) = tmp_path.glob("bmz-fmd-*.txt")
    assert ended.message == f"bmz-fmd: unexpected KeyError: 'surprise'; a fault of this program, traceback in {kept}"
    assert "Traceback (most recent call last)" in kept.read_text()


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv(cli.DEBUG, "1")
    ended = failing(monkeypatch, UserError("no"))
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err


def test_ctrl_c_ends_with_130_and_one_word(monkeypatch):
    ended = failing(monkeypatch, KeyboardInterrupt())
    assert ended.code == 130
    assert ended.message == "bmz-fmd: interrupted"


def test_our_warnings_are_a_line_and_those_of_libraries_are_not_shown(monkeypatch):
    def warn(*_, **__):
        warnings.warn("tiles\n change it", TilesChangeTheResult, stacklevel=1)
        warnings.warn("an argument is deprecated", DeprecationWarning, stacklevel=1)
        raise UserError("done")

    monkeypatch.setattr("training.inference.files.images_in", warn)
    ended = bmz_fmd("denoise", "a.tif", "--model", "runs/small", "--out", "out")
    assert ended.err.splitlines() == ["warning: tiles change it", "bmz-fmd: done"]
    monkeypatch.setenv(cli.DEBUG, "0")  # what the option changes is changed back
    told = bmz_fmd("--debug", "denoise", "a.tif", "--model", "runs/small", "--out", "out")
    assert "DeprecationWarning: an argument is deprecated" in told.err


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m bmz_fmd --help | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1, 141)  # whether the reader has left before the writing is chance
    assert ended.stderr == ""


# ---- progress and tables


def test_in_a_log_progress_is_plain_lines(capsys):
    with console.progress("Working", 3) as advance:
        for name in "abc":
            advance(1, name)
    assert capsys.readouterr().err == "Working: 3 of 3, c, 0 s\n"


def test_on_a_terminal_progress_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress("Working [on it]", 2) as advance:
        advance(2, "")
    shown = capsys.readouterr().err
    assert "Working [on it]" in shown
    assert "2/2" in shown


def test_a_table_in_a_log_keeps_its_cells_whole(capsys):
    console.table("Scores", ["image", "PSNR"], [["a" * 60, "30.00"], [], ["mean", "30.00"]])
    shown = capsys.readouterr().out
    assert "a" * 60 in shown
    assert "mean" in shown


# ---- denoise


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


# ---- evaluate


def pairs(place, count=3):
    y, x = np.mgrid[:48, :64]
    for number in range(count):
        clean = 120 + 80 * np.sin(x / 9 + number) * np.cos(y / 7)
        for which, values in (("noisy", np.random.default_rng(number).poisson(clean)), ("clean", clean)):
            (place / which).mkdir(exist_ok=True)
            tifffile.imwrite(place / which / f"fov_{number}.tif", values.astype(np.uint8))


def test_scores_are_printed_and_stored_with_all_that_made_them(place):
    pairs(place)
    words = ("--noisy", "noisy", "--clean", "clean", "--convention", "affine", "--data-range", 255)
    ended = bmz_fmd("evaluate", "--model", "runs/small", *words, "--json", "scores/small.json")
    assert ended.code == 0
    for word in ("fov_0", "fov_1", "fov_2", "mean", "sd", "PSNR noisy", "SSIM noisy", "slope", "total intensity"):
        assert word in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines() if line.startswith(("image", "fov", "mean", "sd")))
    stored = json.loads((place / "scores" / "small.json").read_text())
    assert stored["convention"] == "affine"
    assert stored["data_range"] == 255
    assert stored["settings"]["noisy"] == "noisy"
    assert stored["model"]["kind"] == "run"
    assert len(stored["model"]["sha256"]) == 64
    assert "torch" in stored["versions"]
    assert [image["name"] for image in stored["images"]] == ["fov_0", "fov_1", "fov_2"]
    values = [image["psnr_denoised"] for image in stored["images"]]
    assert stored["mean"]["psnr_denoised"] == pytest.approx(np.mean(values))
    assert (place / "scores" / "small-residuals.png").stat().st_size > 1000


def test_a_dead_frame_has_no_figures_and_does_not_lift_the_mean(place):
    pairs(place)
    for which in ("noisy", "clean"):
        tifffile.imwrite(place / which / "fov_0.tif", np.zeros((48, 64), np.uint8))
    ended = bmz_fmd("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--data-range", 255)
    assert ended.code == 0
    assert "fov_0: the clean image has one value only" in ended.out
    assert "nan" not in ended.out and "100.00" not in ended.out


def test_a_second_evaluation_replaces_the_first(place):
    pairs(place, 1)
    words = ("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--json", "scores.json")
    assert bmz_fmd(*words).code == 0
    assert bmz_fmd(*words, "--convention", "raw").code == 0
    assert json.loads((place / "scores.json").read_text())["convention"] == "raw"


def test_without_folders_the_runs_own_test_images_are_scored(place):
    ended = bmz_fmd("evaluate", "--model", "runs/small", "--data-range", "4000")
    assert ended.code == 0
    assert "field_" in ended.out
    assert (place / "runs" / "small" / "residuals.png").exists()


def test_denoising_and_scoring_change_nothing_else(place):
    pairs(place)
    before = snapshot(place)
    assert bmz_fmd("denoise", "noisy", "--model", "runs/small", "--out", "out").code == 0
    assert bmz_fmd("evaluate", "-m", "runs/small", "--noisy", "noisy", "--clean", "clean", "--json", "s.json").code == 0
    after = snapshot(place)
    assert {path: after[path] for path in before if path.name != "small"} == {
        path: kept for path, kept in before.items() if path.name != "small"
    }
