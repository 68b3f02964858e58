"""``import bmz_fmd``: functions over what people have, paths as text or ``Path``, NumPy arrays, xarrays."""

import subprocess
import sys

import dask.array
import numpy as np
import pytest
import tifffile
import xarray as xr
from helpers.command_line import bmz_fmd as command
from helpers.small_run import small_run

import bmz_fmd


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, its package, and an image file."""
    folder = tmp_path_factory.mktemp("made")
    run = small_run(folder / "runs" / "small")
    bmz_fmd.export(str(run), out=folder / "packages", engines=())
    tifffile.imwrite(folder / "cells.tif", images(), photometric="minisblack", metadata={"axes": "TYX"})
    return folder


def images(shape=(3, 40, 52)):
    return np.random.default_rng(0).normal(200, 20, shape).astype(np.uint16)


def test_importing_it_imports_nothing_heavy():
    heavy = ("numpy", "torch", "xarray", "pydantic", "typer", "scipy", "skimage", "lightning", "matplotlib", "yaml")
    code = f"import bmz_fmd, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("path", ["runs/small", "packages/small", "packages/small.zip"])
def test_a_run_and_its_package_are_one_function(made, path):
    model = bmz_fmd.load(str(made / path), device="cpu")
    assert model.name == "small"
    assert (model.trained_on.low, model.trained_on.high) == (50, 400)
    assert model.provenance.network.name == "dncnn"
    expected = bmz_fmd.load(made / "runs" / "small", device="cpu")(images())
    np.testing.assert_allclose(model(images()), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(40, 52), (3, 40, 52), (2, 3, 20, 24)])
def test_an_array_gives_an_array_of_its_shape_in_float32(made, shape):
    model = bmz_fmd.load(made / "runs" / "small", device="cpu")
    noisy = images(shape)
    denoised = model(noisy)
    assert type(denoised) is np.ndarray
    assert (denoised.shape, denoised.dtype) == (shape, np.float32)
    first = (0,) * (len(shape) - 2)
    np.testing.assert_allclose(denoised[first], model(noisy[first]), rtol=1e-5)
    assert model(noisy.astype(np.float64)).dtype == np.float32


@pytest.mark.parametrize("dims", [("T", "Y", "X"), ("time", "y", "x"), ("Y", "X", "T")])
def test_an_xarray_keeps_its_axes_and_coordinates(made, dims):
    model = bmz_fmd.load(made / "runs" / "small", device="cpu")
    leading = next(dim for dim in dims if dim not in "YXyx")
    noisy = xr.DataArray(images(), dims=[leading, *(dim for dim in dims if dim != leading)]).transpose(*dims)
    noisy = noisy.assign_coords({leading: [0.0, 2.5, 5.0]})
    denoised = model(noisy)
    assert denoised.dims == dims
    np.testing.assert_array_equal(denoised[leading], noisy[leading])
    np.testing.assert_allclose(denoised.transpose(leading, ...).data, model(images()), rtol=1e-5)
    lazy = model(noisy.copy(data=dask.array.from_array(noisy.data)))
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute().data, denoised.data, rtol=1e-5)


def test_one_channel_is_denoised_and_the_others_pass_through(made):
    noisy = xr.DataArray(images(), dims=("C", "Y", "X"))
    denoised = bmz_fmd.denoise(noisy, made / "runs" / "small", channel=1)
    np.testing.assert_array_equal(denoised[[0, 2]], noisy[[0, 2]])
    assert (denoised[1] != noisy[1]).any()


def test_a_file_gives_an_xarray_with_its_axes(made):
    model = bmz_fmd.load(made / "packages" / "small.zip", device="cpu")
    denoised = bmz_fmd.denoise(str(made / "cells.tif"), model)
    assert denoised.dims == ("T", "Y", "X")
    np.testing.assert_allclose(denoised.data, model(images()), rtol=1e-5)
    np.testing.assert_allclose(bmz_fmd.denoise(images(), model), model(images()))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((20, 20), np.nan), "NaN or infinite"),
        (np.zeros(20), "has 1 axes"),
        (np.zeros((0, 20)), "0 pixels"),
        (np.zeros((20, 20), complex), "complex128"),
        (xr.DataArray(np.zeros((20, 20)), dims=("a", "b")), "name two of them Y and X"),
    ],
)
def test_what_is_no_image_is_refused_in_a_line(made, image, words):
    model = bmz_fmd.load(made / "runs" / "small")
    with pytest.raises(bmz_fmd.UserError, match=words):
        model(image)


def test_evaluation_takes_the_test_images_of_a_run_or_arrays_or_folders(made):
    run = made / "runs" / "small"
    assert bmz_fmd.evaluate(run, data_range=4000).overlap is None
    clean = images().astype(np.float32)
    result = bmz_fmd.evaluate(run, images(), clean, data_range=255, convention="raw")
    assert [image.name for image in result.images] == ["image_0", "image_1", "image_2"]
    assert result.mean.psnr_noisy == 100
    assert bmz_fmd.evaluate(run, [images()[0]], [clean[0]], data_range=255).images[0].name == "image_0"
    for noisy, truth, words in (
        (images(), None, "`clean`"),
        (images(), clean[:2], "3 planes"),
        ("a", clean, "two paths"),
    ):
        with pytest.raises(bmz_fmd.UserError, match=words):
            bmz_fmd.evaluate(run, noisy, truth, data_range=255)


def own_pairs(folder, numbers):
    rng = np.random.default_rng(0)
    for number in numbers:
        clean = rng.uniform(50, 200, (32, 40))
        for part, image in (("noisy", rng.poisson(clean)), ("clean", clean)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / part / f"fov_{number}.tif", image.astype(np.uint8))


def test_training_exporting_and_checking_are_three_calls(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    own_pairs(tmp_path, range(6))
    with pytest.warns(bmz_fmd.errors.TrainingWarning, match="does NOT beat its noisy input"):
        run = bmz_fmd.train(
            "noisy", tmp_path / "clean", name="mine", network="dncnn", network_settings={"depth": 3, "width": 4},
            checkpoint="none", device="cpu", epochs=1, crop=16,
        )  # fmt: skip
    assert run.settings.recipe.epochs == 1
    exported = bmz_fmd.export("mine", authors=["Ada Lovelace"], license="CC-BY-4.0", engines=())
    assert exported.archive.is_file()
    assert bmz_fmd.check(exported.archive, rules_only=True).exit_code == 0
    with pytest.raises(bmz_fmd.UserError, match="Fiji"):
        bmz_fmd.check(exported.archive, programs={"deepimagej": tmp_path})
    with caplog.at_level("INFO", "bmz_fmd"), pytest.warns(bmz_fmd.errors.TrainingWarning):
        again = bmz_fmd.train(name="mine", resume=True, device="cpu", epochs=2)
    assert "first estimate" in caplog.text
    assert again.provenance.epochs == 2

    own_pairs(tmp_path / "new", [0])
    (tmp_path / "noisy" / "fov_5.tif").rename(tmp_path / "noisy" / "renamed.tif")
    (tmp_path / "clean" / "fov_5.tif").rename(tmp_path / "clean" / "renamed.tif")
    for model in ("runs/mine", exported.folder, exported.archive):
        overlap = bmz_fmd.evaluate(model, "noisy", "clean").overlap
        assert (overlap.train, overlap.validation, overlap.test, overlap.unknown)[3] == 1
        assert overlap.images == 6 == overlap.train + overlap.validation + overlap.test + overlap.unknown
        assert overlap.train >= 3
        assert "trained the model" in overlap.sentence()
    tifffile.imwrite("new/noisy/fov_0.tif", np.random.default_rng(9).integers(0, 255, (32, 40), np.uint8))
    ended = command("evaluate", "-m", "runs/mine", "--noisy", "new/noisy", "--clean", "new/clean")
    assert "None of the 1 images is of the files that the model was made with" in ended.out


def test_a_wrong_setting_names_the_parameter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(bmz_fmd.errors.SettingError, match="epoch"):
        bmz_fmd.train(dataset="simulated", network="dncnn", checkpoint="none", epoch=3)
    assert not (tmp_path / "runs").exists()


def test_values_are_taken_as_they_are_and_a_method_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"widths": (4, 4, 4, 4), "blocks": 1}
    asked = {"network": "drunet", "network_settings": small, "checkpoint": "none", "device": "cpu"}
    simulated = {"dataset": "simulated", "options": {"images": 5, "size": 40}}
    with pytest.raises(bmz_fmd.errors.SettingError, match=r"`method` supervise: unknown; did you mean supervised\?"):
        bmz_fmd.train(**simulated, **asked, method="supervise")
    with pytest.warns(bmz_fmd.errors.TrainingWarning):
        bmz_fmd.train(**simulated, **asked, name="one", method="supervised", epochs=1, crop=None, sigma=None)
    with pytest.warns(bmz_fmd.errors.TrainingWarning):
        again = bmz_fmd.train(**simulated, **asked, name="one", resume=True, epochs=2, crop=None)
    assert again.provenance.network.settings["widths"] == [4, 4, 4, 4]
    assert again.settings.recipe.crop is None
