"""Packages opened as denoisers: ours, and those of strangers in the forms that the zoo holds."""

import shutil
import warnings

import numpy as np
import onnx
import pytest
import torch
import yaml
from helpers.building import built_package
from helpers.hostile_archives import writing_archive
from helpers.small_run import small_run

from bmz_export.exporting import export
from bmz_export.opening import _any_size, open_denoiser
from bmz_export.package.reading import read_description
from training.errors import UserError
from training.inference.denoiser import TilesChangeTheResult
from training.runs.run import open_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    run = open_run(small_run(folder / "one"))
    return run, export(run, out=folder / "packages")


@pytest.mark.parametrize("where", ["folder", "archive"])
def test_our_package_gives_what_the_run_gives(exported, where):
    run, package = exported
    ours, theirs = open_denoiser(getattr(package, where), device="cpu"), run.denoiser(device="cpu")
    image = np.random.default_rng(0).uniform(50, 300, (2, 1, 37, 51)).astype(np.float32)
    np.testing.assert_allclose(ours.predict(image), theirs.predict(image), rtol=1e-5, atol=1e-3)
    assert ours.predict(image[..., :1, :1]).shape == (2, 1, 1, 1)
    assert (ours.stride, ours.local, ours.trained_on) == (theirs.stride, theirs.local, theirs.trained_on)
    assert ours.halo >= theirs.halo


@pytest.mark.parametrize("strange", ["description", "network"])
def test_what_a_strangers_provenance_says_is_not_believed(exported, tmp_path, strange):
    folder = shutil.copytree(exported[1].folder, tmp_path / "copy")
    assert open_denoiser(folder, device="cpu").trained_on is not None
    if strange == "description":
        (folder / "rdf.yaml").write_text((folder / "rdf.yaml").read_text().partition("\n")[2])
    else:
        edit(folder, lambda raw: raw["weights"]["pytorch_state_dict"]["architecture"]["kwargs"].update(network={}))
    assert open_denoiser(folder, device="cpu").trained_on is None


def test_it_falls_back_on_onnx(exported, tmp_path):
    run, package = exported
    folder = shutil.copytree(package.folder, tmp_path / "onnx-alone")
    edit(folder, lambda description: [description["weights"].pop(key) for key in ("torchscript", "pytorch_state_dict")])
    image = np.random.default_rng(0).uniform(50, 300, (2, 1, 37, 51)).astype(np.float32)
    expected = run.denoiser(device="cpu").predict(image)
    np.testing.assert_allclose(open_denoiser(folder).predict(image), expected, rtol=1e-4, atol=1e-2)


