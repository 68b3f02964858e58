"""LPIPS: that of its definition where weights lie here, and one line where they do not."""

import numpy as np
import pytest
import torch

from training.data import Sample
from training.errors import UserError
from training.prior import perceptual
from training.prior.calibration import Grid, calibrate
from training.prior.tables import read_table
from training.util.progress import Listener

GRID = Grid(depths=(1, 2), widths=(4,), skips=(2,), iterations=4, every=2)


def images(side=32):
    rows, columns = np.mgrid[:side, :side]
    clean = (0.5 + 0.4 * np.sin(rows / 5) * np.cos(columns / 7)).astype(np.float32)
    return np.random.default_rng(0).normal(clean, 0.1).astype(np.float32), clean


@pytest.fixture
def forgotten():
    perceptual.lpips.cache_clear()
    yield
    perceptual.lpips.cache_clear()


@pytest.fixture
def weights(tmp_path, monkeypatch, forgotten):
    """AlexNet with random weights in the place of the published ones, and its features."""
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.manual_seed(0)
    network = models.alexnet(weights=None).eval()
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth")
    return network.features


def test_it_is_the_weighted_distance_of_normalised_features(weights):
    from torchmetrics.functional.image import lpips as module

    path = module.__file__.replace("lpips.py", "lpips_models/alex.pth")
    heads = list(torch.load(path, map_location="cpu", weights_only=True).values())
    noisy, clean = images(40)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    expected, features = 0.0, [(torch.tensor(each).expand(1, 3, 40, 40) - mean) / deviation for each in (noisy, clean)]
    for number, layer in enumerate(weights[:12]):
        with torch.inference_mode():
            features = [layer(each) for each in features]
        if number in (1, 4, 7, 9, 11):
            first, second = (each / (each.norm(dim=1, keepdim=True) + 1e-8) for each in features)
            expected += float(((first - second) ** 2 * heads.pop(0)).sum(1).mean())
    distance = perceptual.lpips()
    assert distance(noisy, clean) == pytest.approx(expected, rel=1e-3)
    assert distance(clean, clean) == 0
    with pytest.raises(UserError, match="30 x 32 pixels are too few for LPIPS"):
        distance(clean[:30, :32], clean[:30, :32])


def test_a_calibration_ranks_by_it(weights, tmp_path):
    calibrate([Sample.of_arrays("crop", *images())], tmp_path / "table.csv", GRID, by=("lpips",))
    rows = read_table(tmp_path / "table.csv").rows
    assert all(row.lpips > 0 and row.psnr is None for row in rows)


def test_without_its_weights_psnr_ranks_which_is_noted_and_lpips_alone_is_refused(tmp_path, monkeypatch, forgotten):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    notes, sample = [], Sample.of_arrays("crop", *images())
    calibrate([sample], tmp_path / "table.csv", GRID, listener=Listener(note=notes.append))
    assert "torchvision.models.alexnet" in notes[0] and notes[0].endswith("ranks are by PSNR alone")
    assert all(row.lpips is None for row in read_table(tmp_path / "table.csv").rows)
    with pytest.raises(UserError, match=r"`by` lpips: LPIPS cannot be computed here.*rank by psnr"):
        calibrate([sample], tmp_path / "other.csv", GRID, by=("lpips",))
