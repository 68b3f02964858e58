"""An epoch: each image once, one crop of it, the same for the same seed, turned copies beside it if asked for."""

import numpy as np
import pytest

from training.calibration.intensity import Intensity
from training.data import Sample
from training.data.patches import Crops, Planes, validation_crops

IDENTITY = Intensity("none", 1.0, 0.0)


def planes(count=5, shape=(20, 30), intensity=IDENTITY):
    """Images of which every pixel's value says where it lies and in which image."""

    def image(number):
        return (np.arange(shape[0] * shape[1]).reshape(shape) + 1000 * number).astype(np.float32)

    samples = [Sample.of_arrays(str(n), image(n), image(n) / 2 + 7) for n in range(count)]
    return Planes(samples, intensity)


def epoch(crops, number=1):
    crops.set_epoch(number)
    return [crops[position] for position in range(len(crops))]


def test_each_image_comes_once_in_an_epoch_in_another_order_each_time():
    crops = Crops(planes(20), 8, "none", seed=0)
    orders = [[int(noisy[0, 0, 0]) // 1000 for noisy, _ in epoch(crops, number)] for number in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]


def test_an_epoch_depends_on_seed_and_number_alone():
    first, again, other = (epoch(Crops(planes(), 8, "none", seed=seed), 3) for seed in (0, 0, 1))
    assert all((a[0] == b[0]).all() for a, b in zip(first, again, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))


def test_noisy_and_clean_are_cut_at_the_same_place_and_turned_alike():
    for noisy, clean in epoch(Crops(planes(), 8, "rotate+flip", seed=0)):
        assert noisy.shape == clean.shape == (1, 8, 8)
        np.testing.assert_allclose(clean, noisy / 2 + 7)


@pytest.mark.parametrize(("augment", "copies"), [("none", 1), ("rotate", 4), ("flip", 2), ("rotate+flip", 8)])
def test_augmentation_adds_copies_that_all_differ(augment, copies):
    found = epoch(Crops(planes(1, (8, 8)), 8, augment, seed=0))
    assert len({noisy.numpy().tobytes() for noisy, _ in found}) == len(found) == copies
    assert all(noisy.sum() == found[0][0].sum() for noisy, _ in found)


def test_rotation_is_by_quarter_turns():
    plane = planes(1, (8, 8))[0][0]
    found = {noisy.numpy().tobytes() for noisy, _ in epoch(Crops(planes(1, (8, 8)), None, "rotate", seed=0))}
    assert found == {np.rot90(plane, turns).copy().tobytes() for turns in range(4)}


def test_without_a_side_images_come_whole():
    assert epoch(Crops(planes(), None, "none", seed=0))[0][0].shape == (1, 20, 30)


def test_the_clean_image_is_fitted_onto_the_noisy_ones_scale_before_it_is_cut():
    for noisy, clean in epoch(Crops(planes(intensity=Intensity("image", 1, 0)), 8, "none", seed=0)):
        np.testing.assert_allclose(clean, noisy, rtol=1e-5)


def test_few_planes_are_kept_and_many_are_read_again(monkeypatch):
    kept = planes(2)
    assert kept[0][0] is kept[0][0]
    monkeypatch.setattr("training.data.patches.MEMORY", 100)
    again = planes(2)
    assert again[0][0] is not again[0][0]


@pytest.mark.parametrize(("side", "pixels"), [(8, 640), (None, 10_000), (16, 300), (16, 10)])
def test_validation_crops_hold_about_so_many_pixels_and_never_none(side, pixels):
    crops = validation_crops(planes(), side, pixels, seed=0)
    assert crops
    assert sum(noisy.numel() for noisy, _ in crops) <= max(pixels, 16 * 16)
    assert all(noisy.shape == clean.shape and noisy.ndim == 4 for noisy, clean in crops)


def test_validation_crops_are_spread_over_the_images():
    crops = validation_crops(planes(5), 8, 5 * 64, seed=0)
    assert sorted(int(noisy[0, 0, 0, 0]) // 1000 for noisy, _ in crops) == [0, 1, 2, 3, 4]
