"""Scores: PSNR and SSIM with a stated range, raw and affine, and the noise an image shows by itself."""

import math

import numpy as np
import pytest

from training.calibration.intensity import fit_affine
from training.calibration.noise import noise_level
from training.evaluation.metrics import mean_and_deviation, psnr, ssim


@pytest.fixture
def clean():
    return np.random.default_rng(0).uniform(0, 255, (40, 50))


def test_psnr_is_that_of_the_mean_square_error_against_the_stated_range(clean):
    assert psnr(clean, clean + 5, data_range=255) == pytest.approx(20 * math.log10(255 / 5))


def test_equal_images_score_100_db_and_an_ssim_of_one(clean):
    assert psnr(clean, clean, data_range=255) == 100
    assert psnr(clean, clean + 1e-9, data_range=255) == 100
    assert ssim(clean, clean, data_range=255) == pytest.approx(1)


def test_the_affine_convention_forgives_gain_and_offset_and_nothing_else(clean):
    noise = np.random.default_rng(1).normal(0, 5, clean.shape)
    scaled = 3 * (clean + noise) - 70
    assert psnr(clean, scaled, data_range=255) < 10
    assert psnr(clean, scaled, data_range=255, convention="affine") == pytest.approx(20 * math.log10(255 / 5), abs=0.2)
    assert ssim(clean, scaled, data_range=255, convention="affine") > 0.95


def test_the_affine_fit_finds_slope_and_offset_and_survives_a_constant_image(clean):
    assert fit_affine(clean, 2 * clean + 3) == pytest.approx((2, 3))
    assert fit_affine(np.ones_like(clean), clean) == (0.0, pytest.approx(clean.mean()))


def test_float32_images_are_scored_without_losing_digits(clean):
    high = (clean + 1e6).astype(np.float32)
    assert psnr(high, high.astype(np.float64) + 5, data_range=255) == pytest.approx(20 * math.log10(255 / 5), abs=1e-3)


@pytest.mark.parametrize("shape", [(4, 60), (3, 3), (6, 6)])
def test_ssim_takes_a_smaller_window_in_smaller_images(shape):
    image = np.random.default_rng(0).uniform(0, 1, shape)
    assert ssim(image, image, data_range=1) == pytest.approx(1)


def test_an_image_too_narrow_for_a_window_has_no_ssim():
    assert math.isnan(ssim(np.ones((2, 9)), np.ones((2, 9)), data_range=1))


@pytest.mark.parametrize("sigma", [0.5, 20])
def test_the_noise_level_is_read_from_one_image_over_smooth_structure(sigma):
    y, x = np.mgrid[:200, :200]
    smooth = 100 * np.sin(x / 20) * np.cos(y / 30)
    noisy = smooth + np.random.default_rng(0).normal(0, sigma, smooth.shape)
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.05)


def test_an_image_of_one_pixel_shows_no_noise():
    assert noise_level(np.ones((1, 1))) == 0


@pytest.mark.parametrize("convention", ["raw", "affine"])
@pytest.mark.parametrize("score", [psnr, ssim])
def test_a_constant_clean_image_has_no_score(score, convention, clean):
    dead = np.zeros((20, 20))
    assert math.isnan(score(dead, dead, data_range=255, convention=convention))
    assert not math.isnan(score(clean, np.zeros_like(clean), data_range=255, convention=convention))


def test_means_run_over_the_figures_that_exist():
    assert mean_and_deviation([1, math.nan, 3]) == (2, 1)
    assert all(map(math.isnan, mean_and_deviation([math.nan])))


def test_a_volume_is_scored_as_its_planes_are(clean):
    noisy = clean + np.random.default_rng(1).normal(0, 5, clean.shape)
    planes = [ssim(clean, image, data_range=255) for image in (noisy, clean)]
    assert ssim(np.stack([clean, clean]), np.stack([noisy, clean]), data_range=255) == pytest.approx(np.mean(planes))
