"""What the README shows runs: the notebook under ``docs/`` from the first to the last cell, and the demo."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import bmz_fmd

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_steps.ipynb"


def test_the_notebook_runs_and_the_package_gives_the_pixels_of_the_run(tmp_path):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "outputs are kept out of the repository"
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "BMZ_FMD_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    noisy, denoised = (float(word) for word in (said[0].split()[1], said[0].split()[4]))
    assert denoised > noisy + 3
    assert any("by sha256" in line or "looks like noise" in line or "invented" in line for line in said)
    assert "packages/filaments.zip is fine" in said
    assert float(said[-1].split()[-1]) < 1e-2


def test_the_readme_names_files_that_are_there():
    words = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^):#]+)[^):]*\)", words):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_demo_ends_with_a_better_image_and_a_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = bmz_fmd("demo", "--name", "demo")
    assert ended.code == 0, ended.err
    noisy, denoised = (float(value) for value in re.findall(r"(?:noisy|denoised) ([0-9.]+) dB", ended.out)[-2:])
    assert denoised > noisy + 5
    assert (tmp_path / "packages" / "demo.zip").is_file()
