"""Pictures: they are written whole, show what they should, and stay within what a web site takes."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from training.evaluation.cover import COVER_BYTES, cover
from training.evaluation.pictures import Shown, bar_length, busiest_window, curves, panel


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
    row = Shown("a_very_long_name_of_a_field_of_view_001", noisy, clean, clean, 20.0, math.nan)
    panel([row], tmp_path / "panel.png", pixel_size=(0.1, 0.1, "µm"), unit="photons")
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


def test_a_cover_shows_where_there_is_signal():
    image = np.zeros((600, 400), np.float32)
    image[500:520, 40:60] = np.arange(400, dtype=np.float32).reshape(20, 20)
    left = np.asarray(Image.open(io.BytesIO(cover(image, image))))[:, :400]
    assert (left[100:] > 128).any()


def test_the_part_that_is_shown_is_the_one_that_varies_most():
    image = np.full((90, 120), 1000.0)
    image[70:75, 10:15] += np.arange(5)
    y, x = busiest_window(image, 20)
    assert y.start <= 70 and y.stop >= 75 and x.start <= 10 and x.stop >= 15
    assert (y.stop - y.start, x.stop - x.start) == (20, 20)


@pytest.mark.parametrize(
    ("pixel", "width", "length"), [(0.1, 512, 10), (0.065, 512, 5), (1, 64, 10), (2.5e-3, 100, 0.05), (0.4, 100, 10)]
)
def test_a_scale_bar_has_a_round_length_of_at_most_a_quarter_of_the_width(pixel, width, length):
    assert bar_length(pixel, width) == pytest.approx(length)
