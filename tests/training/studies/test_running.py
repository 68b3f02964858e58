"""A study is run, killed and gone on with, on this machine or a cluster, and reported: the same table each time."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

import bmz_fmd
from training.errors import UserError
from training.studies.plan import read_study
from training.studies.reading import read_results
from training.studies.report import write_report
from training.studies.running import run_study

NETWORK = {"network": "dncnn", "settings": {"depth": 3, "width": 8}}
STUDY = {
    "name": "tiny",
    "data": {"cells": {"dataset": "simulated", "images": 10, "size": 48}},
    "networks": {"DnCNN": {**NETWORK, "checkpoint": "first"}},
    "pretraining": {
        "first": {
            **NETWORK,
            "data": {"dataset": "simulated", "images": 8, "size": 48, "seed": 5},
            "method": "supervised",
            "recipe": {"epochs": 2, "crop": 32, "lr": 3e-3},
        }
    },
    "recipe": {"epochs": 3, "crop": 32, "test_fraction": 0.3, "lr": 1e-3},
    "experiments": [
        {"title": "Start", "compare": {"start": ["pretrained", "scratch"]}, "search": {"lr": [1e-3, 3e-3]}},
        {"title": "Pairs", "compare": {"pairs": [1, 2, "all"]}, "steps": 6},
    ],
    "baselines": ["gaussian"],
    "data_range": 1000,
}


def written(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return the folder of a study of one row and a baseline that was run to its end."""
    here = tmp_path_factory.mktemp("ran")
    experiments = [{"title": "How many", "compare": {"pairs": [3]}}]
    networks = {"DnCNN": {**NETWORK, "checkpoint": "none"}}
    study = read_study(str(written(here, experiments=experiments, networks=networks, pretraining={})))
    assert run_study(study, here / "study", workers=2).exit_code == 0
    return here / "study"


def test_a_row_is_trained_chosen_and_tested_once(ran):
    (row,) = read_results(ran).rows
    assert row.final.pairs == row.choices[0].pairs == 3
    assert len(row.choices[0].history) == 4
    assert row.final.evaluation is not None
    assert len(row.final.evaluation.images) == 3
    assert row.choices[0].evaluation is None
    assert row.final.parameters == 737


def test_what_is_finished_is_not_run_again(ran):
    before = {path: path.stat().st_mtime_ns for path in ran.rglob("result.json")}
    study = read_study(str(ran / "study.yaml"))
    assert run_study(study, ran).finished == 3
    assert {path: path.stat().st_mtime_ns for path in ran.rglob("result.json")} == before


def test_the_report_holds_tables_figures_and_a_page_without_pixels_of_the_data(ran):
    page = write_report(ran, images=False)
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"index.html", "tables.md", "tables.csv", "tables.tex", "validation-0.png", "pairs-0.png"}
    text = page.read_text()
    tested = read_results(ran).rows[0].final.evaluation
    assert f"{tested.mean.psnr_denoised:.2f} ± {tested.sd.psnr_denoised:.2f}" in (page.parent / "tables.md").read_text()
    assert "DnCNN with 3 pairs" in text
    assert str(ran.parent) not in text
    write_report(ran, images=True)
    assert (page.parent / "panel-0.png").is_file()


def test_a_report_never_replaces_what_is_not_ours(ran):
    copy = ran.parent / "copy"
    shutil.copytree(ran, copy)
    shutil.rmtree(copy / "report", ignore_errors=True)
    (copy / "report").mkdir()
    (copy / "report" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes\.txt, which is not overwritten; move it away"):
        write_report(copy)


def test_a_report_that_was_cut_off_is_written_again(ran):
    copy = ran.parent / "cut-off"
    shutil.copytree(ran, copy)
    write_report(copy, images=False)
    (copy / "report" / "index.html").unlink()
    assert write_report(copy, images=False).is_file()
    (copy / "report" / "index.html").write_text("<p>mine</p>")
    with pytest.raises(UserError, match=r"holds index\.html, which is not overwritten"):
        write_report(copy, images=False)


@pytest.mark.slow
def test_a_cell_that_fails_is_told_and_tried_again(ran):
    copy = ran.parent / "failing"
    shutil.copytree(ran, copy)
    for result in copy.rglob("result.json"):
        if json.loads(result.read_text())["cell"]["stage"] != "baseline":
            result.unlink()
    runs = [path for path in copy.rglob("run") if path.is_dir()]
    assert len(runs) == 1
    (runs[0] / "settings.yaml").write_text("network: 3\n")
    failed = run_study(read_study(str(copy / "study.yaml")), copy)
    assert failed.exit_code == 1
    reasons = list(failed.failed.values())
    assert "settings.yaml" in reasons[0]
    assert "not run, since it needs another that failed" in reasons[1]
    assert read_results(copy).failed
    shutil.rmtree(runs[0])
    assert run_study(read_study(str(copy / "study.yaml")), copy).exit_code == 0
    assert not read_results(copy).failed


def test_the_folder_of_another_study_is_refused(ran):
    with pytest.raises(UserError, match="holds the study tiny, this one is other: choose another `out`"):
        run_study(read_study(str(ran / "study.yaml")).model_copy(update={"name": "other"}), ran)


@pytest.mark.slow
def test_sigterm_ends_the_cells_and_the_same_command_goes_on(tmp_path):
    path = written(tmp_path, experiments=STUDY["experiments"][1:], pretraining={}, networks={"DnCNN": NETWORK})
    words = [sys.executable, "-m", "bmz_fmd", "study", "run", str(path), "--out", str(tmp_path / "out")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as first:
        while not list((tmp_path / "out").rglob("settings.yaml")):
            time.sleep(0.2)
        first.terminate()
        said = first.communicate(timeout=20)[1]
    assert first.returncode == 130
    assert "interrupted" in said
    time.sleep(1)
    assert not list((tmp_path / "out").rglob("failed.txt"))
    again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


def test_a_folder_that_is_no_study_is_one_line(tmp_path):
    with pytest.raises(UserError, match="not a study's folder"):
        bmz_fmd.study_report(tmp_path)


def table(folder):
    """Return all figures of a study that do not tell of time."""
    write_report(folder, images=False)
    lines = (folder / "report" / "tables.csv").read_text().splitlines()
    seconds = lines[0].split(",").index("seconds")
    return [[cell for place, cell in enumerate(line.split(",")) if place != seconds] for line in lines]


@pytest.mark.slow
def test_killed_and_gone_on_with_and_on_a_cluster_the_table_is_the_same_to_the_last_digit(tmp_path):
    from distributed import Client, LocalCluster

    path = written(tmp_path)
    whole = run_study(read_study(str(path)), tmp_path / "whole", workers=2)
    assert whole.exit_code == 0
    words = [sys.executable, "-m", "bmz_fmd", "study", "run", str(path), "--out", str(tmp_path / "killed")]
    first = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while len(list((tmp_path / "killed").rglob("best.ckpt"))) < 2:
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(list((tmp_path / "killed").rglob("result.json"))) < whole.finished
    time.sleep(3)  # the cell that was running ends with its parent
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        run_study(read_study(str(path)), tmp_path / "cluster", scheduler=cluster.scheduler_address)
    assert table(tmp_path / "cluster") == table(tmp_path / "whole")
