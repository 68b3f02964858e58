"""The error bar: in the promised share of images it holds the stated share of clean pixels."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from training.data import Sample
from training.errors import UserError
from training.evaluation.trust import judge_images, scale
from training.evaluation.trust.intervals import Errors, fix_interval
from training.evaluation.trust.measures import Maps
from training.inference.denoiser import Denoiser

DENOISER = Denoiser(
    lambda batch: np.stack([gaussian_filter(image, (0, 1.5, 1.1)) for image in batch]), halo=(6, 6), stride=(1, 1)
)


def pairs(count, seed=0, size=128):
    """Return images of blurred grains with noise that grows with intensity, of different brightness."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        grains = gaussian_filter(rng.normal(size=(size, size)), 4)
        clean = 100 + rng.uniform(50, 150) * np.clip(1 + grains / grains.std() * 0.5, 0.1, None)
        noisy = clean + rng.normal(size=clean.shape) * np.sqrt(2 * (clean - 95))
        found.append(Sample.of_arrays(f"image_{number}", noisy.astype(np.float32), (3 * clean + 7).astype(np.float32)))
    return found


def unlike(count, seed=0):
    """Return errors of images of which some are far harder than others."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(0, 1, 1001)
    return {f"image_{number}": Errors(shares * rng.lognormal(0, 0.6), 0.3) for number in range(count)}


def test_clean_pixels_of_images_that_it_was_not_fixed_on_lie_within_it():
    samples, share = pairs(12), 0.8
    interval = judge_images(samples, DENOISER, share=share).interval
    assert len(interval.held) == len(interval.calibrated) == 6
    assert set(interval.held).isdisjoint(interval.calibrated)
    assert min(interval.held.values()) == pytest.approx(share, abs=0.03)
    assert judge_images(samples, DENOISER, share=share).interval == interval


@pytest.mark.parametrize(("count", "promised"), [(4, 2 / 3), (16, 8 / 9), (38, 18 / 20)])
def test_the_promise_holds_where_images_are_unlike(count, promised):
    kept = []
    for seed in range(400):
        interval = fix_interval(unlike(count, seed), share=0.9, seed=seed)
        assert interval.images == pytest.approx(promised)
        kept += [held >= 0.9 for held in interval.held.values()]
    assert np.mean(kept) == pytest.approx(promised, abs=0.03)


def test_it_is_wider_where_noise_is_stronger_and_where_turned_inputs_disagree():
    noise, disagreement = np.full((64, 64), 10.0), np.full((64, 64), 0.2)
    noise[:, 32:] *= 4
    disagreement[32:] *= 4
    width = scale(Maps(noise, disagreement))
    assert width[8, 56] == pytest.approx(4 * width[8, 8])
    assert width[56, 8] == pytest.approx(2 * width[8, 8], rel=0.05)
    assert (scale(Maps(noise, np.zeros((64, 64)))) > 0).all()


def test_the_sentence_says_how_much_is_promised_with_so_few_images():
    interval = fix_interval(unlike(4), share=0.9)
    assert "in at least 66 % of images like these" in interval.sentence()
    assert "as fixed on 2 images; of 2 images not used for it," in interval.sentence()


def test_what_is_not_possible_is_said():
    with pytest.raises(UserError, match="two pairs or more"):
        judge_images(pairs(1), DENOISER, share=0.9)
    with pytest.raises(UserError, match="`share` 90"):
        judge_images(pairs(2), DENOISER, share=90)
    with pytest.raises(UserError, match="leave `turned` on"):
        judge_images(pairs(2), DENOISER, share=0.9, turned=False)
