"""Learning from noisy images alone: what each method learns, what it refuses, what it is chosen by, and who judges."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import convolve1d, gaussian_filter

import bmz_fmd
from training.calibration.camera import measure_camera
from training.calibration.intensity import Range
from training.data import Sample, open_dataset
from training.data.settings import DataSettings
from training.errors import DataError, SettingError
from training.evaluation.metrics import psnr
from training.fitting.start import Request, new_run, resumed_run
from training.fitting.state import line_of_noise
from training.fitting.trainer import train
from training.methods import METHODS
from training.methods.repeats import excess
from training.networks import create
from training.runs.run import open_run
from training.runs.settings import load_recipe
from training.util.progress import Listener

ALONE = sorted(name for name, method in METHODS.items() if not method.needs.clean and method.needs.training)
SIDE = 64


def scene(number):
    rng = np.random.default_rng([7, number])
    blobs = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    return 60 + 120 * np.clip(blobs / blobs.std(), 0, None)


def frame(clean, seed, *, along=0.0):
    """Poisson noise, or Gaussian noise whose neighbours are correlated along X."""
    rng = np.random.default_rng([3, seed])
    if not along:
        return (4 * rng.poisson(clean / 4)).astype(np.uint16)
    noise = convolve1d(rng.normal(0, 20, clean.shape), [along, 1.0, along], axis=1)
    return np.clip(clean + noise, 0, None).astype(np.uint16)


def save(path, image, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack", **more)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noisy_folder(folder, *, fields=8, frames=1, **noise):
    for number in range(fields):
        for repeat in range(frames):
            ending = f"_rep{repeat}" if frames > 1 else ""
            save(folder / f"f{number}{ending}.tif", frame(scene(number), 100 * number + repeat, **noise))
    return folder


def asked(noisy, method=None, clean=None, name="one", **changes):
    return Request(
        data=DataSettings(noisy=noisy, **({} if clean is None else {"clean": clean})),
        network="dncnn",
        network_settings={"depth": 3, "width": 8},
        checkpoint="none",
        changes={"epochs": 2, "crop": 32, "batch": 2, "lr": 5e-3} | changes,
        method=method,
        name=name,
    )


@pytest.mark.parametrize("method", ALONE)
def test_each_method_learns_to_beat_its_noisy_input(here, method):
    noisy = noisy_folder(here / "noisy", frames=METHODS[method].needs.frames)
    notes = []
    run, _, _ = new_run(asked(noisy, method, epochs=8, augment="rotate"))
    train(run, device="cpu", listener=Listener(note=notes.append, warn=notes.append))
    provenance = open_run(run.folder).provenance
    assert provenance.clean == "none" and provenance.best_epoch > 0
    assert provenance.risk.best < provenance.risk.start
    assert any(f"the risk of {method} on validation patches was" in note for note in notes)
    denoise = bmz_fmd.load(run.folder, device="cpu")
    gains = []
    for number in range(8, 11):  # of no file
        image, clean = frame(scene(number), number), scene(number)
        gains.append(psnr(clean, denoise(image), data_range=600) - psnr(clean, image, data_range=600))
    assert np.mean(gains) > 0.5


@pytest.mark.parametrize(
    "method",
    [pytest.param(each, marks=() if each in ("noise2noise", "noise2void") else pytest.mark.slow) for each in ALONE],
)
def test_each_method_goes_on_bit_for_bit(here, method):
    noisy = noisy_folder(here / "noisy", fields=5, frames=METHODS[method].needs.frames)
    whole, _, _ = new_run(asked(noisy, method, name="whole"))
    train(whole, device="cpu")
    train(new_run(asked(noisy, method, name="cut", epochs=1))[0], device="cpu")
    cut = resumed_run(asked(noisy, method, name="cut"))
    train(cut, resume=True, device="cpu")
    first, second = (torch.load(run.checkpoint("last"), weights_only=True)["state_dict"] for run in (whole, cut))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert [row["validation_loss"] for row in whole.history()] == [row["validation_loss"] for row in cut.history()]


class TestMasks:
    def batch(self, method, camera=None, shape=(2, 1, 24, 26)):
        noisy = torch.arange(float(np.prod(shape))).reshape(shape)  # each pixel another value
        method = METHODS[method]("mae", 0.0, Range(0.0, 1.0), camera)
        return method, method.batch((noisy,), np.random.default_rng(0))

    @pytest.mark.parametrize("shape", [(2, 1, 24, 26), (1, 1, 6, 16, 16), (1, 1, 8, 8)])
    @pytest.mark.parametrize("method", ["noise2void", "n2v2"])
    def test_a_masked_pixel_never_keeps_its_own_value(self, method, shape):
        _, (masked, noisy, counted) = self.batch(method, shape=shape)
        assert 0 < counted.sum() < counted.numel() / 5
        assert (masked != noisy)[counted > 0].all()
        assert (masked == noisy)[counted == 0].all()

    def test_the_loss_counts_at_the_masked_pixels_only(self):
        method, (masked, noisy, counted) = self.batch("noise2void")
        wrong_elsewhere = lambda _: torch.where(counted > 0, noisy, noisy + 1000)  # noqa: E731
        assert float(method.loss(wrong_elsewhere, (masked, noisy, counted))) == 0

    def test_masks_lie_along_the_axis_on_which_noise_is_correlated(self):
        camera = measure_camera([frame(scene(number), number, along=0.4) for number in range(6)])
        assert camera.correlated() == ("X",)
        _, (masked, noisy, counted) = self.batch("noise2void", camera)
        rows, columns = counted[0, 0].nonzero(as_tuple=True)
        changed = (masked != noisy)[0, 0]
        inner = (columns > 0) & (columns < 25)
        rows, columns = rows[inner], columns[inner]
        assert len(rows)
        assert (changed[rows, columns - 1] & changed[rows, columns + 1]).all()


class TestCorrelatedNoise:
    @pytest.mark.parametrize("method", [name for name in ALONE if METHODS[name].needs.independent])
    def test_a_method_that_assumes_independent_pixels_is_refused(self, here, method):
        noisy = noisy_folder(here / "noisy", along=0.4)
        with pytest.raises(DataError, match=rf"`method` {method} assumes noise .* 0\.\d\d along X: choose") as caught:
            new_run(asked(noisy, method))
        assert "\n" not in str(caught.value)
        assert not (here / "runs").exists()

    def test_it_chooses_a_method_that_masks_along_the_axis(self, here):
        run, _, note = new_run(asked(noisy_folder(here / "noisy", along=0.4)))
        assert run.settings.method == "noise2void"
        assert "noise correlated between neighbours" in note


class TestFrames:
    def test_by_name(self, here):
        run, dataset, note = new_run(asked(noisy_folder(here / "noisy", fields=4, frames=3)))
        assert run.settings.method == "noise2noise"
        assert note == "4 fields with 3 frames each, which differ by noise alone: noise2noise; `method` chooses another"
        assert [len(sample.noisy) for sample in dataset.train] == [3] * len(dataset.train)

    def test_by_folder(self, here):
        for number in range(4):
            for repeat in range(2):
                save(here / "noisy" / f"cell {number}" / f"{repeat}.tif", frame(scene(number), 10 * number + repeat))
        run, dataset, _ = new_run(asked(here / "noisy"))
        assert run.settings.method == "noise2noise"
        assert sorted(dataset.hashes())[0] == "noisy/cell 0/0.tif"
        assert len({sample.field for sample in (*dataset.train, *dataset.validation, *dataset.test)}) == 4

    def test_by_the_axis_t(self, here):
        for number in range(4):
            stack = np.stack([frame(scene(number), 10 * number + time) for time in range(3)])
            save(here / "noisy" / f"f{number}.ome.tif", stack, metadata={"axes": "TYX"})
        run, dataset, _ = new_run(asked(here / "noisy"))
        assert run.settings.method == "noise2noise"
        assert len(dataset.train[0].noisy) == 3
        reopened = open_dataset(run.settings.data, test_fraction=0.1, seed=0)
        assert [sample.name for sample in reopened.train] == [sample.name for sample in dataset.train]

    def test_a_series_that_moves_is_told_and_not_taken_for_repeats(self, here):
        for number in range(4):
            stack = np.stack([frame(np.roll(scene(number), 4 * time, 1), 10 * number + time) for time in range(3)])
            save(here / "noisy" / f"f{number}.ome.tif", stack, metadata={"axes": "TYX"})
        run, dataset, note = new_run(asked(here / "noisy"))
        assert run.settings.method != "noise2noise"
        assert "it moves or bleaches" in note
        assert len(dataset.train[0].noisy) == 1
        with pytest.raises(DataError, match=r"takes frames for repeats, but the frames of f. differ by"):
            new_run(asked(here / "noisy", "noise2noise", name="two"))

    def test_one_frame_of_each_field_is_too_few(self, here):
        with pytest.raises(DataError, match="learns from 2 noisy images of each field, here is 1"):
            new_run(asked(noisy_folder(here / "noisy"), "noise2noise"))

    @pytest.mark.parametrize("along", [0.0, 0.4])
    def test_noise_alone_is_no_movement_correlated_or_not(self, along):
        first, second = (frame(scene(0), seed, along=along) for seed in (1, 2))
        neighbours = tuple(measure_camera([first, second]).correlation.values())
        assert excess(first.astype(float) - second, neighbours) < 1
        assert excess(first.astype(float) - np.roll(second, 8, 0), neighbours) > 1


class TestOneImage:
    def test_a_part_trains_and_the_rest_chooses(self, here):
        large = np.concatenate([frame(scene(number), number) for number in range(3)], axis=1)
        save(here / "one.tif", large)
        run, dataset, _ = new_run(asked(here / "one.tif"))
        assert run.settings.method == "noise2void"
        train(run, device="cpu", listener=Listener(warn=lambda _: None))
        assert [sample.shape for sample in (*dataset.train, *dataset.validation)] == [(64, 153), (64, 39)]
        assert bmz_fmd.load(run.folder, device="cpu")(large).shape == large.shape

    def test_a_stack_of_frames_is_one_field(self, here):
        save(here / "one.ome.tif", np.stack([frame(scene(0), time) for time in range(4)]), metadata={"axes": "TYX"})
        run, dataset, _ = new_run(asked(here / "one.ome.tif"))
        assert run.settings.method == "noise2noise"
        assert len(dataset.train[0].noisy) == 4
        assert any("one small image only" in warning for warning in dataset.warnings())


class TestClean:
    def test_some_clean_images_judge_and_nothing_else(self, here):
        noisy = noisy_folder(here / "noisy", fields=9)
        for number in (1, 4, 5):
            save(here / "clean" / f"f{number}.tif", scene(number).astype(np.uint16))
        request = asked(noisy, "noise2void", clean=here / "clean")
        run, dataset, _ = new_run(request)
        assert [sample.name for sample in dataset.validation] == ["f1", "f4"]
        assert [sample.name for sample in dataset.test] == ["f5"]
        assert all(sample.clean is None for sample in dataset.train) and len(dataset.train) == 6
        train(run, device="cpu")
        provenance = run.provenance
        assert (provenance.clean, provenance.risk) == ("judged", None)
        assert np.isfinite([row["psnr"] for row in run.history()]).all()
        assert provenance.scores["affine"].images == 1
        assert resumed_run(request).settings == run.settings

    def test_clean_images_change_nothing_of_what_is_learned(self, here):
        noisy = noisy_folder(here / "noisy", fields=5)
        for number in range(5):
            save(here / "clean" / f"f{number}.tif", scene(number).astype(np.uint16))
        runs = [
            new_run(asked(noisy, "noise2void", clean=clean, name=name))[0]
            for name, clean in (("with", here / "clean"), ("without", None))
        ]
        for run in runs:
            train(run, device="cpu")
        first, second = (torch.load(run.checkpoint("last"), weights_only=True)["state_dict"] for run in runs)
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_with_clean_images_supervised_is_the_default(self, here):
        noisy = noisy_folder(here / "noisy", fields=3)
        for number in range(3):
            save(here / "clean" / f"f{number}.tif", scene(number).astype(np.uint16))
        assert new_run(asked(noisy, clean=here / "clean"))[0].settings.method == "supervised"

    def test_a_model_that_saw_none_is_scored_by_some(self, here):
        run, _, _ = new_run(asked(noisy_folder(here / "noisy", fields=4), "noise2void"))
        train(run, device="cpu")
        for number in range(4):
            save(here / "clean" / f"f{number}.tif", scene(number).astype(np.uint16))
        found = bmz_fmd.evaluate(run, here / "noisy", here / "clean", data_range=600)
        assert len(found.images) == 4


def test_from_weights_noisy_targets_teach_in_more_and_smaller_steps_unless_said_otherwise(here):
    noisy = noisy_folder(here / "noisy", fields=3)
    torch.save(create("dncnn", depth=3, width=8).state_dict(), here / "mine.pth")
    own = load_recipe("dncnn")
    begun = replace(asked(noisy, "noise2void"), checkpoint=str(here / "mine.pth"), changes={"epochs": 7})
    recipe = new_run(begun)[0].settings.recipe
    assert (recipe.epochs, recipe.lr) == (7, pytest.approx(0.3 * own.lr))
    assert resumed_run(begun).settings.recipe == recipe
    named = new_run(replace(begun, recipe="dncnn", name="two"))[0].settings.recipe
    assert named.lr == own.lr


def test_noise_is_counted_by_the_camera_that_was_given():
    sample = Sample.of_arrays("cell", frame(scene(0), 0))
    shown = line_of_noise(None, sample)
    given = measure_camera([frame(scene(number), number) for number in range(6)], offset=0, read_noise=1)
    assert line_of_noise(given, sample) == (given.gain.value, 1)
    assert shown != line_of_noise(given, sample)


def test_an_unknown_method_lists_what_there_is(here):
    with pytest.raises(SettingError, match="choose from gaussian, n2v2, neighbor2neighbor, noise2noise"):
        new_run(asked(noisy_folder(here / "noisy", fields=3), "qqq"))
