"""Weights that do not load everywhere, or that give other pixels than their siblings."""

import io
import pickletools
import zipfile

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

from planted.spoiling import ANY_ONNX, ANY_TORCHSCRIPT, Family, wrapped

WEIGHTS = Family("weights")

TORCHSCRIPT = {"engines": ("torch",), "fails": ANY_TORCHSCRIPT}
ONNX = {"engines": ("onnxruntime",), "fails": ANY_ONNX}
FIJI, QUPATH, ILASTIK, SITE, CORE, BROWSER = (
    "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core", "browser",
)  # fmt: skip


def _convolution(graph, index=-1):
    """An initializer of the ONNX that holds a convolution's weights."""
    return [tensor for tensor in graph.initializer if len(tensor.dims) == 4][index]


def _set(tensor, change):
    array = numpy_helper.to_array(tensor).copy()
    change(array)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


@WEIGHTS.fault("onnx-finite", "NaN", tools=(SITE, CORE, BROWSER), **ONNX)
def nan_in_the_onnx(package):
    """One weight of the ONNX is NaN"""
    with package.onnx_graph() as model:
        _set(_convolution(model.graph), lambda array: array.flat.__setitem__(0, np.nan))


@WEIGHTS.fault("finite-weights", "torchscript.*NaN", tools=(FIJI, QUPATH, ILASTIK), **TORCHSCRIPT)
def nan_in_the_torchscript(package):
    """One weight of the TorchScript is NaN"""
    model = package.copy_of_model()
    list(model.parameters())[-2].view(-1)[0] = torch.nan
    package.torchscript(model)


@WEIGHTS.fault("same-weights", "onnx holds other weights", **ONNX)
def onnx_of_another_epoch(package):
    """The ONNX holds the weights of another epoch"""
    package.onnx(package.copy_of_model(seed=1))


@WEIGHTS.fault("same-weights", "torchscript holds other weights", tools=(FIJI, QUPATH, ILASTIK), **TORCHSCRIPT)
def torchscript_of_another_epoch(package):
    """The TorchScript holds the weights of another epoch"""
    package.torchscript(package.copy_of_model(seed=1))


@WEIGHTS.fault("same-weights", "other weights than its parent", engines=("onnxruntime",))
def state_dict_of_another_epoch(package):
    """The state dict holds the weights of another epoch"""
    torch.save(package.copy_of_model(seed=1).state_dict(), package / "weights.pth")


@WEIGHTS.fault("same-weights", "onnx holds other weights.* 1 of", engines=("onnxruntime",))
def one_weight_off_by_a_hundredth(package):
    """A single weight of the ONNX is off by 1 %"""
    with package.onnx_graph() as model:
        _set(_convolution(model.graph, 1), lambda array: array.flat.__setitem__(array.argmax(), array.max() * 1.01))


@WEIGHTS.fault("torchscript-readable", "weights.pt", tools=(FIJI, QUPATH, ILASTIK))
def truncated_torchscript(package):
    """The TorchScript is cut off, as after a broken download"""
    package.cut("weights.pt")


@WEIGHTS.fault("onnx-readable", "weights.onnx", tools=(FIJI, BROWSER))
def truncated_onnx(package):
    """The ONNX is cut off, as after a broken download"""
    package.cut("weights.onnx")


@WEIGHTS.fault("state-dict-safe", "state dict.*cut off", tools=(SITE, CORE))
def truncated_state_dict(package):
    """The state dict is cut off, as after a broken download"""
    package.cut("weights.pth")


@WEIGHTS.fault("operators", "_upsample_lanczos2d_aa", tools=(FIJI, QUPATH), fails=ANY_TORCHSCRIPT[:4])
def scripted_upsampling(package):
    """The TorchScript was scripted over an upsampling, which names operators of a newer torch"""

    class Upsampled(torch.nn.Module):
        def __init__(self, traced):
            super().__init__()
            self.traced = traced

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            twice = functional.interpolate(self.traced(image), scale_factor=2.0, mode="nearest")
            return functional.interpolate(twice, scale_factor=0.5, mode="nearest")

    traced = torch.jit.load(package / "weights.pt")
    torch.jit.script(Upsampled(traced)).eval().save(package / "weights.pt")


@WEIGHTS.fault("operators", "rms_norm", tools=(FIJI,), fails=ANY_TORCHSCRIPT[:2])
def operator_newer_than_fiji(package):
    """The TorchScript calls an operator that came after libtorch 2.0.0"""
    package.torchscript(
        wrapped(
            package.model,
            lambda model, image: model(image) + 0 * functional.rms_norm(image.flatten(2)[..., :8], (8,)).sum(),
        )
    )


