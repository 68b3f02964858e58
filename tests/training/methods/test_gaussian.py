"""Pre-training on photographs: fresh noise of every level in each step, judged by the data set's own level."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as images

import bmz_fmd
from training.calibration.intensity import Range
from training.calibration.layer import Calibrated, Constants
from training.checkpoints import load_weights
from training.data import DataSettings, open_dataset
from training.errors import DataError, UserError
from training.methods import METHODS
from training.networks import create
from training.runs.run import open_run


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return a folder of twelve photographs, one of them in colour and one in a subfolder."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    camera, cat = images.camera(), images.cat()
    for number in range(10):
        row, column = 40 * number, 30 * number
        Image.fromarray(camera[row : row + 96, column : column + 96]).save(folder / f"{number:02d}.png")
    Image.fromarray(camera[200:296, 100:196]).save(folder / "more" / "00.png")
    Image.fromarray(cat[60:156, 100:196]).save(folder / "colour.jpg", quality=95)
    return folder


def opened(folder, **options):
    settings = DataSettings(dataset="photographs", options={"data": folder, **options})
    return open_dataset(settings, test_fraction=0.2, seed=0)


def samples(dataset):
    return {sample.name: sample for sample in (*dataset.train, *dataset.validation, *dataset.test)}


def test_photographs_are_gray_and_their_noise_is_of_the_level_that_was_asked_for(photographs):
    found = samples(opened(photographs, sigma=40))
    assert len(found) == 12
    noise = np.concatenate([np.subtract(*sample.pair()).ravel() for sample in found.values()])
    assert noise.std() == pytest.approx(40, rel=0.01)
    assert abs(noise.mean()) < 0.5
    assert found["colour"].clean.read().shape == (96, 96)


def test_noise_is_the_same_whenever_it_is_read_and_another_in_each_photograph(photographs):
    first, again = samples(opened(photographs)), samples(opened(photographs))
    noise = {name: np.subtract(*sample.pair()) for name, sample in first.items()}
    assert all(np.array_equal(noise[name], np.subtract(*again[name].pair())) for name in noise)
    assert not np.array_equal(noise["00"], noise["more_00"])
    part = (slice(10, 30), slice(5, 50))
    assert np.array_equal(first["00"].frame(part), first["00"].frame()[part])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"no picture", "a.png cannot be read as a photograph: take it away"),
        ("notes.txt", b"text", "holds no photograph: give a folder of PNG, JPEG or TIFF"),
    ],
)
def test_what_is_no_photograph_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        opened(tmp_path)


def test_a_photograph_of_16_bits_is_refused(tmp_path):
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png has more than 8 bits a pixel: give photographs of 8 bits"):
        opened(tmp_path)


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory):
    """Return the run of a DRUNet, small enough to learn from twelve photographs in seconds."""
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        bmz_fmd.train(
            dataset="photographs", data=photographs, method="gaussian", network="drunet", checkpoint="none",
            network_settings={"widths": (8, 12, 16, 20), "blocks": 1}, name="pre",
            epochs=40, batch=8, crop=48, lr=3e-3, augment="flip", test_fraction=0.2,
        )  # fmt: skip
    return open_run(here / "runs" / "pre")


def test_each_patch_has_a_level_of_its_own_which_the_noise_map_holds():
    given = []

    class Recorder(torch.nn.Module):
        def forward(self, image):
            given.append(image)
            return image[:, :1]

    method = METHODS["gaussian"]("mse", 0.0, Range(0.0, 255.0))
    clean = torch.full((64, 1, 32, 32), 100.0)
    batch = method.batch((clean, clean), np.random.default_rng(0))
    model = Calibrated(Recorder(), Constants(noise_map=True, scale=255.0, sigma=25 / 255))
    loss = method.loss(model, batch)
    levels = given[0][:, 1, 0, 0] * 255
    assert torch.equal(given[0][:, 1], given[0][:, 1, :1, :1].expand(64, 32, 32))
    assert 0 <= levels.min() < 5
    assert 45 < levels.max() <= 50
    assert torch.allclose((batch[0] - clean).std(dim=(1, 2, 3)), levels, rtol=0.15)
    assert float(loss) == pytest.approx(float((levels / 255).square().mean()), rel=0.05)
    assert float(model.sigma) == pytest.approx(25 / 255)


def test_the_run_is_calibrated_for_photographs_of_the_level_of_their_noise(trained):
    constants = trained.provenance.calibration
    assert (constants["transform"], constants["offset"], constants["scale"]) == ("affine", 0, 255)
    assert constants["sigma"] * 255 == pytest.approx(25, rel=0.05)
    judged = trained.provenance.validation
    assert judged.denoised > judged.noisy
    assert trained.history()[-1]["psnr"] > judged.noisy + 2


def test_another_run_starts_from_its_weights(trained):
    network = create("drunet", widths=(8, 12, 16, 20), blocks=1)
    load_weights(trained.checkpoint(), network)
    weights = trained.model().denoiser.state_dict()
    assert all(np.array_equal(weights[key], value) for key, value in network.state_dict().items())


def test_images_that_are_no_photographs_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="`method` gaussian learns from photographs of 0 to 255"):
        bmz_fmd.train(
            dataset="simulated", options={"images": 6, "size": 64}, method="gaussian", network="dncnn",
            network_settings={"depth": 3, "width": 8}, checkpoint="none", epochs=1,
        )  # fmt: skip
