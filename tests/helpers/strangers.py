"""Packages as others write them, around one small U-Net: by hand in format 0.4, and through bioimageio.spec."""

import hashlib
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
import yaml
from planted.sound import example
from planted.spoiling import quiet

UNET = '''
import torch
from torch import nn


class UNet2d(nn.Module):
    """Two levels, zero padding, stride 2."""

    def __init__(self, in_channels=1, out_channels=1, initial_features=4, final_activation=None):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, initial_features, 3, padding=1), nn.ReLU())
        width = initial_features
        self.base = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(width, width, 2, 2)
        self.out = nn.Conv2d(2 * width, out_channels, 1)

    def forward(self, x):
        skip = self.encoder(x)
        return self.out(torch.cat([skip, self.up(self.base(skip))], 1))
'''
PATCH = 64


def unet():
    """The network with the weights that all these packages hold."""
    scope = {}
    exec(compile(UNET, "unet.py", "exec"), scope)
    torch.manual_seed(0)
    return scope["UNet2d"]().eval()


def _image(shape):
    return example(shape).astype(np.float32)[None, None]


def _run(image):
    with torch.no_grad():
        return unet()(torch.from_numpy(image)).numpy()


def _standardised(image):
    return (image - image.mean()) / (image.std() + 1e-6)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _common(folder):
    """Write README and cover and return what every description says alike."""
    (folder / "README.md").write_text("# A network\n\nIt takes noise away.\n")
    cover = np.zeros((2, 2, 3), np.uint8)
    import imagecodecs

    (folder / "cover.png").write_bytes(imagecodecs.png_encode(np.repeat(np.repeat(cover + 90, 32, 0), 64, 1)))
    return {
        "name": "A network of somebody",
        "description": "Takes noise away.",
        "authors": [{"name": "Somebody Else"}],
        "cite": [{"text": "A paper", "doi": "10.1038/nmeth.2019"}],
        "license": "MIT",
        "tags": ["denoising", "unet2d"],
    }


def _weights(folder, *formats):
    """Write the network in these formats; the state dict is called as the old zoo calls it."""
    network = unet()
    (folder / "unet.py").write_text(UNET)
    with quiet():
        if "pytorch_state_dict" in formats:
            torch.save(network.state_dict(), folder / "weights.pt")
        if "torchscript" in formats:
            torch.jit.trace(network, torch.rand(1, 1, PATCH, PATCH)).save(str(folder / "weights-torchscript.pt"))
        if "onnx" in formats:
            axes = {0: "batch", 2: "y", 3: "x"}
            torch.onnx.export(
                network, (torch.rand(2, 1, 72, 88),), str(folder / "weights.onnx"), dynamo=False, opset_version=12,
                input_names=["raw"], output_names=["out"], dynamic_axes={"raw": axes, "out": axes},
            )  # fmt: skip


def _write(folder, description):
    (folder / "rdf.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    return folder


def old_zoo(folder):
    """A package of the zoo of 2021: format 0.4, three weights formats, statistics of each sample as preprocessing."""
    folder.mkdir()
    _weights(folder, "pytorch_state_dict", "torchscript", "onnx")
    image = _image((96, 128))
    np.save(folder / "test_input_0.npy", image)
    np.save(folder / "test_output_0.npy", _run(_standardised(image)))
    import tifffile

    tifffile.imwrite(folder / "sample_input_0.tif", image[0, 0], imagej=True)
    per_sample = {"name": "zero_mean_unit_variance", "kwargs": {"axes": "cyx", "mode": "per_sample", "eps": 1e-6}}
    return _write(folder, {
        "format_version": "0.4.9",
        "type": "model",
        **_common(folder),
        "documentation": "README.md",
        "covers": ["cover.png"],
        "timestamp": "2021-11-04T10:12:14",
        "inputs": [{
            "axes": "bcyx", "data_range": ["-inf", "inf"], "data_type": "float32", "name": "input0",
            "preprocessing": [per_sample], "shape": {"min": [1, 1, 64, 64], "step": [0, 0, 16, 16]},
        }],
        "outputs": [{
            "axes": "bcyx", "data_range": ["-inf", "inf"], "data_type": "float32", "name": "output0",
            "halo": [0, 0, 16, 16],
            "shape": {"offset": [0, 0, 0, 0], "reference_tensor": "input0", "scale": [1, 1, 1, 1]},
        }],
        "test_inputs": ["test_input_0.npy"],
        "test_outputs": ["test_output_0.npy"],
        "sample_inputs": ["sample_input_0.tif"],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt", "sha256": _sha256(folder / "weights.pt"), "architecture": "unet.py:UNet2d",
                "architecture_sha256": _sha256(folder / "unet.py"),
                "kwargs": {"in_channels": 1, "out_channels": 1, "initial_features": 4},
            },
            "torchscript": {"source": "weights-torchscript.pt", "sha256": _sha256(folder / "weights-torchscript.pt")},
            "onnx": {"source": "weights.onnx", "sha256": _sha256(folder / "weights.onnx"), "opset_version": 12},
        },
    })  # fmt: skip