@WEIGHTS.fault("no-device-literal", "device cpu", tools=(FIJI, QUPATH, ILASTIK))
def device_literal(package):
    """The TorchScript makes a tensor on a device that the trace wrote down"""
    module = wrapped(package.model, lambda model, image: model(image) + torch.zeros(image.shape[-1]))
    torch.jit.trace(module, torch.rand(2, 1, 67, 93), check_trace=False).save(package / "weights.pt")


@WEIGHTS.fault(
    "one-at-a-time", "fails on two images at once .2x1x64x64.", tools=(SITE, CORE), engines=("torch",),
    fails=ANY_TORCHSCRIPT,
)  # fmt: skip
def torchscript_of_one_image_alone(package):
    """The TorchScript takes one image at a time: a reshape fixed the batch"""
    size = torch.jit.trace(
        wrapped(package.model, lambda model, image: model(image).reshape(1, 1, image.shape[-2], image.shape[-1])),
        torch.rand(1, 1, 67, 93),
        check_trace=False,
    )
    size.save(package / "weights.pt")


@WEIGHTS.fault("sizes", "torchscript returns a shape of.* for an image of the least size", **TORCHSCRIPT)
def torchscript_of_one_size_alone(package):
    """The TorchScript returns images of one size, whatever it is given: a size was traced as a number"""

    def forward(model, image):
        height, width = (int(size) for size in image.shape[-2:])
        return functional.interpolate(model(image), (height, width))

    shape = package.tensor("input").shape
    torch.jit.trace(wrapped(package.model, forward), torch.rand(shape), check_trace=False).save(package / "weights.pt")


@WEIGHTS.fault("onnx-shapes", "fixed to 96 along y", tools=(SITE, CORE, BROWSER), **ONNX)
def onnx_of_one_size_alone(package):
    """The ONNX was exported without dynamic axes"""
    image = torch.from_numpy(package.tensor("input"))
    torch.onnx.export(
        package.model, (image,), str(package / "weights.onnx"), dynamo=False, opset_version=17, input_names=["raw"]
    )


TENSORS_OF_THE_ONNX = {"tools": (FIJI, SITE, CORE, BROWSER)}


