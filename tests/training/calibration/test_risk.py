"""The error of a denoiser is estimated from noisy images alone, and what is chosen by it is what clean ones choose."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.scenes import Shrink, scene
from torch import nn

from training.calibration.layer import Calibrated
from training.calibration.noise import NoiseModel
from training.calibration.risk import NoisyCrop, noise_of
from training.calibration.search import find_constants
from training.calibration.statistics import measure
from training.data import Sample
from training.networks import NETWORKS

GAIN, OFFSET = 4.0, 100.0


def blur(image):
    return nn.functional.avg_pool2d(nn.functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)


def taken(seed, *, gain=GAIN, shape=(192, 192), along=0.0):
    """A noisy image, and the clean one; a part of each pixel's noise goes to the next in its row."""
    clean = gain * (5 + 60 * scene(seed, shape)) + OFFSET
    noise = gain * np.random.default_rng([7, seed]).poisson((clean - OFFSET) / gain) - (clean - OFFSET)
    noise = (noise + along * np.roll(noise, 1, 1)) / np.sqrt(1 + along**2)
    return (clean + noise).astype(np.float32), clean.astype(np.float32)


def test_an_image_left_as_it_is_has_the_risk_of_its_noise():
    noisy, _ = taken(0)
    crop = NoisyCrop.of(noisy, NoiseModel(GAIN, OFFSET, 0.0), (0.0, 0.0), np.random.default_rng(0))
    assert float(crop.risk(lambda image: image)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("along", [0.0, 0.4])
@pytest.mark.parametrize(
    "denoise", [blur, lambda image: blur(blur(blur(image))), lambda image: 0.5 * (image + blur(image))]
)
def test_the_risk_is_the_true_error_also_of_noise_that_is_correlated_along_rows(denoise, along):
    risks, errors = [], []
    for seed in range(6):
        noisy, clean = taken(seed, along=along)
        neighbours = (0.0, along / (1 + along**2))
        crop = NoisyCrop.of(noisy, NoiseModel(GAIN, OFFSET, 0.0), neighbours, np.random.default_rng(seed))
        risks.append(float(crop.risk(denoise)))
        error = ((denoise(crop.image)[0, 0].numpy() - clean) ** 2).mean()
        errors.append(error / float(crop.variance.mean()))
    assert np.mean(risks) == pytest.approx(np.mean(errors), abs=0.03)


def test_each_image_is_judged_by_its_own_noise_where_its_camera_is_another():
    samples = [Sample.of_arrays(str(seed), taken(seed)[0] * scale) for seed, scale in enumerate((1, 1, 1, 3))]
    measured = measure(samples, "none", seed=0)
    own, _ = noise_of(samples[3].frame(), measured)
    assert own.gain == pytest.approx(3 * GAIN, rel=0.2)
    same = measure(samples[:3], "none", seed=0)
    assert noise_of(samples[0].frame(), same)[0] == same.camera.model


def error(pairs, constants):
    """The mean square error over pairs of a calibrated denoiser."""
    model = Calibrated(Shrink(), constants)
    with torch.no_grad():
        return np.mean(
            [
                np.mean((model(torch.from_numpy(noisy)[None, None])[0, 0].numpy() - clean) ** 2)
                for noisy, clean in (pair.pair() for pair in pairs)
            ]
        )


def test_without_clean_images_the_search_comes_close_to_what_pairs_find():
    pairs = [Sample.of_arrays(str(seed), *taken(seed)) for seed in range(4)]
    alone = [replace(pair, clean=None) for pair in pairs]
    words = {"network": NETWORKS["dncnn"], "radius": (1, 1), "pretrained": True}
    with_pairs, without = (
        error(pairs, find_constants(measure(samples, "none", seed=0), samples, Shrink(), **words))
        for samples in (pairs, alone)
    )
    assert without < 1.06 * with_pairs


def test_images_too_small_to_measure_one_by_one_are_judged_by_the_camera_of_all():
    samples = [Sample.of_arrays(str(seed), taken(seed, shape=(24, 24))[0] * (1 + seed % 2)) for seed in range(12)]
    measured = measure(samples, "none", seed=0)
    assert noise_of(samples[0].frame(), measured) == (
        measured.camera.model,
        tuple(measured.camera.correlation.values()),
    )


def test_a_spline_is_kept_where_crops_that_it_was_not_fitted_to_are_the_better_for_it():
    pairs = [Sample.of_arrays(str(seed), *taken(seed)) for seed in range(2)]
    alone = [replace(pair, clean=None) for pair in pairs]
    words = {"network": NETWORKS["dncnn"], "radius": (1, 1), "pretrained": True}
    before, after = (
        find_constants(measure(alone, "none", seed=0), alone, Shrink(), spline=spline, **words)
        for spline in (False, True)
    )
    assert (before.transform, after.transform) == ("anscombe", "spline")
    assert error(pairs, after) < error(pairs, before)
    set_by_hand = find_constants(
        measure(alone, "none", seed=0), alone, Shrink(), spline=True, transform="anscombe", **words
    )
    assert set_by_hand == before
