"""BM3D: the figures of its paper, and what any image does in it."""

import numpy as np
import pytest
from PIL import Image

from training.errors import UserError
from training.evaluation.baselines import bm3d as module
from training.evaluation.baselines.bm3d import bm3d
from training.evaluation.metrics import psnr


def noisy_and_clean(path, sigma=25):
    clean = np.asarray(Image.open(path).convert("L"), np.float32)
    return clean + np.random.default_rng(0).normal(0, sigma, clean.shape).astype(np.float32), clean


@pytest.mark.slow
def test_set12_at_25_has_the_published_mean(shared):
    scores = []
    for path in sorted(shared("data/set12").glob("*.png")):
        noisy, clean = noisy_and_clean(path)
        scores.append(psnr(clean, bm3d(noisy, 25), data_range=255))
    assert len(scores) == 12
    assert np.mean(scores) == pytest.approx(29.97, abs=0.1)


def test_a_crop_of_set12_has_its_known_figure(shared):
    noisy, clean = noisy_and_clean(shared("data/set12") / "02.png")
    noisy, clean = noisy[64:160, 64:160], clean[64:160, 64:160]
    assert psnr(clean, noisy, data_range=255) == pytest.approx(20.1, abs=0.1)
    assert psnr(clean, bm3d(noisy, 25), data_range=255) == pytest.approx(31.49, abs=0.1)


def stripes(shape=(40, 47)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (300 + 40 * np.sign(np.sin(rows / 3 + columns / 5))).astype(np.float32)


def test_units_do_not_matter():
    noisy = stripes() + np.random.default_rng(0).normal(0, 10, (40, 47)).astype(np.float32)
    scaled = (bm3d(noisy * 20 - 900, 200) + 900) / 20
    assert np.abs(scaled - bm3d(noisy, 10)).mean() < 0.05  # rounding moves single coefficients over the threshold


def test_strips_do_not_show(monkeypatch):
    noisy = stripes() + np.random.default_rng(0).normal(0, 10, (40, 47)).astype(np.float32)
    whole = bm3d(noisy, 10)
    monkeypatch.setattr(module, "_TILE", 3)
    monkeypatch.setattr(module, "_SIDE", 2 * module._STEP + module._SEEN)
    assert np.abs(bm3d(noisy, 10) - whole).mean() < 0.05


def test_what_has_no_noise_stays():
    flat = np.full((20, 30), 7.5, np.float32)
    np.testing.assert_array_equal(bm3d(flat, 3), flat)
    np.testing.assert_array_equal(bm3d(stripes(), 0), stripes())
    np.testing.assert_allclose(bm3d(stripes(), 0.01), stripes(), atol=0.02)


def test_a_flat_noisy_image_becomes_flat_at_its_mean():
    noisy = np.random.default_rng(0).normal(1000, 10, (64, 64)).astype(np.float32)
    denoised = bm3d(noisy, 10)
    assert denoised.std() < 1.5
    assert denoised.mean() == pytest.approx(noisy.mean(), abs=0.3)


@pytest.mark.parametrize("shape", [(8, 8), (8, 40), (9, 31), (32, 8), (33, 35)])
def test_any_size_from_a_block_on_is_taken(shape):
    noisy = stripes(shape) + np.random.default_rng(0).normal(0, 5, shape).astype(np.float32)
    denoised = bm3d(noisy, 5)
    assert denoised.shape == shape
    assert np.isfinite(denoised).all()
    assert np.abs(denoised - stripes(shape)).mean() < 5


def test_an_image_below_a_block_is_refused_in_one_line():
    with pytest.raises(UserError, match="7 x 30 pixels are too few for BM3D"):
        bm3d(np.zeros((7, 30), np.float32), 1)
