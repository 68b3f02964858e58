"""Networks of spandrel by name: one channel in and out, settings read off weights, packages without a state dict."""

import sys

import numpy as np
import pytest
import torch

from bmz_export.exporting import export
from bmz_export.opening import open_denoiser
from bmz_export.package.reading import read_description
from bmz_export.package.weights import TORCHSCRIPT, write_weights
from training.calibration.layer import Calibrated, Constants
from training.data.settings import DataSettings
from training.errors import CheckpointError, SettingError, UserError
from training.fitting.start import Request, new_run
from training.fitting.trainer import train
from training.networks import NETWORKS, create, is_known
from training.runs.run import open_run
from training.runs.settings import check_network

COLOURS = {"in_nc": 3, "out_nc": 3, "nc": 4, "nb": 8, "act_mode": "R"}
SWIN = {"in_chans": 1, "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8}
DATA = DataSettings(dataset="simulated", options={"images": 8, "size": 64})


@pytest.fixture(autouse=True)
def spandrel():
    """Skip where spandrel is missing; leave the registry of networks as it was."""
    library = pytest.importorskip("spandrel", reason="needs spandrel: pip install bmz-fmd[spandrel]")
    before = dict(NETWORKS)
    yield library
    NETWORKS.clear()
    NETWORKS.update(before)


def test_a_network_of_colours_is_given_the_image_three_times_and_its_results_are_averaged(spandrel):
    ours = create("spandrel:DnCNN", **COLOURS).eval()
    theirs = spandrel.MAIN_REGISTRY.load(ours.state_dict())
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs.model.eval()(image.repeat(1, 3, 1, 1)).mean(1, keepdim=True))


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("spandrel:Nothing", {}, "spandrel knows no Nothing; it knows .*SwinIR"),
        ("spandrel:SPAN", {"num_in_ch": 3, "num_out_ch": 3}, "makes images 4 times as large"),
        ("spandrel:DnCNN", {"depth": 3}, "has no setting 'depth'; it has in_nc"),
        ("spandrel:DnCNN", {"in_nc": 3}, "cannot be built with .*in_nc == out_nc"),
        ("spandrel:SPAN", {}, "cannot be built with"),
    ],
)
def test_what_is_no_denoiser_of_one_channel_is_refused_in_a_line(name, settings, says):
    with pytest.raises(ValueError, match=says):
        create(name, **settings)


def test_without_spandrel_it_is_said_how_to_install_it(monkeypatch):
    NETWORKS.pop("spandrel:DnCNN", None)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(
        SettingError, match=r'`network` spandrel:DnCNN: spandrel is not installed: pip install "bmz-fmd'
    ):
        check_network("spandrel:DnCNN")


def test_published_weights_tell_the_settings_and_are_fine_tuned_and_exported_without_a_state_dict(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "theirs.pth"
    torch.save({"params": create("spandrel:DnCNN", **COLOURS).state_dict()}, file)
    changes = {"epochs": 1, "crop": 32}
    request = Request(data=DATA, network="spandrel:DnCNN", checkpoint=str(file), changes=changes, name="tuned")
    run, dataset, _ = new_run(request, tmp_path / "runs")
    assert run.settings.network_settings["in_nc"] == 3
    run = train(run, dataset=dataset, device="cpu")
    package = export(run, out=tmp_path / "packages")

    description = read_description(package.folder / "rdf.yaml")
    assert set(description.weights) == {"torchscript", "onnx"}
    assert "licence nobody stated" in (package.folder / "README.md").read_text()
    assert "architecture.py" not in {path.name for path in package.folder.iterdir()}
    image = run.dataset().test[0].noisy[0].read()[None, None].astype(np.float32)
    expected = open_run(run.folder).denoiser(device="cpu").predict(image)
    np.testing.assert_allclose(open_denoiser(package.archive).predict(image), expected, rtol=1e-3, atol=0.1)


def test_weights_of_another_network_are_named(tmp_path):
    torch.save(create("spandrel:DnCNN", **COLOURS).state_dict(), tmp_path / "theirs.pth")
    request = Request(data=DATA, network="spandrel:SwinIR", checkpoint=str(tmp_path / "theirs.pth"))
    with pytest.raises(CheckpointError, match="its weights are of spandrel:DnCNN: give `network` spandrel:DnCNN"):
        new_run(request, tmp_path / "runs")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="recognises no network"):
        new_run(
            Request(data=DATA, network="spandrel:SwinIR", checkpoint=str(tmp_path / "other.pth")), tmp_path / "runs"
        )


def written(name, settings, folder):
    """Write a package's weights and return how far the formats are off, over several sizes and batches."""
    torch.manual_seed(0)
    model = Calibrated(create(name, **settings), Constants(multiple=64, offset=100, scale=900)).eval()
    rng = np.random.default_rng(0)
    images = [rng.uniform(50, 1000, shape).astype(np.float32) for shape in [(1, 1, 70, 90), (2, 1, 30, 64)]]
    return write_weights(model.requires_grad_(False), name, settings, folder, images).differences


def test_swinir_is_written_for_every_size_and_batch_and_names_no_device(tmp_path):
    assert max(written("spandrel:SwinIR", SWIN, tmp_path).values()) < 1e-5
    assert b"torch.device(" not in (tmp_path / TORCHSCRIPT).read_bytes()


def test_code_of_which_no_torchscript_can_be_made_is_told_in_a_line(tmp_path):
    settings = {"img_channel": 1, "width": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    with pytest.raises(UserError, match="no TorchScript and ONNX can be made of spandrel's code for it") as told:
        written("spandrel:NAFNet", settings, tmp_path)
    assert "\n" not in str(told.value)


def test_a_name_without_the_prefix_needs_no_spandrel():
    assert is_known("unet")
    assert not is_known("SwinIR")
