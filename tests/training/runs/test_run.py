"""The run folder: made once, opened again, never overwritten, and one line where it is broken."""

import math
import unicodedata
from dataclasses import asdict

import numpy as np
import pytest
import tifffile
import torch

from training.calibration.intensity import Intensity
from training.calibration.layer import Constants
from training.checkpoints import Origin
from training.data import open_dataset
from training.data.settings import DataSettings
from training.errors import UserError
from training.inference.statistics import TrainedOn
from training.networks import NETWORKS, create
from training.runs.provenance import (
    DataUsed,
    NetworkUsed,
    Provenance,
    Score,
    Scores,
    ValidationScores,
    now,
)
from training.runs.run import create_run, free_name, newest_run, open_run, write_rows
from training.runs.settings import Recipe, Settings
from training.util.writing import write_text

SMALL = {"depth": 3, "width": 4}


def settings(name="first"):
    return Settings(
        name=name, network="dncnn", network_settings=SMALL, data=DataSettings(dataset="simulated"), recipe=Recipe()
    )


def provenance(data="simulated"):
    return Provenance(
        network=NetworkUsed(name="dncnn", settings=SMALL),
        calibration=asdict(Constants(transform="anscombe", gain=2.0, scale=3.0, margin=3)),
        checkpoint=Origin(name="a", sha256="0", licence="MIT License", spdx="MIT", source="https://example.org"),
        trained_on=TrainedOn(dtype="uint16", low=90, high=1000, noise=12),
        intensity_fit=Intensity(mode="dataset", slope=1.5, offset=-3),
        data=DataUsed(name=data, hashes={"a.tif": "0"}, splits={"train": ["a"]}, source={"dtype": "uint16"}),
        recipe=Recipe(),
        seed=0,
        created=now(),
    )


def trained(folder, data="simulated"):
    """A run folder as training leaves it, around random weights."""
    run = create_run(settings(folder.name), folder)
    described = provenance(data)
    run.write_provenance(described)
    from training.calibration.layer import Calibrated

    torch.manual_seed(0)
    model = Calibrated(create("dncnn", **SMALL), Constants(**described.calibration))
    torch.save({"state_dict": model.state_dict()}, run.checkpoint())
    return run, model


def test_a_run_is_opened_as_it_was_made(tmp_path):
    run = create_run(settings(), tmp_path / "runs" / "first")
    assert open_run(run.folder) == run
    assert sorted(path.name for path in run.folder.iterdir()) == ["settings.yaml"]
    assert [path.name for path in run.folder.parent.iterdir()] == ["first"]


def test_a_folder_that_exists_is_never_overwritten(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match=r"exists and is not overwritten.*`resume`"):
        create_run(settings(), tmp_path / "first")
    assert (tmp_path / "first" / "mine.txt").read_text() == "kept"


def test_a_folder_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="cannot be made"):
        create_run(settings(), tmp_path / "runs" / "first")


def test_the_trained_model_comes_back_with_weights_and_constants(tmp_path):
    run, model = trained(tmp_path / "first")
    image = torch.rand(1, 1, 9, 7) * 100
    again = run.model()
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(image), model(image))


def test_the_denoiser_of_a_run_takes_arrays_in_image_units(tmp_path):
    run, model = trained(tmp_path / "first")
    denoiser = run.denoiser(device="cpu")
    image = np.random.default_rng(0).uniform(0, 100, (2, 1, 12, 10)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_array_equal(denoiser.predict(image), model(torch.from_numpy(image)).numpy())
    assert (denoiser.halo, denoiser.stride, denoiser.local) == ((3, 3), (1, 1), True)
    assert denoiser.bytes_per_pixel == NETWORKS["dncnn"].bytes_per_pixel
    assert denoiser.trained_on.high == 1000


def test_the_provenance_survives_its_file(tmp_path):
    run = create_run(settings(), tmp_path / "first")
    described = provenance()
    run.write_provenance(described)
    assert run.provenance == described


def test_a_run_that_never_began_says_how_to_go_on(tmp_path):
    run = create_run(settings(), tmp_path / "first")
    with pytest.raises(UserError, match="`resume` `name` first"):
        _ = run.provenance


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken"])
def test_a_broken_checkpoint_is_one_line(tmp_path, content):
    run, _ = trained(tmp_path / "first")
    run.checkpoint().write_bytes(content)
    with pytest.raises(UserError, match=r"best\.ckpt.*damaged"):
        run.model()


def test_a_checkpoint_of_something_else_is_one_line(tmp_path):
    run, _ = trained(tmp_path / "first")
    torch.save({"state_dict": {"a": torch.ones(1)}}, run.checkpoint())
    with pytest.raises(UserError, match="not those of dncnn"):
        run.model()
    torch.save([1, 2], run.checkpoint())
    with pytest.raises(UserError, match="not a checkpoint"):
        run.model()
    run.checkpoint().unlink()
    with pytest.raises(UserError, match="missing"):
        run.model()


def test_a_broken_provenance_is_one_line(tmp_path):
    run, _ = trained(tmp_path / "first")
    write_text(run.folder / "provenance.json", '{"seed": ')
    with pytest.raises(UserError, match="damaged"):
        _ = run.provenance


def test_what_is_no_run_is_said_and_what_runs_there_are(tmp_path):
    create_run(settings(), tmp_path / "first")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"no such run; there are first"):
        open_run(tmp_path / "second")
    with pytest.raises(UserError, match="not a run folder"):
        open_run(tmp_path / "other")


