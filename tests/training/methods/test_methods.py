"""A method is one file or one class: found, registered, and trained with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from training.calibration.intensity import Range
from training.data.sample import DataSource, Sample
from training.data.sets import DATASETS
from training.data.sets import register as register_dataset
from training.data.settings import DatasetOptions, DataSettings
from training.errors import DataError, SettingError
from training.fitting.start import Request, new_run
from training.fitting.trainer import train
from training.methods import METHODS, Needs, register
from training.methods.supervised import Supervised
from training.runs.run import open_run


class Noise2Noise(Supervised):
    """Learns one noisy image from another of the same field (Lehtinen et al., 2018)."""

    name = "noise2noise"
    needs = Needs(frames=2, clean=False)
    seen: list = []  # noqa: RUF012

    def batch(self, patches, rng):
        first, second, _clean = patches
        self.seen.append(float(rng.random()))
        return (first, second) if self.seen[-1] < 0.5 else (second, first)


class Arrays:
    """A source that lies in memory."""

    name = None

    def __init__(self, values):
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, region=None):
        return self.values if region is None else self.values[region]


def frames_of(count):
    """A data set class whose samples hold so many noisy frames of a field."""

    class Repeated:
        options = DatasetOptions
        source = DataSource(dtype="float32")

        def __init__(self, name, options, *, test_fraction, seed):
            self.name = name
            rng = np.random.default_rng(0)
            samples = []
            for number in range(6):
                clean = (100 + 50 * np.sin(np.mgrid[:40, :40].sum(0) / (3 + number))).astype(np.float32)
                noisy = [Arrays((clean + rng.normal(0, 20, clean.shape)).astype(np.float32)) for _ in range(count)]
                samples.append(Sample(f"f{number}", f"f{number}", "YX", clean.shape, tuple(noisy), Arrays(clean)))
            self.train, self.validation, self.test = samples[:4], samples[4:5], samples[5:]

        def hashes(self):
            return {}

        def warnings(self):
            return []

    return Repeated


@pytest.fixture
def noise2noise(tmp_path, monkeypatch):
    """The method, registered, and a data set of two noisy frames."""
    monkeypatch.chdir(tmp_path)
    register(Noise2Noise)
    register_dataset("repeated", frames_of(2))
    register_dataset("single", frames_of(1))
    yield
    METHODS.pop("noise2noise")
    for name in ("repeated", "single"):
        DATASETS.pop(name)


def request(dataset, **more):
    changes = ["depth=3", "width=4"], ["epochs=2", "crop=16", "batch=2"]
    return Request(
        data=DataSettings(dataset=dataset), network="dncnn", network_changes=changes[0], changes=changes[1], name="one",
        **more,
    )  # fmt: skip


def test_a_method_that_is_not_in_the_tree_trains(noise2noise):
    run, _ = new_run(request("repeated", method="noise2noise"))
    train(run, device="cpu")
    assert [row["epoch"] for row in run.history()] == [0, 1, 2]
    assert np.isfinite([row["train_loss"] for row in run.history()[1:]]).all()
    assert run.provenance.method == open_run(run.folder).settings.method == "noise2noise"
    assert {value < 0.5 for value in Noise2Noise.seen} == {True, False}


def test_what_a_method_needs_and_a_sample_lacks_is_one_line_before_there_is_a_run(noise2noise, tmp_path):
    with pytest.raises(DataError, match="f0: `method` noise2noise learns from 2 noisy images of each field, here is 1"):
        new_run(request("single", method="noise2noise"), tmp_path / "runs")
    tifffile.imwrite(tmp_path / "alone.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")
    alone = Request(data=DataSettings(noisy=tmp_path / "alone.tif"), network="dncnn", checkpoint="none")
    with pytest.raises(DataError, match="`method` supervised learns from clean images: give `clean`"):
        new_run(alone, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(SettingError, match=r"`method` supervise: unknown; did you mean supervised\?"):
        new_run(request("simulated", method="supervise"))


def test_settings_of_version_0_1_are_supervised():
    old = Path(__file__).parents[2] / "data" / "version_0_1" / "run"
    assert open_run(old).settings.method == open_run(old).provenance.method == "supervised"


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="supervised already"):
        register(Supervised)


def test_supervised_learning_compares_with_the_clean_image():
    noisy, clean = torch.rand(2, 1, 16, 16) * 100, torch.rand(2, 1, 16, 16) * 100
    method = Supervised("mae", 0.0, Range(0.0, 100.0))
    batch = method.batch((noisy, clean), np.random.default_rng(0))
    assert float(method.loss(torch.nn.Identity(), batch)) == pytest.approx(float((noisy - clean).abs().mean() / 100))
    assert method.score(torch.nn.Identity(), (clean[:1], clean[:1]))["psnr"] == 100
