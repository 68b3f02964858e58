"""The calibration's constants: intensities fitted, noise modelled, the map into the denoiser's range searched for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.scenes import Shrink, scene
from torch import nn

from training.calibration.intensity import Intensity, fit_affine
from training.calibration.layer import Calibrated, Constants, stabilise
from training.calibration.noise import NoiseModel, fit_noise
from training.calibration.search import MARGIN, find_constants
from training.calibration.statistics import measure
from training.data import Sample
from training.networks import NETWORKS
from training.runs.settings import Recipe


def pairs(count=6, *, gain=4.0, offset=100.0, read_noise=3.0, clean_scale=1.0, shape=(64, 80)):
    """Pairs of a camera of that gain, dark value and read noise; the clean images have a scale of their own."""

    def pair(number):
        rng = np.random.default_rng([1, number])
        photons = 5 + 200 * scene(number, shape)
        signal = gain * rng.poisson(photons) if gain else 800 * scene(number, shape)
        expected = gain * photons if gain else signal
        noisy = signal + offset + rng.normal(0, read_noise, shape)
        return noisy, clean_scale * (expected + offset) + 11

    return [Sample.of_arrays(str(n), *pair(n)) for n in range(count)]


def test_the_intensity_fit_brings_the_clean_image_onto_the_noisy_ones_scale():
    noisy, clean = pairs(1, clean_scale=20.0)[0].pair()
    slope, offset = fit_affine(clean, noisy)
    assert slope == pytest.approx(1 / 20, rel=0.02)
    assert np.mean(slope * clean + offset - noisy) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("mode", ["dataset", "image", "none"])
def test_the_intensity_fit_is_recorded_as_it_was_made(mode):
    data = pairs(clean_scale=20.0)
    intensity = measure(data, mode, seed=0).intensity
    assert intensity.mode == mode
    assert intensity.slope == (1 if mode == "none" else pytest.approx(1 / 20, rel=0.02))
    noisy, clean = data[0].pair()
    mapped = intensity.apply(noisy, clean)
    assert mapped.dtype == np.float32
    if mode == "none":
        np.testing.assert_array_equal(mapped, clean)
    else:
        assert np.mean(mapped - noisy) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("mode", ["dataset", "none"])
def test_pairs_are_fitted_one_by_one_only_where_that_is_the_recipe(mode, monkeypatch):
    fitted = []
    monkeypatch.setattr(
        "training.calibration.statistics.fit_affine", lambda clean, noisy: fitted.append(noisy.size) or (1.0, 0.0)
    )
    measure(pairs(4), mode, seed=0)
    assert len(fitted) == (mode == "dataset")


def test_images_that_were_each_scaled_on_their_own_are_fitted_one_by_one():
    noisy, clean = pairs(1)[0].pair()
    fit = Intensity("image", 1.0, 0.0)
    np.testing.assert_allclose(fit.apply(3 * noisy - 5, clean), 3 * fit.apply(noisy, clean) - 5, rtol=1e-4)


@pytest.mark.parametrize(
    ("gain", "offset", "read_noise"),
    [(4.0, 100.0, 3.0), (0.5, 20.0, 6.0), (0.0, 100.0, 9.0)],
)
def test_the_noise_model_finds_gain_and_variance(gain, offset, read_noise):
    x = np.random.default_rng(0).uniform(offset, offset + 500, 300_000)
    rng = np.random.default_rng(1)
    y = x + rng.normal(0, np.sqrt(gain * (x - offset) + read_noise**2))
    model = fit_noise(y, x)
    assert model.gain == pytest.approx(gain, rel=0.05, abs=0.02)
    for intensity in (offset + 50, offset + 450):
        expected = gain * (intensity - offset) + read_noise**2
        assert float(model.variance(intensity)) == pytest.approx(expected, rel=0.08)


def test_the_noise_model_forgives_outliers_and_saturation():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, 300_000)
    y = x + rng.normal(0, np.sqrt(2 * x + 16))
    y[rng.integers(0, y.size, 300)] += 1000
    model = fit_noise(np.minimum(y, 1200), x)
    assert model.gain == pytest.approx(2, rel=0.1)
    saturated = fit_noise(np.minimum(x + rng.normal(0, np.sqrt(2 * x + 16)), 200), x)
    assert saturated.gain == pytest.approx(2, rel=0.1)


def test_the_noise_model_is_finite_for_images_of_one_value():
    model = fit_noise(np.full(5000, 7.0), np.full(5000, 7.0))
    assert model == NoiseModel(0.0, 0.0, 0.0)


def test_a_survey_measures_intensities_noise_and_shape():
    data = pairs(gain=0.0, read_noise=20.0)
    seen = measure(data, "dataset", seed=0)
    assert seen.noise == pytest.approx(20, rel=0.1)
    assert seen.residual == pytest.approx(20, rel=0.1)
    assert seen.low < 150
    assert seen.high > 800
    assert (seen.shape, seen.uniform) == ((64, 80), True)
    assert not measure([*data, *pairs(1, shape=(40, 90))], "dataset", seed=0).uniform


def chosen(data, recipe=None, *, pretrained=True, network="dncnn", denoiser=None, radius=(1, 1)):
    recipe = recipe or Recipe()
    seen = measure(data, recipe.intensity_fit, recipe.seed)
    found = find_constants(
        seen,
        data,
        denoiser or Shrink(),
        network=NETWORKS[network],
        radius=radius,
        pretrained=pretrained,
        **recipe.model_dump(include={"transform", "statistics", "sigma", "seed"}),
    )
    return seen, found


def error(data, model):
    with torch.no_grad():
        return np.mean(
            [
                np.mean((model(torch.from_numpy(pair.pair()[0])[None, None])[0, 0].numpy() - pair.pair()[1]) ** 2)
                for pair in data
            ]
        )


def test_the_search_beats_the_nominal_noise_level_and_the_unscaled_network():
    data = pairs(clean_scale=1.0)
    seen, constants = chosen(data, Recipe(intensity_fit="none"))
    searched = error(data, Calibrated(Shrink(), constants))
    nominal = error(data, Calibrated(Shrink(), Constants(scale=seen.residual * 255 / 25)))
    unscaled = error(data, Calibrated(Shrink(), Constants(scale=255.0)))
    assert searched <= nominal
    assert searched < unscaled / 2


def test_the_search_is_the_same_each_time_and_follows_the_units_of_the_images():
    _, first = chosen(pairs())
    _, again = chosen(pairs())
    assert first == again


@pytest.mark.parametrize("transform", ["affine", "anscombe"])
def test_a_transform_that_is_set_is_taken(transform):
    assert chosen(pairs(), Recipe(transform=transform))[1].transform == transform


def test_from_scratch_intensities_span_the_unit_range_after_an_anscombe_transform_where_noise_grows_with_the_signal():
    seen, constants = chosen(pairs(), pretrained=False)
    assert constants.transform == "anscombe"
    ends = stabilise(torch.tensor([seen.low, seen.high]), constants.pedestal, constants.gain, constants.read_noise)
    assert ((ends - constants.offset) / constants.scale).tolist() == pytest.approx([0, 1], abs=1e-3)
    seen, constants = chosen(pairs(gain=0.0, read_noise=20.0), pretrained=False)
    assert (constants.transform, constants.offset) == ("affine", pytest.approx(seen.low))
    assert constants.scale == pytest.approx(seen.high - seen.low)


def test_a_standardised_network_from_scratch_sees_mean_0_and_deviation_1_without_a_transform():
    seen, constants = chosen(pairs(), pretrained=False, network="unet", radius=(43, 43))
    assert constants.transform == "affine"
    assert (constants.offset, constants.scale) == (pytest.approx(seen.mean), pytest.approx(seen.deviation))
    _, by_image = chosen(pairs(), Recipe(statistics="instance"), pretrained=False, network="unet", radius=(43, 43))
    assert (by_image.statistics, by_image.offset, by_image.scale) == ("instance", 0, pytest.approx(1))
    recipe = Recipe(transform="anscombe")
    assert chosen(pairs(), recipe, pretrained=False, network="unet", radius=(43, 43))[1].transform == "anscombe"


class Listens(nn.Module):
    """A denoiser that needs to be told the noise: it blurs by as much as the map says."""

    def __init__(self):
        super().__init__()
        self.known = nn.Parameter(torch.zeros(1))

    def forward(self, both):
        image, level = both[:, :1], both[:, 1:]
        blurred = nn.functional.avg_pool2d(nn.functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
        detail = image - blurred
        return blurred + detail * (detail.abs() / (2 * level + 1e-9)).clamp(max=1)


def test_the_noise_map_is_estimated_in_the_denoisers_units_or_set_by_the_recipe():
    data = pairs(gain=0.0, read_noise=20.0)
    seen, constants = chosen(data, network="drunet", denoiser=Listens(), radius=None)
    assert constants.noise_map
    assert 0.5 <= constants.sigma / (seen.residual / constants.scale) <= 2
    _, told = chosen(data, Recipe(sigma=25), network="drunet", denoiser=Listens(), radius=None)
    assert told.sigma == pytest.approx(25 / 255)


def test_statistics_of_each_image_give_the_same_map_on_average():
    data = pairs(gain=0.0, read_noise=20.0)
    seen, by_data = chosen(data, pretrained=False)
    _, by_image = chosen(data, Recipe(statistics="instance"), pretrained=False)
    assert by_image.statistics == "instance"
    assert by_image.scale * seen.deviation == pytest.approx(by_data.scale)
    assert by_image.offset * seen.deviation + seen.mean == pytest.approx(by_data.offset)


def test_statistics_of_each_image_after_an_anscombe_transform_span_the_unit_range_too():
    data = pairs()
    _, found = chosen(data, Recipe(statistics="instance", transform="anscombe"), pretrained=False)
    seen = []

    class Eye(nn.Module):
        def forward(self, image):
            seen.append(image)
            return image

    error(data, Calibrated(Eye(), found))
    low, high = np.percentile(torch.cat(seen).numpy(), (0.1, 99.9))
    assert low == pytest.approx(0, abs=0.2)
    assert high == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(("network", "radius", "margin"), [("dncnn", 17, 17), ("dncnn", 3, 3), ("drunet", 120, MARGIN)])
def test_the_margin_is_the_radius_up_to_a_limit(network, radius, margin):
    denoiser = Listens() if network == "drunet" else Shrink()
    _, constants = chosen(pairs(2), pretrained=False, network=network, denoiser=denoiser, radius=(radius, radius))
    assert constants.margin == margin
    assert constants.margin % max(NETWORKS[network].stride) == 0


def test_volumes_are_measured_and_searched_as_planes_are():
    class Keep(nn.Module):
        """A denoiser of volumes that knows only how much it is asked to keep."""

        def __init__(self):
            super().__init__()
            self.known = nn.Parameter(torch.zeros(1))

        def forward(self, volume):
            return nn.functional.avg_pool3d(nn.functional.pad(volume, (1, 1, 1, 1, 1, 1), mode="replicate"), 3, 1)

    planes = [sample.pair() for sample in pairs(6)]
    noisy, clean = (np.stack([pair[which] for pair in planes]) for which in (0, 1))
    data = [Sample.of_arrays(str(number), noisy, clean) for number in range(2)]
    measured = measure(data, "dataset", seed=0)
    assert (measured.shape, measured.uniform) == ((6, 64, 80), True)
    assert measured.noise == pytest.approx(measure(pairs(6), "dataset", seed=0).noise, rel=0.1)
    network = replace(NETWORKS["dncnn"], axes="ZYX", stride=(1, 4, 4))
    found = find_constants(measured, data, Keep(), network=network, radius=(1, 5, 40), pretrained=True)
    assert (found.multiple, found.margin) == ((1, 4, 4), (1, 8, MARGIN))
    with torch.no_grad():
        denoised = Calibrated(Keep(), found)(torch.from_numpy(noisy)[None, None])
    assert denoised.shape == (1, 1, *noisy.shape)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_images_of_one_value_still_give_constants_that_can_be_used(value):
    image = np.full((20, 20), value)
    flat = [Sample.of_arrays(str(n), image, image) for n in range(2)]
    for pretrained in (True, False):
        _, constants = chosen(flat, pretrained=pretrained)
        image = torch.full((1, 1, 20, 20), value)
        assert torch.isfinite(Calibrated(Shrink(), constants)(image)).all()


@pytest.mark.slow
def test_the_real_denoiser_is_calibrated_far_above_the_unscaled_one(shared):
    """Two real images, zero-shot: the search is worth more than 4 dB over dividing by 255."""
    import tifffile

    from training.networks import create

    folder = shared("data/w2s/channel1")
    weights = shared("data/weights/dncnn_25.pth")
    data = [
        Sample.of_arrays(
            f"{n}",
            tifffile.imread(folder / f"low/fov_{n:03d}.tif")[200:320, 200:320],
            tifffile.imread(folder / f"high/fov_{n:03d}.tif")[200:320, 200:320],
        )
        for n in (1, 2, 3, 4, 70)
    ]
    denoiser = create("dncnn")
    denoiser.load_state_dict(torch.load(weights, weights_only=True))
    recipe = Recipe(intensity_fit="image")
    seen, constants = chosen(data[:4], recipe, denoiser=denoiser, radius=(17, 17))
    noisy, clean = data[4].pair()
    target = seen.intensity.apply(noisy, clean)
    images = torch.from_numpy(noisy)[None, None]
    with torch.no_grad():
        calibrated = Calibrated(denoiser, constants)(images)[0, 0].numpy()
        unscaled = Calibrated(denoiser, Constants(scale=255.0))(images)[0, 0].numpy()
    gained = 10 * np.log10(np.mean((unscaled - target) ** 2) / np.mean((calibrated - target) ** 2))
    assert gained > 4
