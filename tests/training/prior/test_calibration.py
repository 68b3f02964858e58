"""The grid search of a calibration: the same table whether it ran through, was killed, or ran on a cluster."""

import itertools
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd

from training.data import Sample
from training.errors import UserError
from training.prior import calibration
from training.prior.calibration import Grid, calibrate
from training.prior.tables import read_table
from training.util.progress import Listener

GRID = Grid(depths=(1, 2), widths=(4,), skips=(2,), iterations=6, every=2)


def samples(count=3, side=16):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    clean = [300 + 100 * np.sin(rows / (2 + n)) * np.cos(columns / 3) for n in range(count)]
    return [
        Sample.of_arrays(f"crop_{n}", rng.normal(image, 60).astype(np.float32), image.astype(np.float32))
        for n, image in enumerate(clean)
    ]


def killed_after(monkeypatch, fits):
    """Let the search be interrupted after some fits."""
    written = itertools.count(1)
    write = calibration.write_text

    def write_and_die(path, text):
        write(path, text)
        if next(written) == fits:
            raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "write_text", write_and_die)


def table_of(path, grid=GRID, **options):
    calibrate(samples(), path, grid, by=("psnr",), **options)
    return path.read_text()


@contextmanager
def cluster(*, processes):
    """The address of a Dask scheduler on this machine with two workers, processes or threads."""
    distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": processes, "dashboard_address": ":0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(**options) as started:
            yield started.scheduler_address


def test_a_search_that_was_killed_goes_on_to_the_same_table(tmp_path, monkeypatch):
    expected = table_of(tmp_path / "whole.csv")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        killed_after(patched, 2)
        table_of(tmp_path / "killed.csv")
    assert not (tmp_path / "killed.csv").exists()
    notes = []
    assert table_of(tmp_path / "killed.csv", listener=Listener(note=notes.append)) == expected
    assert notes == ["2 fits of 6 done before"]
    assert len(expected.splitlines()) == 1 + 3 * 2 * 3


def test_the_scores_are_those_of_the_results(tmp_path):
    from training.evaluation.metrics import psnr
    from training.prior.configuration import Configuration
    from training.prior.denoising import denoise_plane

    table_of(tmp_path / "table.csv")
    row = next(row for row in read_table(tmp_path / "table.csv").rows if row.configuration.iterations == 4)
    noisy, clean = samples()[0].pair()
    result = denoise_plane(noisy, Configuration(depth=1, width=4, skip=2, iterations=4), seed=0)
    assert row.psnr == pytest.approx(
        psnr(clean, result, data_range=float(np.ptp(noisy)), convention="affine"), abs=1e-3
    )


def test_a_larger_grid_computes_what_is_new_and_another_seed_all(tmp_path):
    notes = []
    listener = Listener(note=notes.append)
    table_of(tmp_path / "table.csv", Grid((1,), (4,), (2,), 6, 2))
    table_of(tmp_path / "table.csv", listener=listener)
    table_of(tmp_path / "table.csv", seed=1, listener=listener)
    assert notes == ["3 fits of 6 done before"]


@pytest.mark.slow
def test_two_by_two_configurations_on_three_crops_killed_and_gone_on_with_on_a_cluster_give_the_table_of_one_machine(
    tmp_path, monkeypatch
):
    grid = Grid(depths=(4, 5), widths=(8, 16), skips=(4,), iterations=200, every=100)
    crops = samples(3, 64)
    calibrate(crops, tmp_path / "one.csv", grid, by=("psnr",))
    with cluster(processes=True) as address:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            killed_after(patched, 5)
            calibrate(crops, tmp_path / "two.csv", grid, by=("psnr",), scheduler=address)
        calibrate(crops, tmp_path / "two.csv", grid, by=("psnr",), scheduler=address)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


def test_a_cluster_gives_the_table_of_one_machine(tmp_path):
    with cluster(processes=False) as address:
        assert table_of(tmp_path / "one.csv") == table_of(tmp_path / "two.csv", scheduler=address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": Grid(depths=(6,))}, "crop_0: 16 x 16 pixels are too few for depth 6.*largest depth that fits is 3"),
        ({"grid": Grid(widths=("wide",))}, "the grid of `depths`"),
        ({"by": ("ssim",)}, "`by` ssim: choose psnr, lpips or psnr,lpips"),
    ],
)
def test_what_cannot_be_searched_is_one_line(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        calibrate(samples(), tmp_path / "table.csv", **{"grid": GRID, **options})
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_table_that_denoising_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for sample in samples(2, 24):
        for side, image in zip(("noisy", "clean"), sample.pair(), strict=True):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"{sample.name}.tif", image.astype(np.uint16))
    grid = ("--depths", "1,2", "--widths", "4", "--skips", "2", "--iterations", 4, "--every", 2)
    words = ("autodip", "calibrate", "--noisy", "noisy", "--clean", "clean", "--out", "own.csv", *grid)
    ended = bmz_fmd(*words, "--by", "psnr", "--microscope", "widefield", "--specimen", "yeast")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("best over 2 images: depth ")
    words = ("--calibration", "own.csv", "--specimen", "yeast", "--metric", "mae")
    ended = bmz_fmd("autodip", "noisy/crop_1.tif", "--out", "out", *words)
    assert ended.code == 0, ended.err
    assert "the best for crop_1, the nearest of any microscope and yeast by mae" in ended.out