def test_the_newest_run_of_a_data_set_is_found_by_what_it_was_trained_on(tmp_path):
    trained(tmp_path / "zzz", "Nucleus")
    newest, _ = trained(tmp_path / "aaa", "nucleus")
    trained(tmp_path / "other", "membrane")
    create_run(settings("empty"), tmp_path / "empty")
    assert newest_run("nucleus", tmp_path) == newest
    with pytest.raises(UserError, match="runs on Nucleus, membrane, nucleus"):
        newest_run("actin", tmp_path)
    with pytest.raises(UserError, match="no trained run"):
        newest_run("actin", tmp_path / "nowhere")


def test_a_free_name_is_data_set_network_and_date_and_counts_on(tmp_path):
    first = free_name("my cells!", "dncnn", tmp_path)
    assert first.startswith("my-cells-dncnn-20")
    create_run(settings(first), tmp_path / first)
    assert free_name("my cells!", "dncnn", tmp_path) == f"{first}-2"


def test_the_history_is_numbers_with_nan_for_an_empty_cell(tmp_path):
    run = create_run(settings(), tmp_path / "first")
    assert run.history() == []
    write_rows(
        run.folder / "losses.csv", [{"epoch": 0, "loss": math.nan}, {"epoch": 1, "loss": 0.5}], ["epoch", "loss"]
    )
    rows = run.history()
    assert math.isnan(rows[0]["loss"])
    assert rows[1] == {"epoch": 1, "loss": 0.5}


class TestTheImagesOfARun:
    @pytest.fixture
    def run(self, tmp_path):
        """A run on images of its user, with what it wrote down of them."""
        rng = np.random.default_rng(0)
        for side in ("noisy", "clean"):
            (tmp_path / side).mkdir()
            for number in range(5):
                image = rng.integers(0, 200, (16, 16)).astype(np.uint8)
                tifffile.imwrite(tmp_path / side / f"fov_{number}.tif", image)
        chosen = settings().model_copy(
            update={"data": DataSettings(noisy=tmp_path / "noisy", clean=tmp_path / "clean")}
        )
        run = create_run(chosen, tmp_path / "first")
        used = DataUsed.of(open_dataset(chosen.data, test_fraction=0.1, seed=0))
        run.write_provenance(provenance().model_copy(update={"data": used}))
        return run

    def test_come_back_split_as_then(self, run):
        assert [pair.name for pair in run.dataset().test] == run.provenance.data.splits["test"] == ["fov_4"]

    def test_are_refused_where_new_ones_would_test_what_was_trained_on(self, run, tmp_path):
        for side in ("noisy", "clean"):
            tifffile.imwrite(tmp_path / side / "fov_9.tif", np.eye(16, dtype=np.uint8))
        with pytest.raises(UserError, match=r"first: the images changed .*\(clean/fov_9\.tif and 1 more\).*`noisy`"):
            run.dataset()

    def test_are_refused_where_one_was_rewritten_or_taken_away(self, run, tmp_path):
        tifffile.imwrite(tmp_path / "clean" / "fov_2.tif", np.eye(16, dtype=np.uint8))
        with pytest.raises(UserError, match=r"\(clean/fov_2\.tif\); put them back"):
            run.dataset()
        (tmp_path / "clean" / "fov_2.tif").unlink()
        with pytest.raises(UserError, match=r"\(clean/fov_2\.tif and 1 more\)"):
            run.dataset()

    def test_are_the_same_however_version_0_1_stored_their_accents(self, run, tmp_path):
        for side in ("noisy", "clean"):
            for number in range(5):
                accented = unicodedata.normalize("NFD", f"é {number}.tif")
                (tmp_path / side / f"fov_{number}.tif").rename(tmp_path / side / accented)
        later = DataUsed.of(open_dataset(run.settings.data, test_fraction=0.1, seed=0))
        used = later.model_copy(
            update={
                "hashes": {unicodedata.normalize("NFD", path): digest for path, digest in later.hashes.items()},
                "splits": {part: [f"e_{name[-1]}" for name in held] for part, held in later.splits.items()},
            }
        )
        run.write_provenance(run.provenance.model_copy(update={"data": used}))
        assert run.dataset().test[0].name == "é_4"
        (tmp_path / "noisy" / accented).write_bytes((tmp_path / "clean" / accented).read_bytes())
        with pytest.raises(UserError, match=r"\(noisy/é 4\.tif\)"):
            run.dataset()

    def test_are_refused_where_the_same_files_are_split_otherwise(self, run):
        data = run.provenance.data
        other = data.model_copy(update={"splits": data.splits | {"test": ["fov_1"]}})
        run.write_provenance(run.provenance.model_copy(update={"data": other}))
        with pytest.raises(UserError, match=r"\(the test images\)"):
            run.dataset()


def test_figures_that_do_not_exist_are_read_again(tmp_path):
    run = create_run(settings(), tmp_path / "first")
    none = Score(psnr=math.nan, psnr_std=math.nan, ssim=math.nan, ssim_std=math.nan)
    scores = Scores(convention="affine", data_range=255, images=1, noisy=none, start=none, denoised=none)
    chosen = ValidationScores(noisy=math.nan, denoised=math.nan)
    run.write_provenance(provenance().model_copy(update={"scores": {"affine": scores}, "validation": chosen}))
    assert math.isnan(run.provenance.scores["affine"].noisy.psnr)
    assert math.isnan(run.provenance.validation.denoised)
    assert run.provenance.beats_noisy() is None
