"""The rules of six tools, on a sound package and on the same one spoiled in one way at a time; nothing is run."""

import sys
import time
import zipfile

import numpy as np
import pytest
import yaml
from helpers.small_package import copy, describe, rehash, small_package

from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS, Rule
from bmz_export.tools.deepimagej import java_order


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_package(tmp_path_factory.mktemp("sound") / "package")


@pytest.fixture
def spoiled(sound, tmp_path):
    return copy(sound, tmp_path / "package")


def findings(path):
    """Return {(tool, rule): severity} of all that is found."""
    with open_package(path) as package:
        inspection = Inspection(package)
        return {
            (tool.name, finding.rule): finding.severity
            for tool in TOOLS.values()
            for rule in tool.rules
            for finding in rule.check(inspection)
        }


def messages(path, rule=None):
    """Return (tool, message) of all that is found, or of what a rule finds."""
    with open_package(path) as package:
        inspection = Inspection(package)
        return [
            (tool.name, finding.message)
            for tool in TOOLS.values()
            for each in tool.rules
            for finding in each.check(inspection)
            if rule in (None, finding.rule)
        ]


def tools(path, rule):
    return {tool for tool, name in findings(path) if name == rule}


def test_a_sound_package_raises_no_alarm(sound):
    assert findings(sound) == {}


def test_rules_are_named_once_in_a_tool_and_say_where_they_come_from():
    for tool in TOOLS.values():
        names = [rule.name for rule in tool.rules]
        assert len(names) == len(set(names))
        assert all(rule.breaks and rule.source and rule.way_out for rule in tool.rules)


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "2.5.1", "2.6.0", "2.7.0", "2.9.0", "2.9.1", "2.15.0"])
def test_versions_that_put_torchscript_first_in_deepimagej(version):
    assert java_order([f"torchscript_v{version}", "onnx_v17"])[0] == f"torchscript_v{version}"


@pytest.mark.parametrize("version", ["1.13.1", "2.7.1", "2.8.0", "2.10.0"])
def test_versions_that_put_onnx_first_in_deepimagej(spoiled, version):
    def change(raw):
        for entry in ("torchscript", "pytorch_state_dict"):
            raw["weights"][entry]["pytorch_version"] = version

    assert findings(describe(spoiled, change)) == {("deepimagej", "torchscript-first"): "error"}


def axis(raw, side, letter):
    return next(axis for axis in raw[side][0]["axes"] if axis.get("id") == letter)


def set_size(letter, size, side="inputs"):
    return lambda raw: axis(raw, side, letter).update(size=size)


def operation(identifier, side="inputs", **kwargs):
    key = "preprocessing" if side == "inputs" else "postprocessing"
    return lambda raw: raw[side][0].update({key: [{"id": identifier, "kwargs": kwargs}]})


