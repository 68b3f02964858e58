"""The error bar: it holds the stated share of clean pixels of images that it was not fixed on."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from training.data import Sample
from training.errors import UserError
from training.evaluation.trust import fit_interval
from training.inference.denoiser import Denoiser

DENOISER = Denoiser(
    lambda batch: np.stack([gaussian_filter(image, (0, 1.5, 1.5)) for image in batch]), halo=(6, 6), stride=(1, 1)
)


def pairs(count, seed=0, size=128):
    """Yield images of blurred grains with noise that grows with intensity, of different brightness."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        grains = gaussian_filter(rng.normal(size=(size, size)), 4)
        clean = 100 + rng.uniform(50, 150) * np.clip(1 + grains / grains.std() * 0.5, 0.1, None)
        noisy = clean + rng.normal(size=clean.shape) * np.sqrt(2 * (clean - 95))
        yield Sample.of_arrays(f"image_{number}", noisy.astype(np.float32), (3 * clean + 7).astype(np.float32))


@pytest.mark.parametrize("share", [0.8, 0.9])
def test_held_out_clean_pixels_lie_within_it_as_often_as_stated(share):
    interval = fit_interval(list(pairs(20)), DENOISER, share=share)
    assert len(interval.held) == len(interval.calibrated) == 10
    assert set(interval.held).isdisjoint(interval.calibrated)
    assert interval.coverage == pytest.approx(share, abs=0.03)
    assert fit_interval(list(pairs(20)), DENOISER, share=share) == interval


def test_it_is_wider_where_the_image_is_brighter():
    interval = fit_interval(list(pairs(4)), DENOISER)
    noisy = next(pairs(1, seed=3)).frame()
    width = interval.half_width(noisy)
    assert width.shape == noisy.shape
    assert np.corrcoef(width.ravel(), gaussian_filter(noisy, 2).ravel())[0, 1] > 0.9


def test_the_sentence_says_how_much_is_certain_with_so_few_images():
    interval = fit_interval(list(pairs(4)), DENOISER)
    assert interval.guaranteed == pytest.approx(0.6)  # two thirds of 0.9
    assert "as fixed on 2 images (at least 60 % is certain for images like these)" in interval.sentence()
    assert "in 2 images not used for it" in interval.sentence()


def test_what_is_not_possible_is_said():
    with pytest.raises(UserError, match="two pairs or more"):
        fit_interval(list(pairs(1)), DENOISER)
    with pytest.raises(UserError, match="`share` 90"):
        fit_interval(list(pairs(2)), DENOISER, share=90)
