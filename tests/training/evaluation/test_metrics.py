"""Scores: PSNR and SSIM with a stated range, raw and affine, and the noise an image shows by itself."""

import math

import numpy as np
import pytest

from training.calibration.intensity import fit_affine
from training.calibration.noise import noise_level
from training.evaluation.metrics import (
    brought_together,
    gradient_ratio,
    mae,
    mean_and_deviation,
    mean_gradient,
    nrmse,
    psnr,
    ssim,
)


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


class TestConventions:
    """What CARE and AUTO-DIP count by, written out plainly."""

    @pytest.fixture
    def images(self):
        rng = np.random.default_rng(3)
        clean = 100 + 50 * np.sin(np.arange(48) / 5)[:, None] * np.cos(np.arange(40) / 4)[None]
        return clean, 3 * clean + 40 + rng.normal(0, 60, clean.shape), 3 * clean + 40 + rng.normal(0, 15, clean.shape)

    def test_percentile_is_as_care_normalises_and_fits(self, images):
        clean, noisy, denoised = images
        low, high = np.percentile(clean, 0.1), np.percentile(clean, 99.9)
        normalised = (clean - low) / (high - low)
        centred = denoised - denoised.mean()
        alpha = np.mean(centred * (normalised - normalised.mean())) / np.mean(centred**2)
        fitted = alpha * centred + normalised.mean()
        peak = normalised.max() - normalised.min()
        wanted = 10 * np.log10(peak**2 / np.mean((fitted - normalised) ** 2))
        reference, (found,), extent = brought_together("percentile", clean, noisy, [denoised], 1.0)
        assert psnr(reference, found, data_range=extent) == pytest.approx(wanted, abs=1e-6)

    def test_minmax_scales_by_the_noisy_image(self, images):
        clean, noisy, denoised = images
        extent = noisy.max() - noisy.min()
        wanted = -10 * np.log10(np.mean((denoised - clean) ** 2) / extent**2)
        reference, (found,), peak = brought_together("minmax", clean, noisy, [denoised], 1.0)
        assert peak == 1.0
        assert psnr(reference, found, data_range=peak) == pytest.approx(wanted, abs=1e-6)

    def test_raw_and_affine_count_from_the_peak_that_is_given(self, images):
        clean, noisy, denoised = images
        for convention in ("raw", "affine"):
            reference, (found,), peak = brought_together(convention, clean, noisy, [denoised], 255.0)
            assert psnr(reference, found, data_range=peak) == pytest.approx(
                psnr(clean, denoised, data_range=255.0, convention=convention)
            )

    def test_a_constant_clean_image_has_no_score(self):
        flat = np.full((20, 20), 7.0)
        reference, (found,), peak = brought_together("percentile", flat, flat + 1, [flat + 2], 1.0)
        assert all(np.isnan(score(reference, found)) for score in (mae, nrmse, gradient_ratio))
        assert np.isnan(psnr(reference, found, data_range=peak))


def test_errors_and_gradients_are_those_of_their_formulas():
    clean = np.add.outer(np.arange(30.0), 2 * np.arange(20.0))
    noisy = clean + np.random.default_rng(0).normal(0, 2, clean.shape)
    assert mae(clean, noisy) == pytest.approx(np.mean(np.abs(noisy - clean)))
    assert nrmse(clean, noisy) == pytest.approx(np.sqrt(np.mean((noisy - clean) ** 2)) / np.ptp(clean))
    assert mean_gradient(clean) == pytest.approx(np.sqrt(5))
    assert gradient_ratio(clean, clean / 2) == pytest.approx(-0.5)
    assert gradient_ratio(clean, noisy) > 0.05
