"""The embedded data set: what the simulated microscope does to what it looks at."""

import numpy as np
import pytest

from training.data import DataSettings, open_dataset
from training.data.sets.simulated import Simulation, airy
from training.errors import UserError


def simulated(test_fraction=0.1, seed=0, **options):
    return open_dataset(
        DataSettings(dataset="simulated", options={"images": 8, "size": 64, **options}),
        test_fraction=test_fraction,
        seed=seed,
    )


def drawn_from(seed):
    options = {"images": 8, "size": 64, "seed": seed}
    return open_dataset(DataSettings(dataset="simulated", options=options), test_fraction=0.1, seed=0)


def every(data):
    return sorted([*data.train, *data.validation, *data.test], key=lambda pair: pair.name)


def test_forty_images_of_256_by_default():
    data = open_dataset(DataSettings(dataset="simulated"), test_fraction=0.1, seed=0)
    assert (data.name, len(data.train), len(data.validation), len(data.test)) == ("simulated", 32, 4, 4)
    noisy, clean = data.train[0].pair()
    assert noisy.shape == clean.shape == (256, 256)
    assert noisy.dtype == clean.dtype == np.float32
    assert data.source.dtype == "uint16"
    assert data.source.pixel_size == (0.1, 0.1, "µm")
    assert data.warnings() == []
    assert data.hashes() == {}


def test_nuclei_and_filaments_are_in_every_part():
    data = open_dataset(DataSettings(dataset="simulated"), test_fraction=0.1, seed=0)
    for part in (data.train, data.test):
        assert {pair.name.rpartition("_")[2] for pair in part} == {"nuclei", "filaments"}


def test_the_seed_makes_the_images_and_nothing_else_does():
    first, again, other = every(simulated()), every(simulated(seed=5)), every(drawn_from(1))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.pair(), two.pair())
        assert not np.array_equal(one.pair(), three.pair())
    assert len({pair.pair()[0].tobytes() for pair in first}) == 8


def test_what_is_read_may_be_changed_without_changing_the_data():
    pair = simulated().train[0]
    before = pair.pair()[0].copy()
    pair.pair()[0][:] = 0
    np.testing.assert_array_equal(pair.pair()[0], before)


def test_the_noise_is_that_of_photons_and_readout():
    told = Simulation()
    data = simulated(size=256, images=4)
    for pair in every(data):
        noisy, clean = pair.pair()
        # the clean exposure is a hundred times the noisy one, on its own scale
        expected = told.offset + (clean - told.offset) * told.noisy_exposure / told.clean_exposure
        variance = told.gain * (expected - told.offset) + (told.gain * told.read_noise) ** 2
        error = noisy - expected
        assert abs(error.mean()) < 0.1
        for low, high in ((0, 50), (50, 99), (99, 100)):
            inside = (expected >= np.percentile(expected, low)) & (expected <= np.percentile(expected, high))
            assert error[inside].var() == pytest.approx(variance[inside].mean(), rel=0.12)


def test_the_airy_pattern_has_its_first_dark_ring_where_optics_says():
    told = Simulation(pixel_size=0.005, size=2048)
    pattern = airy(told)
    assert pattern.sum() == pytest.approx(1)
    middle = pattern.shape[0] // 2
    line = pattern[middle, middle:]
    first_minimum = np.flatnonzero(np.diff(line) > 0)[0] * told.pixel_size
    assert first_minimum == pytest.approx(0.61 * told.wavelength / told.numerical_aperture, abs=told.pixel_size)


def test_a_smaller_aperture_sees_less_detail():
    def sharpness(aperture):
        pairs = every(simulated(images=2, numerical_aperture=aperture))
        return np.mean([np.abs(np.diff(pair.pair()[1])).mean() / pair.pair()[1].std() for pair in pairs])

    assert sharpness(0.3) < sharpness(1.2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"images": 1}, "`option` images=1 of `dataset` simulated"),
        ({"size": "large"}, "`option` size='large'"),
        ({"colour": 3}, "`option` colour has no meaning .* the options are images, size, seed"),
        ({"wavelength": -1}, "`option` wavelength=-1"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options, told):
    with pytest.raises(UserError, match=told) as caught:
        open_dataset(DataSettings(dataset="simulated", options=options), test_fraction=0.1, seed=0)
    assert "\n" not in str(caught.value)


def test_an_option_for_other_data_is_refused_not_ignored(tmp_path):
    with pytest.raises(UserError, match="`data` has no meaning for `dataset` simulated"):
        open_dataset(DataSettings(dataset="simulated", data=tmp_path), test_fraction=0.1, seed=0)


def test_a_field_may_have_several_noisy_frames_whose_noise_is_independent():
    one, three = (simulated(frames=frames).test[0] for frames in (1, 3))
    assert (len(one.noisy), len(three.noisy)) == (1, 3)
    np.testing.assert_array_equal(one.frame(), three.frame())
    first, second, third = (three.frame(number=number) for number in range(3))
    assert abs(np.corrcoef((first - second).ravel(), third.ravel())[0, 1]) < 0.05
