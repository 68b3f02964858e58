"""The command line's door: how it ends, what it says, what it loads, and denoising and scoring through it."""

import subprocess
import sys
import warnings

import pytest
from helpers.command_line import bmz_fmd

from bmz_fmd import cli, console
from training.errors import UserError
from training.inference.denoiser import TilesChangeTheResult

HEAVY = {
    "torch", "lightning", "matplotlib", "skimage", "scipy", "dask", "distributed", "xarray", "onnxruntime", "tifffile",
    "bioimageio.core", "bioimageio.spec", "requests", "jinja2",
}  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in ("train", "export", "check", "denoise"))])
def test_help_loads_nothing_heavy(words):
    code = f"""
import sys
from bmz_fmd.cli import main
try:
    main({words!r})
finally:
    print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in ended.stdout
    assert ended.stderr.split() == []


@pytest.mark.parametrize("module", ["bmz_fmd.cli", "training.networks", "training.errors", "bmz_export.package"])
def test_importing_it_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
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
