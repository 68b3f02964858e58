"""Descriptions that a tool refuses, or reads as something else."""

from dataclasses import replace

import numpy as np
import torch

from planted.spoiling import ANY_TORCHSCRIPT, Family, remove, wrapped
from training.calibration.layer import Calibrated

DESCRIPTION = Family("description")
FIJI, QUPATH, ILASTIK, SITE, CORE = "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core"


def _processing(package, operation, compute, **kwargs):
    """Add a preprocessing operation, and make the test output what it leads to."""
    with package.rdf() as raw:
        raw["inputs"][0]["preprocessing"] = [{"id": operation, "kwargs": kwargs}]
    image = np.asarray(compute(package.tensor("input")), np.float32)
    package.save_tensor("output", package.model(torch.from_numpy(image)).numpy())


def _on_space_axes(package, side, **fields):
    with package.rdf() as raw:
        for axis in raw[side][0]["axes"][-2:]:
            axis.update(fields)


@DESCRIPTION.fault("operations", "scale_linear with a list", tools=(FIJI,))
def lists_as_arguments(package):
    """A scale_linear has lists as arguments: deepImageJ computes other values"""
    _processing(package, "scale_linear", lambda image: 0.5 * image + 60, gain=[0.5], offset=[60.0], axis="channel")


@DESCRIPTION.fault("operations", "scale_linear needs a list", tools=(QUPATH,))
def scalars_as_arguments(package):
    """A scale_linear has scalar arguments: QuPath refuses them"""
    _processing(package, "scale_linear", lambda image: 0.5 * image + 60, gain=0.5, offset=60.0)


@DESCRIPTION.fault("operations", "zero_mean_unit_variance measures the image", tools=(QUPATH, ILASTIK))
def statistics_of_each_tile(package):
    """A zero_mean_unit_variance measures each tile by itself in QuPath and ilastik"""
    _processing(
        package, "zero_mean_unit_variance", lambda image: (image - image.mean()) / (image.std() + 1e-6),
        axes=["channel", "y", "x"],
    )  # fmt: skip


@DESCRIPTION.fault("plain-strings", "documentation is an object", tools=(FIJI, QUPATH))
def objects_of_the_newest_format(package):
    """Documentation and covers are objects, as formats from 0.5.11 on write them"""
    with package.rdf() as raw:
        raw["format_version"] = "0.5.11"
        raw["documentation"] = {"source": raw["documentation"], "sha256": ""}
        raw["covers"] = [{"source": cover, "sha256": ""} for cover in raw["covers"]]


@DESCRIPTION.fault("bcyx", "bcxy", tools=(QUPATH,))
def axes_in_another_order(package):
    """The axes are batch, channel, x, y"""
    with package.rdf() as raw:
        for side in ("inputs", "outputs"):
            axes = raw[side][0]["axes"]
            axes[-2:] = axes[-1:-3:-1]


@DESCRIPTION.fault("axes", "has no channel axis", tools=(FIJI,))
def no_channel_axis(package):
    """Image and network have no channel axis"""
    module = wrapped(package.model, lambda model, image: model(image[:, None])[:, 0])
    torch.jit.trace(module, torch.rand(2, 67, 93), check_trace=False).save(package / "weights.pt")
    for name in ("input", "output"):
        package.save_tensor(name, package.tensor(name)[:, 0])
    with package.rdf() as raw:
        for side in ("inputs", "outputs"):
            del raw[side][0]["axes"][1]
        for name in ("pytorch_state_dict", "onnx"):
            remove(package / raw["weights"].pop(name)["source"])
        del raw["weights"]["torchscript"]["parent"]
    remove(package / "architecture.py")


@DESCRIPTION.fault("output-unit-scale-offset", "has the unit micrometer", tools=(FIJI,))
def a_unit_on_an_output(package):
    """The axes have a unit and a pixel size, which deepImageJ reads as a factor of the output's size"""
    for side in ("inputs", "outputs"):
        _on_space_axes(package, side, unit="micrometer", scale=0.25)


