"""Images by the deep image prior: scaled by themselves, in tiles that overlap."""

import numpy as np
import pytest

from training.errors import UserError
from training.prior import denoising
from training.prior.configuration import Configuration
from training.prior.denoising import denoise_plane, windows

SMALL = Configuration(depth=2, width=4, skip=2, iterations=3)


@pytest.mark.parametrize(
    ("length", "spans"),
    [
        (100, [(0, 100)]), (512, [(0, 512)]), (513, [(0, 512), (384, 513)]),
        (1024, [(0, 512), (384, 896), (768, 1024)]),
        (2048, [(384 * number, 384 * number + 512) for number in range(5)]),
    ],
)  # fmt: skip
def test_tiles_are_the_published_ones(length, spans):
    found = windows((length, 64), depth=4)
    assert [(rows.start, rows.stop) for rows, _ in found] == spans
    assert {(columns.start, columns.stop) for _, columns in found} == {(0, 64)}


def test_a_last_tile_that_would_be_too_small_reaches_back():
    assert [(rows.start, rows.stop) for rows, _ in windows((1024, 512), depth=8)][-1] == (767, 1024)


def test_tiles_are_averaged(monkeypatch):
    monkeypatch.setattr(denoising, "TILE", 32)
    monkeypatch.setattr(denoising, "OVERLAP", 8)
    noisy = np.random.default_rng(0).uniform(100, 900, (48, 30)).astype(np.float32)
    whole = denoise_plane(noisy, SMALL, seed=0)
    low, extent = noisy.min(), np.ptp(noisy)
    parts = [denoising.fit((noisy[rows] - low) / extent, SMALL, seed=0).image for rows in (slice(0, 32), slice(24, 48))]
    expected = np.concatenate([parts[0][:24], (parts[0][24:] + parts[1][:8]) / 2, parts[1][8:]]) * extent + low
    np.testing.assert_allclose(whole, expected, rtol=1e-5)


def test_a_scaled_image_gives_the_scaled_result_and_a_constant_one_itself():
    noisy = np.random.default_rng(0).integers(0, 256, (24, 24)).astype(np.float32)
    scaled, plain = (denoise_plane(image, SMALL, seed=0) for image in (noisy * 64 + 96, noisy))
    np.testing.assert_allclose(scaled, plain * 64 + 96, rtol=1e-4)
    flat = np.full((24, 24), 7, np.float32)
    np.testing.assert_array_equal(denoise_plane(flat, SMALL, seed=0), flat)


def test_stages_show_the_image_so_far(monkeypatch):
    monkeypatch.setattr(denoising, "TILE", 32)
    monkeypatch.setattr(denoising, "OVERLAP", 8)
    noisy = np.random.default_rng(0).uniform(100, 900, (48, 30)).astype(np.float32)
    stages = []
    result = denoise_plane(noisy, SMALL, seed=0, every=3, watch=stages.append)
    assert [(stage.tile, stage.tiles, stage.iteration.number) for stage in stages] == [(1, 2, 3), (2, 2, 3)]
    np.testing.assert_allclose(stages[0].so_far[32:], noisy[32:], rtol=1e-5)
    np.testing.assert_allclose(stages[0].so_far[:24], result[:24], rtol=1e-5)


def test_too_small_is_one_line_before_anything_is_fitted():
    with pytest.raises(UserError, match="the largest depth that fits is 4"):
        denoise_plane(np.eye(20, dtype=np.float32), SMALL.model_copy(update={"depth": 5}), seed=0)