def test_a_state_dict_alone_runs_only_when_trusted(exported, tmp_path):
    run, package = exported
    folder = shutil.copytree(package.folder, tmp_path / "state-dict-alone")
    edit(folder, lambda description: [description["weights"].pop(key) for key in ("torchscript", "onnx")])
    with pytest.raises(UserError, match="state dict alone"):
        open_denoiser(folder)
    image = np.random.default_rng(0).uniform(50, 300, (1, 1, 70, 90)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library leaves files open
        found = open_denoiser(folder, trust=True, device="cpu").predict(image)
    np.testing.assert_allclose(found, run.denoiser(device="cpu").predict(image), rtol=1e-5, atol=1e-3)


def edit(folder, change):
    text = (folder / "rdf.yaml").read_text()
    description = yaml.safe_load(text)
    change(description)
    first = text.partition("\n")[0]
    (folder / "rdf.yaml").write_text(f"{first if first.startswith('#') else ''}\n{yaml.safe_dump(description)}")


class Doubles(torch.nn.Module):
    """What a stranger's network may look like: it wants one order of axes and, if told so, one size."""

    def __init__(self, size=None):
        super().__init__()
        self.size = size

    def forward(self, image):
        if self.size is not None:
            image = image.reshape(1, 1, self.size, self.size)
        return image * 2


class Wrong(torch.nn.Module):
    """What a stranger's network may do that its description does not say."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def forward(self, image):
        if self.does == "tuple":
            return image, image
        if self.does == "wants bytes":
            return torch.nn.functional.embedding(image, torch.ones(256, 1))
        return image[..., :-2, :-2] if self.does == "crops" else image.reshape(1, 1, 64, 64)


def stranger(folder, takes, gives=None, size=None, network=None, **more):
    """A format 0.5 package of TorchScript alone, with these axes."""
    folder.mkdir()
    example = torch.rand([1 if axis["type"] != "space" else size or 16 for axis in takes])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = network or torch.jit.trace(Doubles(size), example)
        module.save(str(folder / "w.pt"))
    description = {
        "format_version": "0.5.3",
        "type": "model",
        "name": "stranger",
        "inputs": [{"id": "in", "axes": takes, "data": {"type": "float32"}} | more],
        "outputs": [{"id": "out", "axes": gives or takes, "data": {"type": "float32"}}],
        "weights": {"torchscript": {"source": "w.pt", "pytorch_version": "2.0"}},
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(description))
    return folder


def axes(order, size=None, channels=1):
    size = size or {"min": 32, "step": 16}
    kinds = {
        "b": {"type": "batch"},
        "c": {"type": "channel", "channel_names": [f"c{number}" for number in range(channels)]},
        "z": {"type": "space", "id": "z", "size": size},
        "y": {"type": "space", "id": "y", "size": size},
        "x": {"type": "space", "id": "x", "size": size},
    }
    return [kinds[letter] for letter in order]


@pytest.mark.parametrize("order", ["bcyx", "byxc", "byx", "cyx", "yx", "xy"])
def test_a_stranger_may_order_its_axes_as_it_likes(tmp_path, order):
    denoiser = open_denoiser(stranger(tmp_path / "a", axes(order)), device="cpu")
    image = np.random.default_rng(0).random((3, 1, 21, 47)).astype(np.float32)
    np.testing.assert_array_equal(denoiser.predict(image), image * 2)


@pytest.mark.parametrize("shape", [(1, 1, 9, 11), (1, 1, 64, 64), (1, 1, 150, 201)])
def test_a_stranger_may_take_one_size_alone(tmp_path, shape):
    denoiser = open_denoiser(stranger(tmp_path / "a", axes("bcyx", 64), size=64), device="cpu")
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    np.testing.assert_array_equal(denoiser.predict(image), image * 2)


def test_operations_that_a_stranger_declares_are_run(tmp_path):
    built = built_package(tmp_path / "a")
    folder = built.folder

    def scale(description):
        description["inputs"][0]["preprocessing"] = [{"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 1.0}}]

    image = np.random.default_rng(0).uniform(50, 300, (2, 1, 70, 81)).astype(np.float32)
    expected = open_denoiser(folder, device="cpu").predict(image * 2 + 1)
    edit(folder, scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = open_denoiser(folder, device="cpu").predict(image)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("tuple", "fails on an image of 1 x 1 x 48 x 48"),
        ("wants bytes", "fails on an image of 1 x 1 x 48 x 48"),
        ("one size", "fails on an image of 1 x 1 x 48 x 48"),
        ("crops", "makes 1 x 1 x 46 x 46 of 1 x 1 x 48 x 48"),
    ],
)
def test_a_stranger_that_does_what_it_does_not_say_is_one_line_with_a_way_out(tmp_path, does, message):
    example = torch.zeros(1, 1, 64, 64, dtype=torch.long if does == "wants bytes" else torch.float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.trace(Wrong(does), example)
    denoiser = open_denoiser(stranger(tmp_path / "a", axes("bcyx"), network=network), device="cpu")
    with pytest.raises(UserError, match=message) as refused:
        denoiser.predict(np.zeros((1, 1, 40, 40), np.float32))
    assert f"bmz-fmd check {tmp_path / 'a'}" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("operation", "local"),
    [
        ({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}, False),
        ({"id": "scale_range", "kwargs": {"axes": ["y", "x"]}}, False),
        ({"id": "scale_linear", "kwargs": {"gain": 2.0}}, True),
    ],
)
def test_tiles_of_a_stranger_that_measures_each_image_change_the_result(tmp_path, operation, local):
    folder = built_package(tmp_path / "a").folder
    (folder / "provenance.json").unlink(missing_ok=True)
    edit(folder, lambda description: description["inputs"][0].update(preprocessing=[operation]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library leaves files open
        assert open_denoiser(folder, device="cpu").local == local


def test_the_one_size_of_a_stranger_that_measures_each_image_is_told(tmp_path):
    operation = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}
    folder = stranger(tmp_path / "a", axes("bcyx", 64), size=64, preprocessing=[operation])
    takes = read_description(folder / "rdf.yaml").inputs[0]
    image = np.zeros((1, 1, 150, 201), np.float32)
    with pytest.warns(TilesChangeTheResult, match="64 x 64 pixels alone"):
        _any_size(lambda tiles: tiles, takes, halo=(0, 0), stride=(1, 1), local=False)(image)


@pytest.mark.parametrize(
    ("takes", "gives", "message"),
    [
        (axes("bczyx"), None, "only planes"),
        (axes("bcyx", channels=3), None, "3 channels"),
        (axes("bcyx"), axes("bcyx", channels=2), "2 channels"),
    ],
)
def test_what_is_no_denoiser_of_planes_is_refused(tmp_path, takes, gives, message):
    with pytest.raises(UserError, match=message):
        open_denoiser(stranger(tmp_path / "a", takes, gives))


def test_damaged_weights_are_one_line(exported, tmp_path):
    _, package = exported
    folder = shutil.copytree(package.folder, tmp_path / "damaged")
    (folder / "weights.pt").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"weights\.pt is not loaded: .* cannot be read") as refused:
        open_denoiser(folder)
    assert "\n" not in str(refused.value)


def test_onnx_weights_outside_the_file_are_not_read(tmp_path):
    built = built_package(tmp_path / "a")
    model = onnx.load(built.folder / "weights.onnx")
    onnx.save_model(
        model, built.folder / "weights.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0
    )
    edit(built.folder, lambda description: description["weights"].pop("torchscript"))
    with pytest.raises(UserError, match="names other files as weights"):
        open_denoiser(built.folder)


SCALED = {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 1.0}}


@pytest.mark.parametrize("operations", [[], [SCALED]], ids=["alone", "with operations"])
@pytest.mark.parametrize("trust", [False, True])
def test_torchscript_that_writes_files_is_not_loaded_trusted_or_not(tmp_path, operations, trust):
    folder = built_package(tmp_path / "a").folder
    writing_archive(folder / "weights.pt", tmp_path / "canary")
    edit(folder, lambda description: description["inputs"][0].update(preprocessing=operations))
    with pytest.raises(UserError, match=r"weights\.pt is not loaded: the TorchScript reaches files") as refused:
        open_denoiser(folder, device="cpu", trust=trust)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("source", ["https://example.org/weights.pt", "../weights.pt", "/etc/hostname"])
def test_weights_that_lie_elsewhere_are_not_fetched_where_operations_are_declared(tmp_path, source):
    folder = built_package(tmp_path / "a").folder
    shutil.copy(folder / "weights.pt", tmp_path)

    def change(description):
        description["inputs"][0]["preprocessing"] = [SCALED]
        description["weights"]["torchscript"]["source"] = source

    edit(folder, change)
    with pytest.raises(UserError, match="is not in the package"):
        open_denoiser(folder, device="cpu")


def test_onnx_weights_outside_the_file_are_not_read_where_operations_are_declared(tmp_path):
    folder = built_package(tmp_path / "a").folder
    model = onnx.load(folder / "weights.onnx")
    onnx.save_model(model, folder / "weights.onnx", save_as_external_data=True, location="more", size_threshold=0)

    def change(description):
        description["inputs"][0]["preprocessing"] = [SCALED]
        description["weights"].pop("torchscript")

    edit(folder, change)
    with pytest.raises(UserError, match="names other files as weights"):
        open_denoiser(folder)


def test_operations_that_are_python_of_the_package_need_trust(tmp_path):
    folder = built_package(tmp_path / "a").folder
    custom = {"id": "custom", "source": "own.py", "callable": "Own", "kwargs": {}}
    edit(folder, lambda description: description["inputs"][0].update(preprocessing=[custom]))
    with pytest.raises(UserError, match=r"its operations are the package's own Python.*trust"):
        open_denoiser(folder)


def test_an_architecture_that_lies_elsewhere_is_not_fetched(tmp_path):
    folder = built_package(tmp_path / "a").folder

    def change(description):
        for name in ("torchscript", "onnx"):
            del description["weights"][name]
        description["weights"]["pytorch_state_dict"]["architecture"]["source"] = "https://example.org/network.py"

    edit(folder, change)
    with pytest.raises(UserError, match="its architecture file is missing"):
        open_denoiser(folder, trust=True)