def old_fiji(folder):
    """A package of deepImageJ's first years: format 0.4, TorchScript alone, one patch size, a config of its own."""
    folder.mkdir()
    _weights(folder, "torchscript")
    (folder / "unet.py").unlink()
    image = _image((PATCH, PATCH))
    np.save(folder / "exampleImage.npy", image)
    np.save(folder / "resultImage.npy", _run(image))
    shape = [1, 1, PATCH, PATCH]
    tensor = {"axes": "bcyx", "data_range": ["-inf", "inf"], "data_type": "float32", "shape": shape}
    return _write(folder, {
        "format_version": "0.4.9",
        "type": "model",
        **_common(folder),
        "documentation": "README.md",
        "covers": ["cover.png"],
        "timestamp": "2022-03-01T00:00:00",
        "inputs": [{**tensor, "name": "input"}],
        "outputs": [{**tensor, "name": "output"}],
        "test_inputs": ["exampleImage.npy"],
        "test_outputs": ["resultImage.npy"],
        "config": {"deepimagej": {"allow_tiling": False, "pyramidal_model": False}},
        "weights": {
            "torchscript": {
                "source": "weights-torchscript.pt", "sha256": _sha256(folder / "weights-torchscript.pt"),
                "pytorch_version": "1.13.1",
            },
        },
    })  # fmt: skip


# --- through bioimageio.spec, which writes its newest format ------------------------------------------------


