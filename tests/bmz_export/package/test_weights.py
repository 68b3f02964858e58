"""The three weights formats of a package give the same pixels, at every size, in old runtimes too."""

import subprocess
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.building import noisy_image, random_model

from bmz_export.package import weights
from bmz_export.package.builder import build
from training.calibration.layer import Calibrated, Constants
from training.errors import UserError
from training.networks import NETWORKS, create

SIZES = [(1, 64, 64), (2, 41, 37), (3, 5, 7), (1, 1, 1)]
EVERY = pytest.mark.parametrize("network", sorted(NETWORKS))


def images(sizes=SIZES):
    rng = np.random.default_rng(1)
    return [rng.uniform(50, 250, (batch, 1, height, width)).astype(np.float32) for batch, height, width in sizes]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function from a network's name to the folder of its weights, each written once."""
    done = {}

    def write(network):
        if network not in done:
            folder = tmp_path_factory.mktemp(network)
            model = random_model(network, transform="anscombe", gain=2.0, margin=3)
            done[network] = (
                folder,
                model,
                weights.write_weights(model, network, NETWORKS[network].small_settings, folder, images()[:1]),
            )
        return done[network]

    return write


@EVERY
def test_all_formats_agree_at_every_size_and_batch(written, network):
    folder, model, files = written(network)
    differences = weights.verify(model, files.kwargs, folder, images())
    assert set(differences) == {"pytorch_state_dict", "torchscript", "onnx"}
    assert max(differences.values()) < 5e-5


def test_the_architecture_files_need_nothing_but_torch(written, tmp_path):
    image = images()[1]
    np.save(tmp_path / "image.npy", image)
    made = {name: written(name) for name in sorted(NETWORKS)}
    program = f"""
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import numpy, torch
for name, folder, kwargs in {[(name, str(folder), files.kwargs) for name, (folder, _, files) in made.items()]!r}:
    model = runpy.run_path(folder + "/architecture.py")["denoiser"](**kwargs)
    model.load_state_dict(torch.load(folder + "/weights.pth", weights_only=True))
    with torch.no_grad():
        numpy.save(name + ".npy", model.eval()(torch.from_numpy(numpy.load("image.npy"))).numpy())
assert not [name for name in sys.modules if name.split(".")[0] in ("training", "bmz_export", "bmz_fmd")]
"""
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, timeout=120)
    for name, (_, model, _) in made.items():
        with torch.no_grad():
            assert np.array_equal(np.load(tmp_path / f"{name}.npy"), model(torch.from_numpy(image)).numpy())


@EVERY
def test_torchscript_names_no_device_and_no_path_of_this_machine(written, network):
    folder, _, _ = written(network)
    with zipfile.ZipFile(folder / "weights.pt") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert b"torch.device(" not in content
            assert b"networks/dncnn.py" not in content and str(folder).encode() not in content


def test_torchscript_leaves_nothing_to_compile_at_a_new_size(written):
    """libtorch 1.13.1 and 2.0.0 compile groups of operations, for a minute; told to, today's torch groups alike."""
    archives = [str(written(network)[0] / "weights.pt") for network in sorted(NETWORKS)]
    program = f"""
import torch, warnings
warnings.simplefilter("ignore")
torch._C._jit_override_can_fuse_on_cpu(True)
torch._C._jit_set_te_must_use_llvm_cpu(False)
def groups(model):
    with torch.no_grad():
        for size in ((2, 1, 21, 37), (2, 1, 21, 37), (2, 1, 21, 37), (1, 1, 30, 23)):
            model(torch.rand(size))
    return str(torch.jit.last_executed_optimized_graph()).count("TensorExprGroup")
assert groups(torch.jit.trace(lambda x: torch.sigmoid(x * 2) + x, torch.rand(2, 1, 9, 9))) > 0  # it does see them
for archive in {archives!r}:
    assert groups(torch.jit.load(archive)) == 0, archive
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@EVERY
def test_onnx_is_what_the_oldest_reader_takes(written, network):
    folder, _, _ = written(network)
    model = onnx.load(folder / "weights.onnx", load_external_data=False)
    assert model.opset_import[0].version == 17
    assert model.ir_version <= 8
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    for value in (*model.graph.input, *model.graph.output):
        sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        assert [sizes[0], sizes[2], sizes[3]] == ["batch", "height", "width"]


def test_the_state_dict_is_plain_tensors_on_the_cpu(written):
    folder, model, _ = written("drunet")
    state = torch.load(folder / "weights.pth", weights_only=True)
    assert state.keys() == model.state_dict().keys()
    assert all(tensor.device.type == "cpu" for tensor in state.values())


def test_the_same_model_is_written_as_the_same_bytes(written, tmp_path):
    folder, _, files = written("dncnn")
    program = f"""
