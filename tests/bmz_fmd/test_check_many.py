"""``bmz-fmd check`` on many packages, and the workflow that does it in a zoo's continuous integration."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.command_line import bmz_fmd
from helpers.small_package import copy, describe, small_package

from bmz_export.checking import many
from bmz_export.package.archive import write_zip

WORKFLOW = Path(__file__).parents[2] / "docs" / "check-packages.yml"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_package(tmp_path_factory.mktemp("sound") / "package")


@pytest.fixture
def here(sound, tmp_path, monkeypatch):
    """A working folder with ``packages``: a sound one, its zip, and one whose weights are gone."""
    monkeypatch.chdir(tmp_path)
    copy(sound, tmp_path / "packages" / "sound")
    write_zip(sound, tmp_path / "packages" / "zipped.zip")
    faulty = copy(sound, tmp_path / "packages" / "faulty")
    (faulty / "weights.pt").unlink()
    return tmp_path


def rows(text):
    """From package to the cells of its row."""
    cells = (line.split() for line in text.splitlines() if line.startswith("packages/") and ":" not in line)
    return {each[0]: each[1:] for each in cells}


def test_a_line_for_each_and_1_where_one_fails(here):
    packages = sorted((here / "packages").iterdir())
    ended = bmz_fmd("check", *(path.relative_to(here) for path in packages), "--rules-only", "--json", "check.json")
    assert ended.code == 1
    assert {name: cells[0] for name, cells in rows(ended.out).items()} == {
        "packages/faulty": "failed", "packages/sound": "passed", "packages/zipped.zip": "passed",
    }  # fmt: skip
    assert any(line.startswith("packages/faulty: ") and "weights.pt" in line for line in ended.out.splitlines())
    stored = json.loads(Path("check.json").read_text())["packages"]
    assert [each["package"] for each in stored] == ["packages/faulty", "packages/sound", "packages/zipped.zip"]
    assert stored[0]["certificate"]["faults"] and not stored[0]["error"]


def test_all_sound_is_0_and_a_pattern_is_looked_up(here):
    (here / "packages" / "notes.txt").write_text("no package")
    ended = bmz_fmd("check", "packages/[sz]*", "--rules-only")
    assert ended.code == 0, ended.out + ended.err
    assert sorted(rows(ended.out)) == ["packages/sound", "packages/zipped.zip"]


def test_what_is_no_package_stops_no_other(here, monkeypatch):
    (here / "packages" / "broken.zip").write_bytes(b"PK\3\4 and no more")
    (here / "packages" / "empty").mkdir()
    ended = bmz_fmd("check", "packages/*", "http://127.0.0.1:9/x.zip", "--rules-only", "--json", "check.json")
    assert ended.code == 1
    verdicts = {each["package"]: bool(each["error"]) for each in json.loads(Path("check.json").read_text())["packages"]}
    assert verdicts == {
        "packages/broken.zip": True, "packages/empty": True, "packages/faulty": False, "packages/sound": False,
        "packages/zipped.zip": False, "http://127.0.0.1:9/x.zip": True,
    }  # fmt: skip
    assert "packages/empty: there is no rdf.yaml" in ended.out and "no connection" in ended.out


def test_a_package_that_this_program_stumbles_over_stops_no_other(here, monkeypatch):
    whole = many.check

    def stumbling(path, *arguments, **options):
        if "faulty" in str(path):
            raise ZeroDivisionError("division by zero")
        return whole(path, *arguments, **options)

    monkeypatch.setattr(many, "check", stumbling)
    ended = bmz_fmd("check", "packages/*", "--rules-only")
    assert ended.code == 1 and "packages/faulty: a fault of this program: ZeroDivisionError" in ended.out
    assert rows(ended.out)["packages/sound"][0] == "passed"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("packages/x*",), "packages/x*: no package there"),
        (
            ("packages/sound", "packages/zipped.zip", "--engines", "tensorflow"),
            "--engines tensorflow: there is no such",
        ),
        (("packages/sound", "packages/zipped.zip", "--json", "packages/sound/rdf.json"), None),
    ],
)
def test_bad_input_is_said_once_before_anything_is_checked(here, words, cause):
    (here / "packages" / "sound" / "rdf.json").write_text("{}")
    ended = bmz_fmd("check", *words)
    assert ended.code == 2 and (cause or "is no earlier result") in ended.message


def test_the_workflow_fails_for_a_faulty_package_and_passes_without_it(here, monkeypatch):
    workflow = yaml.safe_load(WORKFLOW.read_text())
    (job,) = workflow["jobs"].values()
    steps = [step for step in job["steps"] if "run" in step and "pip install" not in step["run"]]
    (here / "bin").mkdir()
    (here / "bin" / "bmz-fmd").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bmz_fmd "$@"\n')
    (here / "bin" / "bmz-fmd").chmod(stat.S_IRWXU)
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ, **workflow["env"], "ENGINES": "none", "GITHUB_STEP_SUMMARY": str(here / "summary.md"),
        "PATH": f"{here / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": root,
    }  # fmt: skip

    def run():
        codes = {}
        for step in steps:
            if step.get("if") == "always()" or not any(codes.values()):
                command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
                codes[step["name"]] = subprocess.run(
                    command, env=environment, capture_output=True, check=False
                ).returncode
        return max(codes.values())

    assert run() == 1
    summary = (here / "summary.md").read_text()
    assert rows(summary)["packages/faulty"][0] == "failed" and rows(summary)["packages/sound"][0] == "passed"
    (here / "packages" / "faulty" / "rdf.yaml").unlink()
    for path in (here / "packages" / "faulty").iterdir():
        path.unlink()
    (here / "packages" / "faulty").rmdir()
    assert run() == 0
    assert len(json.loads((here / "check.json").read_text())["packages"]) == 2


def test_every_action_of_the_workflow_is_pinned_to_a_version():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used and all("@v" in each for each in used)


def test_one_package_is_told_in_full_as_ever(here):
    ended = bmz_fmd("check", "packages/sound", "--rules-only", "--json", "one.json")
    assert ended.code == 0 and "certificate" in json.loads(Path("one.json").read_text())
    describe(here / "packages" / "sound", lambda raw: raw.pop("weights"))
    assert bmz_fmd("check", "packages/sound", "--rules-only").code == 1
