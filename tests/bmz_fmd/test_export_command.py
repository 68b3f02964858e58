"""``bmz-fmd export`` as it is typed."""

import numpy as np
import pytest
import tifffile
import yaml
from helpers.command_line import bmz_fmd, snapshot
from helpers.small_run import small_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory that holds one run, ``runs/one``, on the simulated data; no engine of a tool is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    small_run(tmp_path / "runs" / "one")
    return tmp_path


def test_it_writes_the_package_and_says_what_is_public_and_what_is_missing(here):
    ended = bmz_fmd("export", "--dataset", "simulated", "--engines", "torch")
    assert ended.code == 1, ended.err  # without a licence QuPath's window refuses it
    assert "QuPath: its own window will NOT open it, because there is no license" in ended.out
    assert "packages/one.zip (unpacked: packages/one)" in ended.out
    assert (here / "packages" / "one" / "rdf.yaml").is_file()
    assert "Public from now on, as its example: a part of test image" in ended.err
    for option in ("--author", "--cite", "--license"):
        assert option in ended.err


def test_options_end_in_the_description_and_nothing_is_missing_then(here):
    (here / "about.yaml").write_text("title: My denoiser\ntags: [yeast]\nauthors: Nobody\n")
    tifffile.imwrite(here / "hers.tif", np.random.default_rng(0).integers(90, 200, (70, 81)).astype(np.uint16))
    ended = bmz_fmd(
        "export", "--run", "runs/one", "--name", "mine", "--out", "elsewhere", "--about", "about.yaml",
        "--author", "Ada Lovelace; Engines", "--author", "Charles Babbage", "--cite", "Notes | 10.1234/notes",
        "--license", "CC-BY-4.0", "--example", "hers.tif", "--engines", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "To be filled in" not in ended.err and "a part of hers.tif" in ended.err
    described = yaml.safe_load((here / "elsewhere" / "mine" / "rdf.yaml").read_text())
    assert described["name"] == "My denoiser"
    assert [author["name"] for author in described["authors"]] == ["Ada Lovelace", "Charles Babbage"]
    assert described["cite"][0] == {"text": "Notes", "doi": "10.1234/notes"}
    assert described["license"] == "CC-BY-4.0"
    assert "yeast" in described["tags"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what to export: either --dataset NAME, --run DIR, or"),
        (("--run", "runs/one", "--dataset", "simulated"), "say what to export: either --dataset NAME, --run DIR, or"),
        (("--run", "runs/two"), "no such run; there are one"),
        (("--dataset", "nucleus"), "--dataset nucleus: no trained run"),
        (("--run", "runs/one", "--license", "MITT"), "did you mean MIT"),
        (("--run", "runs/one", "--author", ";"), "--author ';': write"),
        (("--run", "runs/one", "--cite", "text"), "--cite 'text': write"),
        (("--run", "runs/one", "--about", "none.yaml"), "--about none.yaml: no such file"),
        (("--run", "runs/one", "--example", "none.tif"), "none.tif"),
        (("--run", "runs/one", "--name", "a/b"), "--name 'a/b'"),
    ],
)
def test_wrong_words_end_with_one_line_and_change_nothing(here, words, message):
    before = snapshot(here)
    ended = bmz_fmd("export", *words)
    assert ended.code == 2
    assert message in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    after = snapshot(here)
    after.pop((here / "packages").relative_to(here), None)
    assert after == before