import sys, torch, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from training.calibration.layer import Calibrated, Constants
from training.networks import create
from bmz_export.package import weights
kwargs = {files.kwargs!r}
for name in sys.argv[1:]:
    model = Calibrated(create("dncnn", **kwargs["network"]), Constants(**kwargs["calibration"])).eval()
    model.load_state_dict(torch.load({str(folder / "weights.pth")!r}, weights_only=True))
    Path(name).mkdir()
    weights.write_torchscript(model, Path(name) / "weights.pt")
    weights.write_onnx(model, Path(name) / "weights.onnx")
    weights.write_state_dict(model, Path(name) / "weights.pth")
"""
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", program, name], cwd=tmp_path, check=True, timeout=120)
    for name in ("weights.pt", "weights.onnx", "weights.pth"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_formats_that_disagree_are_refused(written, tmp_path):
    folder, model, files = written("dncnn")
    for name in ("weights.pt", "weights.onnx", "architecture.py"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    state = torch.load(folder / "weights.pth", weights_only=True)
    state["denoiser.model.0.weight"] *= 1.01
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="pytorch_state_dict: the exported weights differ"):
        weights.verify(model, files.kwargs, tmp_path, images())


def test_weights_that_give_nan_are_refused(tmp_path):
    model = random_model("dncnn")
    with torch.no_grad():
        model.denoiser.model[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="NaN"):
        weights.write_weights(model, "dncnn", NETWORKS["dncnn"].small_settings, tmp_path, images()[:1])


class NamesDevice(torch.nn.Module):
    """Makes a tensor while it runs, which a trace ties to the device it was traced on."""

    def forward(self, image):
        return image + torch.zeros(1)


def test_a_network_that_names_a_device_is_refused(tmp_path):
    with pytest.raises(UserError, match="names a device"):
        weights.write_torchscript(NamesDevice().eval(), tmp_path / "weights.pt")


def test_settings_are_written_plain_and_without_null(written):
    _, _, files = written("drunet")
    assert files.kwargs["network"] == {"widths": [4, 6, 8, 10], "blocks": 1}
    assert None not in files.kwargs["calibration"].values()
    assert files.kwargs["calibration"]["noise_map"] is True


def test_the_onnx_file_runs_without_torch(written):
    folder, model, _ = written("dncnn")
    session = onnxruntime.InferenceSession(folder / "weights.onnx", providers=["CPUExecutionProvider"])
    image = noisy_image().astype(np.float32)[None, None]
    with torch.no_grad():
        expected = model(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(session.run(None, {"raw": image})[0], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@EVERY
def test_a_full_size_network_becomes_a_package(network, tmp_path):
    """Random weights, as published in size; each takes up to minutes and 3.4 GB of memory."""
    torch.manual_seed(0)
    entry = NETWORKS[network]
    model = Calibrated(
        create(network),
        Constants("anscombe", noise_map=entry.noise_map, multiple=entry.stride, gain=2.0, scale=300.0, sigma=0.1),
    ).eval()
    built = build(tmp_path, model, network=network, example=noisy_image(260, 270))
    assert (built.tiling.minimum, built.tiling.halo) == ((64, (24, 24)) if network == "dncnn" else (256, (96, 96)))
    assert (tmp_path / "weights.onnx").stat().st_size < 2**31