def _through_library(folder, target, axes, *, preprocessing=(), postprocessing=(), weights):
    """Describe the files of ``folder`` with the library's own classes and let it save the package, as a zip."""
    from bioimageio.spec import save_bioimageio_package
    from bioimageio.spec.model import v0_5

    more = _common(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        described = v0_5.ModelDescr(
            **{**more, "cite": [v0_5.CiteEntry(text="A paper", doi="10.1038/nmeth.2019")]},
            documentation=v0_5.FileDescr(source=folder / "README.md"),
            covers=[v0_5.FileDescr(source=folder / "cover.png")],
            inputs=[
                v0_5.InputTensorDescr(
                    id="input",
                    axes=axes(v0_5, v0_5.SpaceInputAxis, "input"),
                    test_tensor=v0_5.FileDescr(source=folder / "test_input.npy"),
                    preprocessing=[each(v0_5) for each in preprocessing],
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id="output",
                    axes=axes(v0_5, v0_5.SpaceOutputAxis, "output"),
                    test_tensor=v0_5.FileDescr(source=folder / "test_output.npy"),
                    postprocessing=[each(v0_5) for each in postprocessing],
                )
            ],
            weights=v0_5.WeightsDescr(**weights(v0_5)),
            version="0.1.0",
        )
        save_bioimageio_package(described, output_path=target)
    return target


def _fixed(spec, axis, name):
    """Axes of one patch size, in and out."""
    names = [spec.BatchAxis(), spec.ChannelAxis(channel_names=["channel"])]
    return names + [axis(id=letter, size=PATCH) for letter in "yx"]


def _free(spec, axis, name):
    names = [spec.BatchAxis(), spec.ChannelAxis(channel_names=["channel"])]
    if name == "input":
        return names + [axis(id=letter, size=spec.ParameterizedSize(min=64, step=16)) for letter in "yx"]
    size = {letter: spec.SizeReference(tensor_id="input", axis_id=letter) for letter in "yx"}
    return names + [spec.SpaceOutputAxisWithHalo(id=letter, size=size[letter], halo=16) for letter in "yx"]


def careamics(folder):
    """As CAREamics saves it: a state dict for a class of its library, one patch, fixed means on both sides."""
    folder.mkdir()
    torch.save(unet().state_dict(), folder / "weights.pth")
    (folder / "environment.yml").write_text("name: careamics\ndependencies:\n- pip:\n  - careamics\n")
    image = _image((PATCH, PATCH))
    mean, std = float(image.mean()), float(image.std())
    np.save(folder / "test_input.npy", image)
    np.save(folder / "test_output.npy", _run((image - mean) / std) * std + mean)

    def normalise(mean, std):
        return lambda spec: spec.FixedZeroMeanUnitVarianceDescr(
            kwargs=spec.FixedZeroMeanUnitVarianceAlongAxisKwargs(mean=[mean], std=[std], axis="channel")
        )

    def weights(spec):
        architecture = spec.ArchitectureFromLibraryDescr(
            import_from="careamics.models.unet", callable="UNet", kwargs={"depth": 2, "final_activation": None}
        )
        environment = spec.FileDescr(source=folder / "environment.yml")
        state = spec.PytorchStateDictWeightsDescr(
            source=folder / "weights.pth", architecture=architecture, pytorch_version="2.5.1", dependencies=environment
        )
        return {"pytorch_state_dict": state}

    return _through_library(
        folder, folder.with_suffix(".zip"), _fixed, preprocessing=[normalise(mean, std)],
        postprocessing=[normalise(-mean / std, 1 / std)], weights=weights,
    )  # fmt: skip


def biapy(folder):
    """As BiaPy saves it: a state dict with a file that imports its library, one patch, statistics of each sample."""
    folder.mkdir()
    torch.save(unet().state_dict(), folder / "checkpoint.pth")
    (folder / "model.py").write_text(
        UNET.replace("from torch import nn", "from torch import nn\nfrom biapy.models.blocks import get_norm_2d")
    )
    (folder / "environment.yaml").write_text("name: biapy\ndependencies:\n- pip:\n  - biapy\n")
    image = _image((PATCH, PATCH))
    np.save(folder / "test_input.npy", image)
    np.save(folder / "test_output.npy", _run(_standardised(image)))

    def per_sample(spec):
        kwargs = spec.ZeroMeanUnitVarianceKwargs(axes=["channel", "y", "x"])
        return spec.ZeroMeanUnitVarianceDescr(kwargs=kwargs)

    def weights(spec):
        architecture = spec.ArchitectureFromFileDescr(source=folder / "model.py", callable="UNet2d", kwargs={})
        environment = spec.FileDescr(source=folder / "environment.yaml")
        state = spec.PytorchStateDictWeightsDescr(
            source=folder / "checkpoint.pth", architecture=architecture, pytorch_version="2.5.1",
            dependencies=environment,
        )  # fmt: skip
        return {"pytorch_state_dict": state}

    return _through_library(
        folder, folder.with_suffix(".zip"), _fixed, preprocessing=[per_sample], weights=weights
    )  # fmt: skip


def newest(folder):
    """A package without any operation and with all formats, saved by the library in its newest format."""
    folder.mkdir()
    _weights(folder, "pytorch_state_dict", "torchscript", "onnx")
    (folder / "weights.pt").rename(folder / "weights.pth")
    image = _image((96, 128))
    np.save(folder / "test_input.npy", image)
    np.save(folder / "test_output.npy", _run(image))

    def weights(spec):
        architecture = spec.ArchitectureFromFileDescr(source=folder / "unet.py", callable="UNet2d", kwargs={})
        version = {"pytorch_version": "2.5.1"}
        parent = {"parent": "pytorch_state_dict"}
        return {
            "pytorch_state_dict": spec.PytorchStateDictWeightsDescr(
                source=folder / "weights.pth", architecture=architecture, **version
            ),
            "torchscript": spec.TorchscriptWeightsDescr(source=folder / "weights-torchscript.pt", **version, **parent),
            "onnx": spec.OnnxWeightsDescr(source=folder / "weights.onnx", opset_version=12, **parent),
        }

    return _through_library(folder, folder.with_suffix(".zip"), _free, weights=weights)


def description_of(package):
    """The description of a package, folder or zip, as it was written."""
    if Path(package).is_dir():
        return yaml.safe_load((package / "rdf.yaml").read_text())
    with zipfile.ZipFile(package) as archive:
        (name,) = [name for name in archive.namelist() if name in ("rdf.yaml", "bioimageio.yaml")]
        return yaml.safe_load(archive.read(name))