@DESCRIPTION.fault("halo", "twice the halo of 32", tools=(ILASTIK,))
def a_halo_of_half_the_tile(package):
    """The halo is half of the least tile: nothing is left of it"""
    _on_space_axes(package, "outputs", halo=32)


@DESCRIPTION.fault("seam", "halo of 0", tools=(FIJI, QUPATH, ILASTIK), engines=("torch",))
def a_halo_too_small(package):
    """There is no halo, though the network looks 4 pixels far: lines where the tiles meet"""
    with package.rdf() as raw:
        for axis in raw["outputs"][0]["axes"][-2:]:
            del axis["halo"]


@DESCRIPTION.fault("min-multiple-of-step", "60 . n . 8", tools=(FIJI,))
def min_no_multiple_of_step(package):
    """The least size is no multiple of the step: deepImageJ finds no tile"""
    _on_space_axes(package, "inputs", size={"min": 64 - 4, "step": 8})
    _crop(package, 92, 116)


@DESCRIPTION.fault(
    "larger-image", "fails on an image of the next size", network="drunet", engines=("torch",), fails=ANY_TORCHSCRIPT,
)  # fmt: skip
def strides_not_declared(package):
    """A network with strides of 8 and no padding of its own declares that it takes any size"""
    model = package.copy_of_model()
    model = Calibrated(model.denoiser, replace(model.constants, multiple=1, margin=0))
    torch.jit.trace(model, torch.rand(2, 1, 64, 96), check_trace=False).save(package / "weights.pt")
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        model, (torch.rand(2, 1, 64, 96),), str(package / "weights.onnx"), dynamo=False, opset_version=17,
        input_names=["raw"], output_names=["denoised"], dynamic_axes={"raw": axes, "denoised": axes},
    )  # fmt: skip
    package.save_tensor("output", model(torch.from_numpy(package.tensor("input"))).numpy())
    with package.rdf() as raw:
        raw["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["calibration"] |= {"multiple": 1, "margin": 0}


@DESCRIPTION.fault("empty-kwargs", "noise_map is empty", tools=(FIJI,))
def an_empty_argument(package):
    """An argument of the architecture is null"""
    with package.rdf() as raw:
        raw["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["calibration"]["noise_map"] = None


@DESCRIPTION.fault("architecture", "defines no 'Denoiser'", tools=(SITE, CORE))
def wrong_callable(package):
    """The callable is not what the architecture file defines"""
    with package.rdf() as raw:
        raw["weights"]["pytorch_state_dict"]["architecture"]["callable"] = "Denoiser"


@DESCRIPTION.fault("licence", "no SPDX identifier", tools=(SITE,))
def a_licence_in_words(package):
    """The licence is no SPDX identifier"""
    with package.rdf() as raw:
        raw["license"] = "free for academic use"


@DESCRIPTION.fault("torchscript-first", "pytorch_version 2.8.0", tools=(FIJI,))
def onnx_first_in_fiji(package):
    """The pytorch_version makes deepImageJ choose the ONNX, with which it ends"""
    with package.rdf() as raw:
        for name in ("torchscript", "pytorch_state_dict"):
            raw["weights"][name]["pytorch_version"] = "2.8.0"


@DESCRIPTION.fault("seam", "states none", network="restormer", tools=(FIJI, QUPATH, ILASTIK), engines=("torch",))
def an_unstated_seam(package):
    """A network with global attention leaves a seam at any halo, and the package does not state it"""
    remove(package / "certificate.json")
    with package.rdf() as raw:
        raw["attachments"] = [file for file in raw["attachments"] if file["source"] != "certificate.json"]


def _crop(package, height, width):
    image = np.ascontiguousarray(package.tensor("input")[..., :height, :width])
    package.save_tensor("input", image)
    package.save_tensor("output", package.model(torch.from_numpy(image)).numpy())
