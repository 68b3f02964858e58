"""Packages as other projects write them: their formats, axes, operations and habits, around tiny networks."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
import yaml

from planted.sound import example

SOURCE = '''import torch


class TinyUNet(torch.nn.Module):
    """Two levels, as the U-Nets of the zoo have more of."""

    def __init__(self, outputs=1, width=4):
        super().__init__()
        self.first = torch.nn.Conv2d(1, width, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(width)
        self.deep = torch.nn.Conv2d(width, width, 3, padding=1)
        self.up = torch.nn.ConvTranspose2d(width, width, 2, stride=2)
        self.last = torch.nn.Conv2d(2 * width, outputs, 1)

    def forward(self, image):
        skip = torch.relu(self.norm(self.first(image)))
        deep = torch.relu(self.deep(torch.nn.functional.max_pool2d(skip, 2)))
        return self.last(torch.cat([skip, self.up(deep)], 1))
'''
STRANGERS = {}
"""Every maker by name."""


@dataclass(frozen=True)
class Stranger:
    """A package of another project: ``make(folder)`` writes it.

    ``trust`` says whether mending needs its own Python, ``mended`` whether it can be mended at all.
    """

    name: str
    what: str
    make: Callable
    trust: bool = False
    mended: bool = True


def stranger(**options):
    def note(make):
        name = make.__name__.replace("_", "-")
        STRANGERS[name] = Stranger(name, " ".join(make.__doc__.split()), make, **options)
        return make

    return note


def network(outputs=1, seed=0):
    """The network with random weights, and statistics as training leaves them."""
    torch.manual_seed(seed)
    namespace = {"__name__": "stranger"}
    exec(SOURCE, namespace)
    model = namespace["TinyUNet"](outputs).eval().requires_grad_(False)
    model.norm.running_mean.uniform_(-0.2, 0.2)
    model.norm.running_var.uniform_(0.5, 1.5)
    return model


class _Transposed(torch.nn.Module):
    """The network for images (batch, y, x, channel), as TensorFlow has them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _Filled(torch.nn.Module):
    """A network that makes a tensor on the way, on the device that the trace writes down."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model(image) + torch.zeros(image.shape[-1])


def _script(folder, model, shape=(1, 1, 64, 64), name="weights.pt"):
    torch.jit.trace(model, torch.rand(shape), check_trace=False).save(folder / name)


def _onnx(folder, model, opset, shape=(1, 1, 64, 64), **words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.rand(shape),), str(folder / "weights.onnx"), dynamo=False, opset_version=opset, **words
        )


def _state_dict(folder, model, name="weights.pt"):
    torch.save(model.state_dict(), folder / name)
    (folder / "model.py").write_text(SOURCE)


def _finish(folder, raw, image, result):
    """Write test tensors, README, cover, sample and the description, with the hashes of all."""
    np.save(folder / "test_input.npy", np.asarray(image, np.float32))
    np.save(folder / "test_output.npy", np.asarray(result, np.float32))
    tifffile.imwrite(folder / "sample.tif", example(), imagej=True)
    (folder / "README.md").write_text("# Model\n\nBy its author.\n")
    whole = {
        "type": "model", "name": "Tiny U-Net", "description": "A network of another project",
        "authors": [{"name": "Grace Hopper", "affiliation": "Elsewhere"}],
        "cite": [{"text": "A paper", "doi": "10.1234/abcd"}], "tags": ["unet"], "documentation": "README.md",
        "license": "MIT", **raw,
    }  # fmt: skip
    for entry in whole["weights"].values():
        entry["sha256"] = hashlib.sha256((folder / entry["source"]).read_bytes()).hexdigest()
    (folder / "rdf.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))


def _new(version, inputs, outputs, weights, **more):
    """A description of format 0.5 with axes batch, channel, y, x; ``inputs`` and ``outputs`` go over each tensor."""

    def tensor(name, test, words):
        space = [{"type": "space", "id": axis, "size": words.pop("size", size)} for axis, size in
                 (("y", {"min": 64, "step": 16}), ("x", {"min": 64, "step": 16}))]  # fmt: skip
        return {"id": name, "axes": [{"type": "batch"}, {"type": "channel", "channel_names": [name]}, *space],
                "data": {"type": "float32"}, "test_tensor": {"source": test}, **words}  # fmt: skip

    given, made = tensor("input", "test_input.npy", dict(inputs)), tensor("output", "test_output.npy", dict(outputs))
    for axis in made["axes"][2:]:
        axis["size"] = {"tensor_id": "input", "axis_id": axis["id"]}
    return {"format_version": version, "inputs": [given], "outputs": [made], "weights": weights, **more}


def _old(inputs, outputs, weights, **more):
    """A description of format 0.4."""
    tests = {"test_inputs": ["test_input.npy"], "test_outputs": ["test_output.npy"]}
    given = {"name": "input", "data_type": "float32", "data_range": ["-inf", "inf"], **inputs}
    made = {"name": "output", "data_type": "float32", "data_range": ["-inf", "inf"], **outputs}
    sample = {"attachments": {"files": ["sample.tif"]}, "timestamp": "2022-05-01T10:00:00"}
    return {"format_version": "0.4.10", "inputs": [given], "outputs": [made], "weights": weights, **tests, **sample,
            **more}  # fmt: skip


def _image(height=96, width=112):
    return example((height, width)).astype(np.float32)[None, None]


def _run(model, image):
    return model(torch.from_numpy(np.asarray(image, np.float32))).numpy()


@stranger(trust=True)
def careamics(folder):
    """CAREamics: format 0.5.3, a state dict with its architecture alone, mean and deviation of the data as lists"""
    model, image = network(), _image()
    _state_dict(folder, model, "weights.pth")
    pre = [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [120.0], "std": [50.0], "axis": "channel"}}]
    post = [{"id": "scale_linear", "kwargs": {"gain": [50.0], "offset": [120.0], "axis": "channel"}}]
    weights = {"pytorch_state_dict": {
        "source": "weights.pth", "pytorch_version": "2.4.1",
        "architecture": {"source": "model.py", "callable": "TinyUNet", "kwargs": {"outputs": 1}},
    }}  # fmt: skip
    result = _run(model, (image - 120) / (50 + 1e-6)) * 50 + 120
    _finish(folder, _new("0.5.3", {"preprocessing": pre}, {"postprocessing": post}, weights), image, result)


@stranger()
def biapy(folder):
    """BiaPy: format 0.5.4, TorchScript of one size, scale_range over the image, a sigmoid after it"""
    model, image = network(), _image(128, 128)
    _script(folder, model, (1, 1, 128, 128))
    pre = [{"id": "scale_range", "kwargs": {"min_percentile": 0.1, "max_percentile": 99.9,
                                            "axes": ["channel", "y", "x"]}}]  # fmt: skip
    low, high = np.percentile(image, (0.1, 99.9))
    result = 1 / (1 + np.exp(-_run(model, (image - low) / (high - low + 1e-6))))
    raw = _new("0.5.4", {"preprocessing": pre}, {"postprocessing": [{"id": "sigmoid"}]},
               {"torchscript": {"source": "weights.pt", "pytorch_version": "2.4.0"}})  # fmt: skip
    for axis in raw["inputs"][0]["axes"][2:]:
        axis["size"] = 128
    _finish(folder, raw, image, result)


@stranger()
def torch_em(folder):
    """torch-em: format 0.4, zero_mean_unit_variance of each image, two channels out, a halo, a state dict beside it"""
    model, image = network(outputs=2), _image()
    _script(folder, model, name="weights-torchscript.pt")
    _state_dict(folder, model)
    digest = hashlib.sha256((folder / "model.py").read_bytes()).hexdigest()
    pre = [{"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx", "eps": 1e-6}}]
    raw = _old(
        {"axes": "bcyx", "shape": {"min": [1, 1, 64, 64], "step": [0, 0, 16, 16]}, "preprocessing": pre},
        {"axes": "bcyx", "halo": [0, 0, 16, 16], "shape": {
            "reference_tensor": "input", "scale": [1, 0, 1, 1], "offset": [0, 1, 0, 0]}},
        {"pytorch_state_dict": {"source": "weights.pt", "architecture": "model.py:TinyUNet", "kwargs": {"outputs": 2},
                                "architecture_sha256": digest, "pytorch_version": "1.12"},
         "torchscript": {"source": "weights-torchscript.pt", "parent": "pytorch_state_dict"}},
    )  # fmt: skip
    _finish(folder, raw, image, _run(model, (image - image.mean()) / (image.std() + 1e-6)))


@stranger()
def stardist(folder):
    """StarDist-like: format 0.4, axes batch, y, x, channel, percentiles 1 and 99.8, Keras weights beside TorchScript"""
    model, image = _Transposed(network()), _image().transpose(0, 2, 3, 1)
    _script(folder, model, (1, 64, 64, 1))
    (folder / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    pre = [{"name": "scale_range", "kwargs": {"mode": "per_sample", "axes": "yxc", "min_percentile": 1.0,
                                              "max_percentile": 99.8}}]  # fmt: skip
    raw = _old(
        {"axes": "byxc", "shape": {"min": [1, 16, 16, 1], "step": [0, 16, 16, 0]}, "preprocessing": pre},
        {"axes": "byxc", "shape": {"reference_tensor": "input", "scale": [1, 1, 1, 1], "offset": [0, 0, 0, 0]}},
        {"torchscript": {"source": "weights.pt"},
         "keras_hdf5": {"source": "weights.h5", "tensorflow_version": "1.15"}},
    )  # fmt: skip
    low, high = np.percentile(image, (1, 99.8))
    _finish(folder, raw, image, _run(model, (image - low) / (high - low + 1e-6)))


@stranger()
def older_zoo(folder):
    """An older zoo model: format 0.4, one fixed size, fixed mean and deviation, ONNX of opset 12, a config"""
    model, image = network(), _image(128, 128)
    _script(folder, model, (1, 1, 128, 128))
    _onnx(folder, model, 12, (1, 1, 128, 128))
    pre = [{"name": "zero_mean_unit_variance", "kwargs": {"mode": "fixed", "axes": "yx", "mean": [130.0],
                                                          "std": [45.0]}}]  # fmt: skip
    raw = _old(
        {"axes": "bcyx", "shape": [1, 1, 128, 128], "preprocessing": pre},
        {"axes": "bcyx", "shape": [1, 1, 128, 128]},
        {"torchscript": {"source": "weights.pt"}, "onnx": {"source": "weights.onnx", "opset_version": 12}},
        license="MIT License", config={"deepimagej": {"prediction": {}}},
    )  # fmt: skip
    _finish(folder, raw, image, _run(model, (image - 130) / (45 + 1e-6)))


@stranger()
def newest_format(folder):
    """A model of the newest format: objects for strings, scale_linear and clip, a tensor made on a device in forward"""
    model, image = _Filled(network()), _image()
    _script(folder, model)
    pre = [{"id": "scale_linear", "kwargs": {"gain": 0.01, "offset": -1.0}},
           {"id": "clip", "kwargs": {"min": 0.0, "max": 1.5}}]  # fmt: skip
    weights = {"torchscript": {"source": "weights.pt", "pytorch_version": "2.6"}}
    raw = _new("0.5.11", {"preprocessing": pre}, {}, weights,
               documentation={"source": "README.md"})  # fmt: skip
    _finish(folder, raw, image, _run(model, np.clip(image * np.float32(0.01) - 1, 0, 1.5)))


@stranger()
def denoiser_by_statistics(folder):
    """A denoiser that gives the image its mean and deviation back: zero_mean_unit_variance, scale_mean_variance"""
    model, image = network(), _image()
    _script(folder, model)
    pre = [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}]
    post = [{"id": "scale_mean_variance", "kwargs": {"reference_tensor": "input", "axes": ["channel", "y", "x"]}}]
    raw = _new("0.5.4", {"preprocessing": pre}, {"postprocessing": post},
               {"torchscript": {"source": "weights.pt", "pytorch_version": "2.4.0"}})  # fmt: skip
    result = _run(model, (image - image.mean()) / (image.std() + 1e-6))
    result = (result - result.mean()) / (result.std() + 1e-6) * (image.std() + 1e-6) + image.mean()
    _finish(folder, raw, image, result)


@stranger(mended=False)
def onnx_alone(folder):
    """A model that is ONNX alone, of opset 19: Fiji and QuPath need TorchScript, which cannot be made of it"""
    model, image = network(), _image()
    axes = {0: "batch", 2: "height", 3: "width"}
    _onnx(folder, model, 19, input_names=["input"], output_names=["output"],
          dynamic_axes={"input": axes, "output": axes})  # fmt: skip
    _finish(folder, _new("0.5.4", {}, {}, {"onnx": {"source": "weights.onnx", "opset_version": 19}}), image,
            _run(model, image))  # fmt: skip


def make(stranger, folder):
    """Write a stranger's package into a folder and return it."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stranger.make(folder)
    return folder
