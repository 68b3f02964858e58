"""A sound package whose weights and architecture are spoiled in one way at a time; nothing of them runs."""

import zipfile

import numpy as np
import pytest
from helpers.rules import findings, tools
from helpers.small_package import rehash

HOSTILE = {
    "import os": "import os\nos.system('true')\n",
    "hidden": "getattr(__import__('os'), 'system')('true')\n",
    "through a function": "import subprocess\ndef f():\n    subprocess.run(['true'])\nf()\n",
    "as a default": "def f(x=open('/etc/passwd')):\n    pass\n",
    "in a class body": "class A:\n    x = eval('1')\n",
    "in a decorator": "import os\n@os.unlink\ndef f():\n    pass\n",
    "by subclasses": "().__class__.__base__.__subclasses__()[0]()\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_architecture_that_acts_at_import_is_told(spoiled, name):
    path = spoiled / "architecture.py"
    path.write_text(path.read_text() + "\n" + HOSTILE[name])
    assert "bioimageio.core" in tools(rehash(spoiled), "no-code-at-import")


PLAIN = """
import logging
import math
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")
LOG = logging.getLogger(__name__)
SIZES = tuple(int(math.sqrt(n)) for n in range(4))
KERNEL = torch.ones(3, 3)

@torch.no_grad()
def helper(x):
    return open(x)

if __name__ == "__main__":
    helper("x")
"""


def test_a_plain_architecture_raises_no_alarm(spoiled):
    path = spoiled / "architecture.py"
    path.write_text(path.read_text() + PLAIN)
    assert findings(rehash(spoiled)) == {}


def test_imports_of_other_packages_are_told(spoiled):
    path = spoiled / "architecture.py"
    path.write_text("import einops\nfrom . import blocks\n" + path.read_text())
    assert tools(rehash(spoiled), "torch-and-numpy-only") == {"bioimageio.core", "bioimage.io"}


class Evil:
    def __reduce__(self):
        return print, ("the pickle ran",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_is_told_and_does_not(spoiled, capsys, legacy):
    import torch

    state = {"a": torch.zeros(2), "b": Evil()}
    torch.save(state, spoiled / "weights.pth", _use_new_zipfile_serialization=not legacy)
    assert tools(rehash(spoiled), "state-dict-safe") == {"bioimageio.core", "bioimage.io"}
    assert "the pickle ran" not in capsys.readouterr().out


def test_a_plain_state_dict_in_either_layout_is_safe(spoiled):
    import torch

    state = torch.load(spoiled / "weights.pth", weights_only=True)
    torch.save(state, spoiled / "weights.pth", _use_new_zipfile_serialization=False)
    assert findings(rehash(spoiled)) == {}


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.onnx"])
def test_truncated_weights_are_told(spoiled, name):
    path = spoiled / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = findings(rehash(spoiled))
    assert any(rule in ("state-dict-safe", "torchscript-readable", "onnx-readable") for _, rule in found), found


def rewrite_code(path, change):
    """Change the code inside a TorchScript archive."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, change(content.decode()).encode() if name.endswith(".py") else content)


RETURN = "return (torch.sub|_\\d+|.*)"


TORCHSCRIPTS = {
    "device literal": ('torch.zeros([1], device=torch.device("cpu"))', "no-device-literal"),
    "dropout": ("torch.dropout(image, 0.5, True)", "torchscript-deterministic"),
    "random": ("torch.rand_like(image)", "torchscript-deterministic"),
    "what torch does not load": ("torch.no_such_operator(image)", "torchscript-readable"),
    "file access": ('ops.aten.from_file("/etc/passwd")', "torchscript-stays-inside"),
}


@pytest.mark.parametrize("name", TORCHSCRIPTS)
def test_what_the_torchscript_code_says(spoiled, name):
    call, rule = TORCHSCRIPTS[name]

    def change(code):
        head, mark, tail = code.partition("image: Tensor) -> Tensor:\n")
        return f"{head}{mark}    image = {call}\n{tail}" if mark else code

    rewrite_code(spoiled / "weights.pt", change)
    assert {"deepimagej", "qupath", "ilastik"} <= tools(rehash(spoiled), rule)


def test_a_tuple_returned_is_told_for_qupath(spoiled):
    def change(code):
        head, mark, _ = code.partition("image: Tensor) -> Tensor:\n")
        return f"{head}image: Tensor) -> Tuple[Tensor, Tensor]:\n    return (image, image)\n" if mark else code

    rewrite_code(spoiled / "weights.pt", change)
    assert tools(rehash(spoiled), "one-tensor-returned") == {"qupath"}


def respoil_onnx(folder, change):
    import onnx

    model = onnx.load(folder / "weights.onnx")
    change(model)
    (folder / "weights.onnx").write_bytes(model.SerializeToString())
    return rehash(folder)


def add_node(kind, **attributes):
    def change(model):
        from onnx import helper

        name = model.graph.input[0].name
        model.graph.node.append(helper.make_node(kind, [name], ["unused"], **attributes))

    return change


def make_external(model):
    from onnx import TensorProto

    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def make_nan(model):
    from onnx import numpy_helper

    tensor = next(each for each in model.graph.initializer if len(each.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.nan, tensor.name))


def fix_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


ONNXES = {
    "opset": (lambda model: setattr(model.opset_import[0], "version", 20), "deepimagej", "onnx-age"),
    "IR": (lambda model: setattr(model, "ir_version", 10), "deepimagej", "onnx-age"),
    "external data": (make_external, "browser", "onnx-one-file"),
    "NaN": (make_nan, "browser", "onnx-finite"),
    "random": (add_node("RandomNormalLike"), "bioimageio.core", "onnx-deterministic"),
    "training": (add_node("BatchNormalization", training_mode=1), "bioimageio.core", "onnx-deterministic"),
    "fixed batch": (fix_batch, "bioimageio.core", "onnx-batch"),
}


@pytest.mark.parametrize("name", ONNXES)
def test_what_the_onnx_says(spoiled, name):
    change, tool, rule = ONNXES[name]
    assert tool in tools(respoil_onnx(spoiled, change), rule)