@WEIGHTS.fault("onnx-tensors", "returns 2 tensors", **TENSORS_OF_THE_ONNX)
def onnx_with_another_output(package):
    """The ONNX returns its noise too, which the description does not name"""
    with package.onnx_graph() as model:
        (image,), (result,) = model.graph.input, model.graph.output
        model.graph.node.append(onnx.helper.make_node("Sub", [image.name, result.name], ["noise"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info("noise", 1, None))


@WEIGHTS.fault("onnx-tensors", "takes 2 tensors", **TENSORS_OF_THE_ONNX)
def onnx_with_another_input(package):
    """The ONNX takes the noise level too, which the description does not name"""
    with package.onnx_graph() as model:
        result = model.graph.output[0].name
        model.graph.input.append(onnx.helper.make_tensor_value_info("level", 1, [1]))
        model.graph.node.append(onnx.helper.make_node("Mul", [result, "level"], ["scaled"]))
        model.graph.output[0].name = "scaled"


@WEIGHTS.fault("onnx-tensors", "with 3 axes, the description has 4", **TENSORS_OF_THE_ONNX)
def onnx_of_another_rank(package):
    """The ONNX returns its image without the channel axis"""
    axes = {0: "batch", 1: "height", 2: "width"}
    torch.onnx.export(
        wrapped(package.model, lambda model, image: model(image)[:, 0]), (torch.rand(2, 1, 67, 93),),
        str(package / "weights.onnx"), dynamo=False, opset_version=17, input_names=["raw"],
        output_names=["denoised"], dynamic_axes={"raw": {0: "batch", 2: "height", 3: "width"}, "denoised": axes},
    )  # fmt: skip


@WEIGHTS.fault("onnx-batch", "takes one image at a time", tools=(SITE, CORE))
def onnx_of_one_image_alone(package):
    """The ONNX takes one image at a time: its batch axis was not left free"""
    axes = {2: "height", 3: "width"}
    torch.onnx.export(
        package.model, (torch.rand(1, 1, 67, 93),), str(package / "weights.onnx"), dynamo=False, opset_version=17,
        input_names=["raw"], output_names=["denoised"], dynamic_axes={"raw": axes, "denoised": axes},
    )  # fmt: skip


@WEIGHTS.fault("torchscript-inputs", "takes 2 tensors", tools=(FIJI, QUPATH, ILASTIK, SITE, CORE))
def torchscript_with_another_input(package):
    """The TorchScript takes the noise level too, which the description does not name"""

    class Levelled(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, image, level):
            return self.model(image) * level

    example = torch.rand(2, 1, 67, 93), torch.ones(1)
    torch.jit.trace(Levelled(package.model).eval(), example, check_trace=False).save(package / "weights.pt")


@WEIGHTS.fault("torchscript-deterministic", "dropout", tools=(FIJI, QUPATH, ILASTIK), **TORCHSCRIPT)
def dropout_left_on_in_torchscript(package):
    """The TorchScript was traced without .eval(): its dropout stays on"""
    module = wrapped(package.model, lambda model, image: functional.dropout(model(image), 0.1, training=True))
    package.torchscript(module)


@WEIGHTS.fault("onnx-deterministic", "Dropout", tools=(SITE, CORE, BROWSER), **ONNX)
def dropout_left_on_in_onnx(package):
    """The ONNX was exported in training mode: its dropout stays on"""
    module = torch.nn.Sequential(package.copy_of_model(), torch.nn.Dropout(0.1)).train()
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        module, (torch.rand(2, 1, 67, 93),), str(package / "weights.onnx"), dynamo=False, opset_version=17,
        input_names=["raw"], output_names=["denoised"], dynamic_axes={"raw": axes, "denoised": axes},
        training=torch.onnx.TrainingMode.TRAINING,
    )  # fmt: skip


@WEIGHTS.fault("one-tensor-returned", "Tuple", tools=(QUPATH,))
def a_tuple_returned(package):
    """The TorchScript returns the image and the noise, not one tensor"""
    package.torchscript(wrapped(package.model, lambda model, image: (model(image), image - model(image))))


@WEIGHTS.fault("onnx-age", "opset 19", tools=(FIJI,), fails=("onnxruntime-java-1.12.1",))
def onnx_of_a_newer_opset(package):
    """The ONNX is of opset 19, and the description says so"""
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        package.model, (torch.rand(2, 1, 67, 93),), str(package / "weights.onnx"), dynamo=False, opset_version=19,
        input_names=["raw"], output_names=["denoised"], dynamic_axes={"raw": axes, "denoised": axes},
    )  # fmt: skip
    with package.rdf() as raw:
        raw["weights"]["onnx"]["opset_version"] = 19


@WEIGHTS.fault("onnx-age", "IR version 10", tools=(FIJI,), fails=("onnxruntime-java-1.12.1",))
def onnx_of_a_newer_file_format(package):
    """The ONNX is of IR version 10"""
    with package.onnx_graph() as model:
        model.ir_version = 10


@WEIGHTS.fault("onnx-one-file", "second file weights.onnx.data", tools=(FIJI, BROWSER))
def onnx_in_two_files(package):
    """The ONNX keeps its weights in a second file, as the newer exporter writes them"""
    model = onnx.load(package / "weights.onnx")
    onnx.save(
        model, package / "weights.onnx", save_as_external_data=True, location="weights.onnx.data", size_threshold=0
    )
    with package.rdf() as raw:
        raw["attachments"].append({"source": "weights.onnx.data"})


@WEIGHTS.fault("torchscript-deterministic", "random", tools=(FIJI, QUPATH, ILASTIK), **TORCHSCRIPT)
def a_random_operator(package):
    """The TorchScript adds noise to its input: another result at each call"""
    package.torchscript(wrapped(package.model, lambda model, image: model(image + torch.randn_like(image))))


@WEIGHTS.fault("saved-on-cpu", "state dict was saved from cuda:0")
def saved_from_a_graphics_card(package):
    """The state dict was saved from a graphics card"""
    data = io.BytesIO((package / "weights.pth").read_bytes())
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(package / "weights.pth", "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                cpu = b"X\x03\x00\x00\x00cpu"
                assert content.count(cpu) == 1, pickletools.dis(content)
                content = content.replace(cpu, b"X\x06\x00\x00\x00cuda:0")
            new.writestr(entry.filename, content)


@WEIGHTS.fault("no-wait", "groups of touching", tools=(FIJI,), severity="warning", network="restormer")
def compiles_at_each_image_size(package):
    """The TorchScript was traced without the aliases that keep old libtorch from compiling at each new image size"""
    torch.jit.trace(package.model, torch.rand(2, 1, 72, 88), check_trace=False).save(package / "weights.pt")