DESCRIPTIONS = {
    "documentation as an object": (
        lambda raw: raw.update(documentation={"source": raw["documentation"]}),
        {"deepimagej": "plain-strings", "qupath": "plain-strings"},
    ),
    "covers as objects": (
        lambda raw: raw.update(covers=[{"source": cover} for cover in raw["covers"]]),
        {"deepimagej": "plain-strings", "qupath": "plain-strings"},
    ),
    "newest version": (lambda raw: raw.update(format_version="0.5.12"), {"qupath": "format"}),
    "config without id": (lambda raw: raw.update(config={"x": 1}), {"deepimagej": "config-needs-id"}),
    "tiling not allowed": (
        lambda raw: raw.update(config={"deepimagej": {"allow_tiling": False}}, id="a-b"),
        {"deepimagej": "config-needs-id", "bioimage.io": "given-by-the-site"},
    ),
    "min no multiple of step": (
        set_size("y", {"min": 65, "step": 16}),
        {"deepimagej": "min-multiple-of-step", "qupath": "tile-fits"},
    ),
    "min not above twice the halo": (
        lambda raw: [axis(raw, "outputs", letter).update(halo=32) for letter in "yx"],
        {"ilastik": "halo"},
    ),
    "halo of half a tile": (
        lambda raw: [axis(raw, "outputs", letter).update(halo=256) for letter in "yx"],
        {"qupath": "halo", "ilastik": "halo"},
    ),
    "unit on an output": (
        lambda raw: axis(raw, "outputs", "y").update(unit="micrometer"),
        {"deepimagej": "output-unit-scale-offset"},
    ),
    "scale on an output": (
        lambda raw: axis(raw, "outputs", "y").update(scale=0.5),
        {"deepimagej": "output-unit-scale-offset", "qupath": "same-size"},
    ),
    "placeholder pixel size": (
        lambda raw: axis(raw, "inputs", "y").update(unit="micrometer", scale=1.0),
        {"qupath": "no-placeholder-pixel"},
    ),
    "offset left out": (
        lambda raw: axis(raw, "outputs", "y")["size"].pop("offset"),
        {"qupath": "offset-written"},
    ),
    "axis order": (
        lambda raw: raw["inputs"][0]["axes"].append(raw["inputs"][0]["axes"].pop(1)),
        {"qupath": "bcyx", "ilastik": "axis-ids"},
    ),
    "no channel axis": (
        lambda raw: [raw[side][0]["axes"].pop(1) for side in ("inputs", "outputs")],
        {"deepimagej": "axes", "qupath": "bcyx", "ilastik": "axis-ids", "bioimageio.core": "test-tensors"},
    ),
    "time axis": (
        lambda raw: raw["inputs"][0]["axes"].append({"type": "time", "id": "time", "size": 1}),
        {"deepimagej": "axes", "qupath": "bcyx"},
    ),
    "scale_linear with lists": (operation("scale_linear", gain=[2.0], offset=[0.0]), {"deepimagej": "operations"}),
    "scale_linear with scalars": (operation("scale_linear", gain=2.0, offset=0.0), {"qupath": "operations"}),
    "statistics of each tile": (
        operation("zero_mean_unit_variance", axes=["x", "y"]),
        {"qupath": "operations", "ilastik": "operations"},
    ),
    "constants": (operation("fixed_zero_mean_unit_variance", mean=3.0, std=2.0), {"qupath": "operations"}),
    "percentiles": (
        operation("scale_range", min_percentile=1, max_percentile=99, axes=["x"]),
        {"deepimagej": "operations", "qupath": "operations", "ilastik": "operations"},
    ),
    "open clip": (operation("clip", side="outputs", min=0.0), {"deepimagej": "operations"}),
    "null argument": (operation("sigmoid", side="outputs", x=None), {"deepimagej": "operations"}),
    "unknown operation": (
        operation("sharpen"),
        {"deepimagej": "operations", "qupath": "operations", "bioimageio.core": "as-specified"},
    ),
    "wrong callable": (
        lambda raw: raw["weights"]["pytorch_state_dict"]["architecture"].update(callable="Nothing"),
        {"bioimageio.core": "architecture", "bioimage.io": "architecture"},
    ),
    "unknown argument": (
        lambda raw: raw["weights"]["pytorch_state_dict"]["architecture"].update(kwargs={"depht": 3}),
        {"bioimageio.core": "architecture", "bioimage.io": "architecture"},
    ),
    "licence that is none": (lambda raw: raw.update(license="free"), {"bioimage.io": "licence"}),
    "two originals": (
        lambda raw: raw["weights"]["onnx"].pop("parent"),
        {"bioimageio.core": "one-parent", "ilastik": "one-parent"},
    ),
    "wrong hash": (
        lambda raw: raw["weights"]["onnx"].update(sha256="0" * 64),
        {"bioimageio.core": "hashes", "ilastik": "hashes", "bioimage.io": "hashes"},
    ),
    "missing file": (
        lambda raw: raw["weights"]["torchscript"].update(source="gone.pt"),
        {"bioimageio.core": "files-present", "deepimagej": "weights-present", "qupath": "weights-present"},
    ),
    "another opset told": (
        lambda raw: raw["weights"]["onnx"].update(opset_version=11),
        {"bioimageio.core": "onnx-opset-stated", "browser": "onnx-opset-stated"},
    ),
    "state dict alone": (
        lambda raw: [raw["weights"].pop(name) for name in ("torchscript", "onnx")],
        {"deepimagej": "runnable-weights", "qupath": "torchscript", "browser": "onnx"},
    ),
    "fixed patch": (
        lambda raw: [axis(raw, "inputs", letter).update(size=96) for letter in "yx"],
        {"deepimagej": "fixed-size", "qupath": "tile-fits"},
    ),
    "another type told": (
        lambda raw: raw["inputs"][0].update(data={"type": "uint16"}),
        {"deepimagej": "float32", "qupath": "float32", "ilastik": "float32", "bioimageio.core": "test-tensors"},
    ),
    "halo on an input": (
        lambda raw: axis(raw, "inputs", "y").update(halo=8),
        {"deepimagej": "halo", "bioimageio.core": "as-specified"},
    ),
    "a depth axis": (
        lambda raw: raw["inputs"][0]["axes"].insert(2, {"type": "space", "id": "z", "size": 1}),
        {"ilastik": "axis-ids", "qupath": "bcyx"},
    ),
    "clip the wrong way round": (
        operation("clip", side="outputs", min=2.0, max=1.0),
        dict.fromkeys(("deepimagej", "qupath", "ilastik", "bioimage.io", "bioimageio.core"), "clip-limits"),
    ),
    "clip at words": (
        operation("clip", side="outputs", min=0.0, max="highest"),
        {"deepimagej": "operations", "qupath": "operations", "bioimageio.core": "as-specified"},
    ),
    "a torch that is not out yet": (
        lambda raw: raw["weights"]["torchscript"].update(pytorch_version="2.99.0"),
        {"bioimage.io": "pytorch-version"},
    ),
    "a torch of long ago": (
        lambda raw: raw["weights"]["torchscript"].update(pytorch_version="1.5.1"),
        {"bioimage.io": "pytorch-version"},
    ),
    "one file for both tests": (
        lambda raw: raw["outputs"][0].update(test_tensor=raw["inputs"][0]["test_tensor"]),
        {"bioimage.io": "informative-test", "ilastik": "informative-test", "bioimageio.core": "informative-test"},
    ),
    "a user of GitHub": (
        lambda raw: raw.update(maintainers=[{"github_user": "ada"}]),
        {"bioimage.io": "github-user", "bioimageio.core": "github-user"},
    ),
    "no script for QuPath": (lambda raw: raw.pop("attachments"), {"qupath": "script"}),
    "no description": (lambda raw: raw.pop("description"), {"bioimage.io": "people"}),
    "no documentation": (lambda raw: raw.pop("documentation"), {"bioimage.io": "readme"}),
    "a tolerance too large for the output": (
        lambda raw: raw.update(config={"bioimageio": {"reproducibility_tolerance": [{"absolute_tolerance": 50.0}]}}),
        {"bioimageio.core": "tolerance"},
    ),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_what_a_description_does_to_each_tool(spoiled, name):
    change, expected = DESCRIPTIONS[name]
    found = findings(describe(spoiled, change))
    for tool, rule in expected.items():
        assert (tool, rule) in found, found


def weights_entry(name, **fields):
    return lambda raw: raw["weights"][name].update(fields)


UNSPECIFIED = {
    "weights.onnx.opset_version: is missing": lambda raw: raw["weights"]["onnx"].pop("opset_version"),
    "weights.torchscript.pytorch_version: is missing": lambda raw: raw["weights"]["torchscript"].pop("pytorch_version"),
    "weights.torchscript.pytorch_version: 'newest' is not a 'version'": weights_entry(
        "torchscript", pytorch_version="newest"
    ),
    "weights.onnx.parent: 'tensorrt' is not one of ['keras_hdf5'": weights_entry("onnx", parent="tensorrt"),
    "weights.keras: is no field": lambda raw: raw["weights"].update(keras={"source": "weights.pt"}),
    "name: is missing": lambda raw: raw.pop("name"),
    "name: 'abc' is too short": lambda raw: raw.update(name="abc"),
    "name: 'cells / nuclei' may have": lambda raw: raw.update(name="cells / nuclei"),
    "licence: is no field": lambda raw: raw.update(licence="MIT"),
    "surplus: is no field": lambda raw: raw["inputs"][0].update(surplus=1),
    "cite[0].doi: 'not a doi' is not of the form": lambda raw: raw.update(cite=[{"text": "x", "doi": "not a doi"}]),
    "cite[0]: has neither doi nor url": lambda raw: raw.update(cite=[{"text": "x"}]),
    "timestamp: 'yesterday' is not a 'date-time'": lambda raw: raw.update(timestamp="yesterday"),
    "documentation.source: 'notes.txt' is no .md": lambda raw: raw.update(documentation="notes.txt"),
    "covers[0].source: 'cover.bmp' is none of .gif": lambda raw: raw.update(covers=["cover.bmp"]),
    "axes[2].size.step: 0 is less than or equal to the minimum of 0": set_size("y", {"min": 64, "step": 0}),
    "outputs[0].id: 'clean image' is no name": lambda raw: raw["outputs"][0].update(id="clean image"),
}


@pytest.mark.parametrize("message", UNSPECIFIED)
def test_what_departs_from_the_specification_is_refused_wherever_its_library_reads(spoiled, message):
    told = messages(describe(spoiled, UNSPECIFIED[message]), "as-specified")
    assert {tool for tool, found in told if message in found} == {"ilastik", "bioimage.io", "bioimageio.core"}, told


def test_what_the_library_takes_departs_from_nothing(spoiled):
    def change(raw):
        raw["timestamp"] = "2024-05-31"
        raw["cite"].append({"text": "x", "doi": "https://doi.org/10.1038/nmeth.2019"})
        raw["version"] = 1
        raw["inputs"][0]["axes"][3]["concatenable"] = "yes"
        raw["weights"]["onnx"]["opset_version"] = "17"
        raw["config"] = {"own": {"deep": [1, None, {"er": True}]}}

    assert "as-specified" not in {rule for _, rule in findings(describe(spoiled, change))}


def test_the_formats_own_ids_are_known_and_the_one_parser_that_needs_them_written_is_named(spoiled):
    def change(raw):
        for side in ("inputs", "outputs"):
            del raw[side][0]["axes"][3]["id"]

    assert findings(describe(spoiled, change)) == {("deepimagej", "axes"): "error"}


@pytest.mark.parametrize(("halo", "tools_warned"), [(10, {"deepimagej", "ilastik"}), (16, set())])
def test_a_halo_is_a_multiple_of_the_step(spoiled, halo, tools_warned):
    def change(raw):
        for letter in "yx":
            axis(raw, "inputs", letter).update(size={"min": 64, "step": 16})
            axis(raw, "outputs", letter).update(halo=halo)

    assert findings(describe(spoiled, change)) == {(tool, "halo-multiple-of-step"): "warning" for tool in tools_warned}


def test_a_file_in_a_folder_of_the_package_is_told(spoiled):
    (spoiled / "weights").mkdir()
    (spoiled / "weights.pt").rename(spoiled / "weights" / "weights.pt")
    describe(spoiled, weights_entry("torchscript", source="weights/weights.pt"))
    assert set(findings(spoiled).values()) == {"warning"}
    assert {rule for _, rule in findings(spoiled)} == {"files-beside"}


@pytest.mark.parametrize("name", ["cover.jpg", "cover.png"])
def test_a_cover_that_is_no_png_is_told(spoiled, name):
    (spoiled / name).write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    assert findings(describe(spoiled, lambda raw: raw.update(covers=[name]))) == {("bioimage.io", "cover"): "warning"}


def test_sections_of_a_readme_are_found_however_long_its_lines(spoiled):
    path = spoiled / "README.md"
    path.write_text("# a" + " " * 500_000 + "b\n" + path.read_text())
    begin = time.monotonic()
    assert findings(spoiled) == {}
    assert time.monotonic() - begin < 5
    path.write_text("# Description of it\n## intended use ##\nValidation\n#citation")
    assert [message for _, message in messages(spoiled, "readme")] == ["README.md has no section Validation"]


def test_a_rule_that_fails_is_no_verdict_on_the_package(sound):
    def find(inspection):
        yield "one thing"
        yield str(len(inspection.description.name) // 0)

    with open_package(sound) as package:
        found = list(Rule("odd", "breaks", "source", "way out", find, "warning").check(Inspection(package)))
    assert [(each.rule, each.severity) for each in found] == [("odd", "warning"), ("odd", "warning")]
    assert found[1].message.startswith("could not be examined (ZeroDivisionError: ")


ARRAYS = {
    "wrong type": (lambda array: array.astype(np.float64), "test-tensors"),
    "wrong order": (np.asfortranarray, "test-tensors"),
    "wrong shape": (lambda array: array[:, :, :-1], "test-tensors"),
    "too small": (lambda array: array[:, :, :20], "test-tensors"),
    "zeros": (np.zeros_like, "informative-test"),
    "NaN": (lambda array: array * np.nan, "informative-test"),
    "pickled": (lambda array: np.array([{}]), "test-tensors"),
    "text": (lambda array: np.full(array.shape, "1"), "test-tensors"),
    "bytes": (lambda array: np.full(array.shape, b"1"), "test-tensors"),
    "times": (lambda array: array.astype("M8[s]"), "test-tensors"),
    "records": (lambda array: np.zeros(array.shape, [("a", "f4")]), "test-tensors"),
    "complex": (lambda array: array.astype(np.complex64), "test-tensors"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_test_tensors_that_do_not_serve(spoiled, name):
    change, rule = ARRAYS[name]
    path = spoiled / "test_input.npy"
    np.save(path, change(np.load(path)), allow_pickle=True)
    assert "bioimageio.core" in tools(rehash(spoiled), rule)


@pytest.mark.parametrize("name", ["text", "times", "records", "complex"])
def test_a_tolerance_beside_a_test_output_that_holds_no_numbers(spoiled, name):
    path = spoiled / "test_output.npy"
    np.save(path, ARRAYS[name][0](np.load(path)))
    found = messages(rehash(describe(spoiled, DESCRIPTIONS["a tolerance too large for the output"][0])))
    assert not [
        message for _, message in found if ("cannot be looked through" in message or "could not be examined" in message)
    ]


def test_an_input_and_an_output_of_one_id_and_other_axes(spoiled):
    path = spoiled / "test_output.npy"
    np.save(path, np.load(path)[:, 0])
    describe(spoiled, lambda raw: raw["outputs"][0].update(id="raw", axes=raw["outputs"][0]["axes"][:1] +
                                                           raw["outputs"][0]["axes"][2:]))  # fmt: skip
    assert "bioimageio.core" in tools(rehash(spoiled), "ids")
    assert not [
        message
        for _, message in messages(spoiled)
        if ("cannot be looked through" in message or "could not be examined" in message)
    ]


def test_a_truncated_tensor_is_told(spoiled):
    path = spoiled / "test_output.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert "deepimagej" in tools(rehash(spoiled), "test-tensors")


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


def test_rules_need_neither_torch_nor_a_place_to_write(sound):
    import subprocess

    code = (
        "import sys\n"
        "from bmz_export.tools import TOOLS\n"
        "from bmz_export.inspection import Inspection\n"
        "from bmz_export.package.archive import open_package\n"
        f"with open_package({str(sound)!r}) as package:\n"
        "    inspection = Inspection(package)\n"
        "    for tool in TOOLS.values():\n"
        "        for rule in tool.rules:\n"
        "            list(rule.check(inspection))\n"
        "assert 'torch' not in sys.modules\n"
    )
    before = sorted(sound.iterdir())
    subprocess.run([sys.executable, "-c", code], check=True)
    assert sorted(sound.iterdir()) == before


def old_package(folder):
    """A package as an older model of the zoo: format 0.4, state dict alone, fixed patch, statistics outside."""
    import torch

    folder.mkdir()
    (folder / "net.py").write_text("from torch import nn\n\nclass Net(nn.Conv2d):\n    pass\n")
    torch.save(torch.nn.Conv2d(1, 1, 3, padding=1).state_dict(), folder / "weights.pt")
    image = np.random.default_rng(0).random((1, 1, 128, 128), np.float32)
    np.save(folder / "in.npy", image)
    np.save(folder / "out.npy", image[..., ::-1])
    (folder / "README.md").write_text("# Old\n")
    raw = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "Old",
        "description": "An older network.",
        "authors": [{"name": "Somebody Else"}],
        "cite": [{"text": "A paper", "doi": "https://doi.org/10.1038/nmeth.2019"}],
        "documentation": "README.md",
        "timestamp": "2021-11-04T10:12:14",
        "license": "MIT",
        "inputs": [
            {
                "name": "raw", "axes": "bcyx", "data_type": "float32", "shape": [1, 1, 128, 128],
                "preprocessing": [
                    {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx"}}
                ],
            }
        ],
        "outputs": [{"name": "out", "axes": "bcyx", "data_type": "float32", "shape": [1, 1, 128, 128]}],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt", "architecture": "net.py:Net", "pytorch_version": "1.10",
                "kwargs": {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1},
            }
        },
    }  # fmt: skip
    (folder / "rdf.yaml").write_text(yaml.safe_dump(raw))
    return folder


def test_an_older_model_of_the_zoo_is_diagnosed_tool_by_tool(tmp_path):
    found = findings(old_package(tmp_path / "old"))
    errors = {key for key, severity in found.items() if severity == "error"}
    assert ("deepimagej", "runnable-weights") in errors
    assert ("deepimagej", "operations") not in errors
    assert {("qupath", "format"), ("qupath", "torchscript"), ("qupath", "operations"), ("qupath", "suffixes")} <= errors
    assert ("ilastik", "operations") in errors
    assert not {key for key in errors if key[0] == "bioimageio.core"}


@pytest.mark.parametrize(("halo", "cuts"), [(24, True), (96, True), (252, False), (256, False), (4000, False)])
def test_a_halo_that_leaves_hardly_anything_of_a_tile_gives_no_tiling(spoiled, halo, cuts):
    def change(raw):
        for letter in "yx":
            axis(raw, "outputs", letter).update(halo=halo)

    with open_package(describe(spoiled, change)) as package:
        inspection = Inspection(package)
        assert (TOOLS["ilastik"].tilings[0].cut(inspection, (900, 1200)) is not None) == cuts
        assert TOOLS["qupath"].tilings[1].cut(inspection, (900, 1200)) is not None  # its tiles grow with the halo


def test_a_patch_of_a_few_pixels_gives_no_tiling(spoiled):
    def change(raw):
        for letter in "yx":
            axis(raw, "inputs", letter).update(size=8)

    with open_package(describe(spoiled, change)) as package:
        inspection = Inspection(package)
        for name in ("deepimagej", "ilastik"):
            assert TOOLS[name].tilings[0].cut(inspection, (900, 1200)) is None
