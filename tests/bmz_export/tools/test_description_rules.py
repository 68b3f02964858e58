"""A sound package whose description is spoiled in one way at a time."""

import numpy as np
import pytest
import yaml
from helpers.rules import axis, findings, messages, operation, set_size, weights_entry
from helpers.small_package import describe

from bmz_export.tools.deepimagej import java_order


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "2.5.1", "2.6.0", "2.7.0", "2.9.0", "2.9.1", "2.15.0"])
def test_versions_that_put_torchscript_first_in_deepimagej(version):
    assert java_order([f"torchscript_v{version}", "onnx_v17"])[0] == f"torchscript_v{version}"


@pytest.mark.parametrize("version", ["1.13.1", "2.7.1", "2.8.0", "2.10.0"])
def test_versions_that_put_onnx_first_in_deepimagej(spoiled, version):
    def change(raw):
        for entry in ("torchscript", "pytorch_state_dict"):
            raw["weights"][entry]["pytorch_version"] = version

    assert findings(describe(spoiled, change)) == {("deepimagej", "torchscript-first"): "error"}


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
