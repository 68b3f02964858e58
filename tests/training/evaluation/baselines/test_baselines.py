"""What every baseline does: it denoises in the image's own units, and finds its settings."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.scenes import scene

from training.calibration.camera import measure_camera
from training.calibration.noise import NoiseModel
from training.data import Sample
from training.errors import UserError
from training.evaluation.baselines import BASELINES, best_of_pairs, denoised
from training.evaluation.metrics import psnr

GAIN, OFFSET = 4.0, 100.0
EVERY = pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)


def taken(seed=0, shape=(96, 96), gain=GAIN):
    """A noisy image and the clean one, of a camera of that gain."""
    clean = 20 + 60 * scene(seed, shape)
    return (OFFSET + gain * np.random.default_rng(seed).poisson(clean)).astype(np.float32), OFFSET + gain * clean


def quick(baseline):
    """The same with few values to try."""
    return replace(baseline, grid={name: values[::3] for name, values in baseline.grid.items()})


@EVERY
def test_it_denoises_and_keeps_the_intensity(baseline):
    noisy, clean = taken()
    result, setting = denoised(quick(baseline), noisy)
    assert set(setting) == set(baseline.grid)
    before, after = (psnr(clean, image, data_range=float(np.ptp(clean))) for image in (noisy, result))
    assert after > before + 3
    assert result.dtype == np.float32
    assert result.mean() == pytest.approx(clean.mean(), rel=0.02)


@EVERY
@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (2, 16, 19)])
def test_any_size_and_volumes_plane_by_plane(baseline, shape):
    camera = measure_camera([taken()[0]])
    noisy = taken(1, (32, 40))[0][: shape[-2], : shape[-1]]
    noisy = np.stack([noisy, noisy + 5]) if len(shape) == 3 else noisy
    setting = quick(baseline).trials[0]
    result, _ = denoised(baseline, noisy, camera, setting)
    assert result.shape == shape
    assert np.isfinite(result).all()
    if len(shape) == 3:
        np.testing.assert_array_equal(result[1], denoised(baseline, noisy[1], camera, setting)[0])


@EVERY
def test_a_constant_image_stays(baseline):
    flat = np.full((32, 32), 7, np.float32)
    np.testing.assert_array_equal(denoised(baseline, flat)[0], flat)


@pytest.mark.parametrize("name", ["bm3d", "wavelets"])
def test_an_image_that_is_too_small_is_refused_in_one_line(name):
    noise = NoiseModel(GAIN, OFFSET, 0)
    with pytest.raises(UserError, match=f"7 x 9 pixels are too few for {BASELINES[name].title}"):
        BASELINES[name](taken(0, (7, 9))[0], noise, {"strength": 1.0} if name == "wavelets" else {})


def test_an_image_on_which_no_noise_can_be_measured_is_refused_or_takes_the_cameras():
    small = taken(0, (24, 24))[0]
    with pytest.raises(UserError, match="too few to measure its noise"):
        denoised(BASELINES["bm3d"], small)
    camera = measure_camera([taken()[0]])
    assert denoised(BASELINES["bm3d"], small, camera)[0].std() < small.std()
    sample = Sample.of_arrays("small", *taken(0, (24, 24)))
    assert best_of_pairs(BASELINES["median"], [sample], camera, convention="raw", data_range=255)["size"] >= 3


def test_an_image_without_noise_stays():
    noisy = taken()[0]
    for noise in (NoiseModel(0, 0, 0), NoiseModel(GAIN, 1e6, 0)):
        np.testing.assert_array_equal(BASELINES["bm3d"](noisy, noise, {}), noisy)


def test_noise_that_does_not_grow_needs_no_transform():
    noisy = 50 + np.random.default_rng(0).normal(0, 5, (64, 64)).astype(np.float32)
    for noise in (NoiseModel(0, 0, 5), NoiseModel(1e-9, 0, 5)):
        result = BASELINES["bm3d"](noisy, noise, {})
        assert result.std() < 1
        assert result.mean() == pytest.approx(noisy.mean(), abs=0.1)


def test_the_setting_is_near_the_best_with_clean_images_and_without():
    baseline = BASELINES["gaussian"]
    pairs = [taken(seed, (128, 128)) for seed in range(3)]

    def score(setting, pair):
        result, _ = denoised(baseline, pair[0], setting=setting)
        return psnr(pair[1], result, data_range=200)

    scores = {setting["sigma"]: [score(setting, pair) for pair in pairs] for setting in baseline.trials}
    samples = [Sample.of_arrays(f"scene_{number}", *pair) for number, pair in enumerate(pairs)]
    by_pairs = best_of_pairs(baseline, samples, convention="raw", data_range=200)
    assert by_pairs["sigma"] == max(scores, key=lambda sigma: np.mean(scores[sigma]))
    for number, (noisy, _) in enumerate(pairs):
        best = max(each[number] for each in scores.values())
        assert scores[denoised(baseline, noisy)[1]["sigma"]][number] > best - 0.3


def test_pairs_are_needed_to_search_by_pairs():
    with pytest.raises(UserError, match="no pair"):
        best_of_pairs(BASELINES["median"], [], convention="raw", data_range=255)
