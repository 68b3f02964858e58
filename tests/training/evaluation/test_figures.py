"""Pictures: they are written whole, show what they should, and stay within what a web site takes."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from training.evaluation.pictures import COVER_BYTES, cover, curves, panel


def width(path):
    with Image.open(path) as image:
        return image.width


def row(epoch, loss):
    return {
        "epoch": epoch,
        "lr": 1e-3,
        "train_loss": loss,
        "validation_loss": 0.1,
        "psnr": 30 + epoch,
        "ssim": 0.8,
        "seconds": 1.0,
    }


def test_curves_are_drawn_also_when_only_the_start_is_known(tmp_path):
    curves([row(0, math.nan)], tmp_path / "start.png", best_epoch=0)
    curves([row(0, math.nan), row(1, 0.3), row(2, 0.2)], tmp_path / "curves.png", best_epoch=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "start.png"]
    assert width(tmp_path / "curves.png") > 800


@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (700, 600)])
def test_a_panel_takes_images_of_any_size_and_even_of_one_value(tmp_path, shape):
    rng = np.random.default_rng(0)
    clean = np.full(shape, 7, dtype=np.float32)
    noisy = clean + rng.normal(0, 1, shape).astype(np.float32)
    panel([("a_very_long_name_of_a_field_of_view_001", noisy, clean, clean)], tmp_path / "panel.png")
    assert width(tmp_path / "panel.png") > 1000


def test_a_cover_is_twice_as_wide_as_high_with_before_left_and_after_right():
    after = np.linspace(0, 1, 64 * 64).reshape(64, 64).astype(np.float32)
    before = after + np.random.default_rng(0).normal(0, 0.3, after.shape).astype(np.float32)
    image = Image.open(io.BytesIO(cover(before, after)))
    assert image.width == 2 * image.height
    pixels = np.asarray(image, dtype=float)
    left, right = pixels[:, : image.height], pixels[:, image.height :]
    assert np.abs(np.diff(left, axis=1)).mean() > 3 * np.abs(np.diff(right, axis=1)).mean()


@pytest.mark.parametrize("shape", [(2048, 2048), (300, 20), (1, 1)])
def test_a_cover_is_light_even_of_pure_noise(shape):
    noise = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    assert len(cover(noise, noise)) < COVER_BYTES
