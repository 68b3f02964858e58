"""A method is one file or one class: found, registered, and trained with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import bmz_fmd
from training.calibration.intensity import Range
from training.calibration.search import find_constants
from training.data.options import DatasetOptions
from training.data.sample import DataSource, Sample
from training.data.sets import DATASETS
from training.data.sets import register as register_dataset
from training.data.settings import DataSettings
from training.errors import DataError, SettingError
from training.fitting.start import Request, new_run, resumed_run
from training.fitting.trainer import train
from training.methods import METHODS, Needs, register
from training.methods.supervised import Supervised
from training.networks import create
from training.runs.run import open_run
from training.util.progress import Listener


class Noise2Noise(Supervised):
    """Learns one noisy image from another of the same field (Lehtinen et al., 2018)."""

    name = "frames"
    needs = Needs(frames=2, clean=False)
    seen: list = []  # noqa: RUF012

    def batch(self, patches, rng):
        first, second = patches[:2]
        self.seen.append(float(rng.random()))
        return (first, second) if self.seen[-1] < 0.5 else (second, first)


class Noise2Void:
    """Learns each masked pixel from its neighbours (Krull et al., 2019): one noisy image, and no loss of the recipe."""

    name = "masked"
    needs = Needs(clean=False)

    def __init__(self, loss, alpha, intensities, camera=None):
        self._intensities = intensities

    def batch(self, patches, rng):
        noisy = patches[0]
        masked = torch.from_numpy(rng.random(noisy.shape) < 0.05).to(noisy.device)
        return (
            torch.where(masked, noisy.roll(int(rng.integers(1, 3)), dims=int(rng.integers(-2, 0))), noisy),
            noisy,
            masked,
        )

    def loss(self, model, batch):
        given, noisy, masked = batch
        return ((model(given) - noisy)[masked] / self._intensities.extent).square().mean()

    def score(self, model, patches):
        return {"validation_loss": float(self.loss(model, self.batch(patches, np.random.default_rng(0))))}

    def constants(self, measured, samples, denoiser, **search):
        return find_constants(measured, samples, denoiser, **search)


class Arrays:
    """A source that lies in memory."""

    name = None

    def __init__(self, values):
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, region=None):
        return self.values if region is None else self.values[region]


def frames_of(count, *, clean_every=1):
    """A data set class whose samples hold so many noisy frames of a field, and each or some a clean image."""

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
                truth = Arrays(clean) if clean_every and number % clean_every == 0 else None
                samples.append(Sample(f"f{number}", f"f{number}", "YX", clean.shape, tuple(noisy), truth))
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
    METHODS.pop("frames")
    for name in ("repeated", "single"):
        DATASETS.pop(name)


def request(dataset, **more):
    return Request(
        data=DataSettings(dataset=dataset),
        network="dncnn",
        network_settings={"depth": 3, "width": 4},
        changes={"epochs": 2, "crop": 16, "batch": 2},
        name="one",
        **more,
    )


def test_a_method_that_is_not_in_the_tree_trains(noise2noise):
    run, _, _ = new_run(request("repeated", method="frames"))
    train(run, device="cpu")
    assert [row["epoch"] for row in run.history()] == [0, 1, 2]
    assert np.isfinite([row["train_loss"] for row in run.history()[1:]]).all()
    assert run.provenance.method == open_run(run.folder).settings.method == "frames"
    assert {value < 0.5 for value in Noise2Noise.seen} == {True, False}


@pytest.fixture
def noise2void(tmp_path, monkeypatch):
    """The method, registered, and a folder of noisy images alone."""
    monkeypatch.chdir(tmp_path)
    register(Noise2Void)
    (tmp_path / "noisy").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        clean = 100 + 50 * np.sin(np.mgrid[:40, :40].sum(0) / (3 + number))
        image = rng.poisson(clean).astype(np.uint16)
        tifffile.imwrite(tmp_path / "noisy" / f"f{number}.tif", image, photometric="minisblack")
    yield DataSettings(noisy=tmp_path / "noisy")
    METHODS.pop("masked")


def begun(data, method, checkpoint="none", **recipe):
    return new_run(
        Request(data=data, network="dncnn", network_settings={"depth": 3, "width": 4}, checkpoint=checkpoint,
                changes={"epochs": 2, "crop": 16, "batch": 2} | recipe, method=method, name="alone")
    )[0]  # fmt: skip


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_method_without_clean_images_trains_opens_denoises_and_exports(noise2void, tmp_path, pretrained):
    torch.save(create("dncnn", depth=3, width=4).state_dict(), tmp_path / "mine.pth")
    notes = []
    run = begun(noise2void, "masked", str(tmp_path / "mine.pth") if pretrained else "none", crop=[16, 24])
    train(run, device="cpu", listener=Listener(note=notes.append, warn=notes.append))
    rows = run.history()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(np.isnan(row["psnr"]) and np.isfinite(row["validation_loss"]) for row in rows)
    provenance = open_run(run.folder).provenance
    assert provenance.best_epoch == min(rows, key=lambda row: row["validation_loss"])["epoch"]
    assert provenance.intensity_fit.mode == "none"
    assert (provenance.scores, provenance.validation, provenance.beats_noisy()) == ({}, None, None)
    assert any("no clean images to judge by" in note for note in notes)
    assert provenance.trust.sentence in notes
    assert {"panel.png", "curves.png"} <= {path.name for path in run.folder.iterdir()}
    denoised = bmz_fmd.load(run.folder, device="cpu")(tifffile.imread(tmp_path / "noisy" / "f0.tif"))
    assert denoised.shape == (40, 40) and np.isfinite(denoised).all()
    readme = (bmz_fmd.export(run, engines=()).folder / "README.md").read_text()
    assert "Trained for 2 epochs by the method masked, Adam" in readme
    assert "crops of 16 x 24 pixels" in readme
    assert "No scores were recorded" in readme
    assert "No clean image was seen" in readme
    assert "risk of masked on validation patches" in readme


def test_it_goes_on_where_it_was_left(noise2void):
    train(begun(noise2void, "masked"), device="cpu")
    run = resumed_run(Request(name="alone", changes={"epochs": 3}))
    train(run, resume=True, device="cpu")
    assert [row["epoch"] for row in run.history()] == [0, 1, 2, 3]


@pytest.mark.parametrize("clean_every", [0, 1, 2])
def test_clean_images_are_used_where_there_are_any(noise2noise, clean_every):
    """Of the six fields, the test image is the last: it has a clean one only where each has."""
    register_dataset("some", frames_of(2, clean_every=clean_every))
    try:
        run = begun(DataSettings(dataset="some"), "frames")
        train(run, device="cpu")
    finally:
        DATASETS.pop("some")
    assert run.provenance.intensity_fit.mode == ("dataset" if clean_every else "none")
    assert bool(run.provenance.scores) == (clean_every == 1)


def test_what_a_method_needs_and_a_sample_lacks_is_one_line_before_there_is_a_run(noise2noise, tmp_path):
    with pytest.raises(DataError, match="f0: `method` frames learns from 2 noisy images of each field, here is 1"):
        new_run(request("single", method="frames"), tmp_path / "runs")
    tifffile.imwrite(tmp_path / "alone.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")
    alone = Request(
        data=DataSettings(noisy=tmp_path / "alone.tif"), network="dncnn", checkpoint="none", method="supervised"
    )
    with pytest.raises(
        SettingError, match="`noisy` is given without `clean`: supervised learning needs the clean image"
    ):
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
