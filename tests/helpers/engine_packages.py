"""Tiny packages for the engines' tests: a three-layer network in all three weights formats."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import yaml

ARCHITECTURE = '''
import torch
from torch import nn
from torch.nn import functional as F


class Tiny(nn.Module):
    """Two convolutions about a mirrored image; any size."""

    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3)
        self.last = nn.Conv2d(width, 1, 3)

    def forward(self, image):
        hidden = torch.relu(self.first(F.pad(image, (2, 2, 2, 2), mode="reflect")))
        return image + self.last(hidden)
'''


def network(width=4):
    """Return the network with the weights that every tiny package holds."""
    import torch

    scope = {}
    exec(compile(ARCHITECTURE, "net.py", "exec"), scope)
    torch.manual_seed(0)
    return scope["Tiny"](width).eval()


def images(*shapes, seed=0):
    """Return one random image a shape."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(100, 20, shape).astype(np.float32) for shape in shapes)


def expected(image):
    """Return what the network makes of an image here."""
    import torch

    with torch.no_grad():
        return network()(torch.from_numpy(image)).numpy()


def save_torchscript(module, path, example=None):
    """Trace a module on the CPU and save it."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.rand(2, 1, 40, 48) if example is None else example).save(str(path))
    return path


def save_onnx(module, path):
    """Export a module with dynamic batch, height and width."""
    import torch

    axes = {0: "b", 2: "y", 3: "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.rand(2, 1, 40, 48),), str(path), input_names=["raw"], output_names=["denoised"],
            dynamic_axes={"raw": axes, "denoised": axes}, opset_version=17, dynamo=False,
        )  # fmt: skip
    return path


def build(folder: Path) -> Path:
    """Write a package of the tiny network and return its folder."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(ARCHITECTURE)
    module = network()
    torch.save(module.state_dict(), folder / "weights.pth")
    save_torchscript(module, folder / "weights.pt")
    save_onnx(module, folder / "weights.onnx")
    (image,) = images((1, 1, 64, 64))
    np.save(folder / "test_input.npy", image)
    np.save(folder / "test_output.npy", expected(image))
    (folder / "README.md").write_text("# Tiny\n")
    (folder / "rdf.yaml").write_text(yaml.safe_dump(_description(folder), sort_keys=False))
    return folder


def _file(folder, name, **more):
    return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(), **more}


def _description(folder):
    def axes(names, size):
        return [
            {"type": "batch"},
            {"type": "channel", "channel_names": names},
            {"type": "space", "id": "y", **size("y")},
            {"type": "space", "id": "x", **size("x")},
        ]

    state = _file(
        folder, "weights.pth", pytorch_version="2.5.1",
        architecture=_file(folder, "net.py", callable="Tiny", kwargs={"width": 4}),
    )  # fmt: skip
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Tiny network",
        "description": "A tiny network.",
        "authors": [{"name": "Somebody"}],
        "cite": [{"text": "Nothing", "url": "https://example.org"}],
        "license": "MIT",
        "documentation": "README.md",
        "tags": ["denoising"],
        "inputs": [
            {
                "id": "raw",
                "axes": axes(["raw"], lambda axis: {"size": {"min": 16, "step": 1}}),
                "data": {"type": "float32"},
                "test_tensor": _file(folder, "test_input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "denoised",
                "axes": axes(
                    ["denoised"], lambda axis: {"size": {"tensor_id": "raw", "axis_id": axis, "offset": 0}, "halo": 2}
                ),
                "data": {"type": "float32"},
                "test_tensor": _file(folder, "test_output.npy"),
            }
        ],
        "weights": {
            "pytorch_state_dict": state,
            "torchscript": _file(folder, "weights.pt", pytorch_version="2.5.1", parent="pytorch_state_dict"),
            "onnx": _file(folder, "weights.onnx", opset_version=17, parent="pytorch_state_dict"),
        },
    }
