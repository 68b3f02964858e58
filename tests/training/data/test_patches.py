"""An epoch: each image once, one patch of it, the same for the same seed, turned copies beside it if asked for."""

import numpy as np
import pytest

from training.calibration.intensity import Intensity
from training.data import Sample
from training.data.patches import Images, Patches, patch_size, validation_patches
from training.errors import UserError

IDENTITY = Intensity("none", 1.0, 0.0)


def samples(count=5, shape=(20, 30)):
    """Images of which every pixel's value says where it lies and in which image."""
    grid = np.arange(np.prod(shape)).reshape(shape)
    numbered = [(grid + 10_000 * number).astype(np.float32) for number in range(count)]
    return [Sample.of_arrays(str(number), image, image / 2 + 7) for number, image in enumerate(numbered)]


def images(count=5, shape=(20, 30), intensity=IDENTITY):
    return Images(samples(count, shape), intensity.scaling)


def epoch(patches, number=1):
    patches.set_epoch(number)
    return [patches[position] for position in range(len(patches))]


def test_each_image_comes_once_in_an_epoch_in_another_order_each_time():
    patches = Patches(images(20), (8, 8), "none", seed=0)
    orders = [[int(noisy[0, 0, 0]) // 10_000 for noisy, _ in epoch(patches, number)] for number in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]


def test_an_epoch_depends_on_seed_and_number_alone():
    first, again, other = (epoch(Patches(images(), (8, 8), "none", seed=seed), 3) for seed in (0, 0, 1))
    assert all((a[0] == b[0]).all() for a, b in zip(first, again, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))


def test_the_draws_are_those_of_version_0_1():
    """A run that began under that version goes on with the patches that it would have seen."""
    patches = epoch(Patches(images(), (8, 8), "flip", seed=3), 2)
    first = [int(noisy[0].min()) for noisy, _ in patches]
    assert first == [
        30221,
        40073,
        30276,
        283,
        10382,
        20241,
        20111,
        308,
        10122,
        40307,
    ]
    judges = validation_patches(images(), (8, 8), 400, seed=3)
    assert [int(noisy.min()) for noisy, _ in judges] == [30046, 20037, 40181, 286, 10078, 30316]


@pytest.mark.parametrize(("shape", "size"), [((20, 30), (8, 8)), ((20, 30), (8, 12)), ((6, 20, 30), (4, 8, 8))])
def test_noisy_and_clean_are_cut_at_the_same_place_and_turned_alike(shape, size):
    for noisy, clean in epoch(Patches(images(shape=shape), size, "flip", seed=0)):
        assert noisy.shape == clean.shape == (1, *size)
        np.testing.assert_allclose(clean, noisy / 2 + 7)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8)])
@pytest.mark.parametrize(("augment", "copies"), [("none", 1), ("rotate", 4), ("flip", 2), ("rotate+flip", 8)])
def test_augmentation_adds_copies_that_all_differ(shape, augment, copies):
    found = epoch(Patches(images(1, shape), shape, augment, seed=0))
    assert len({noisy.numpy().tobytes() for noisy, _ in found}) == len(found) == copies
    assert all(noisy.sum() == found[0][0].sum() for noisy, _ in found)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8)])
def test_rotation_is_by_quarter_turns_in_the_plane(shape):
    image = samples(1, shape)[0].noisy[0].read()
    found = {noisy.numpy().tobytes() for noisy, _ in epoch(Patches(images(1, shape), None, "rotate", seed=0))}
    assert found == {np.rot90(image, turns, axes=(-2, -1)).copy().tobytes() for turns in range(4)}


@pytest.mark.parametrize(
    ("crop", "shape", "size"),
    [
        (None, (20, 30), None),
        (16, (20, 30), (16, 16)),
        (64, (20, 30), (20, 20)),
        (16, (8, 20, 30), (8, 16, 16)),
        ((16, 64), (20, 30), (16, 30)),
        ((4, 16, 24), (8, 20, 30), (4, 16, 24)),
    ],
)
def test_a_crop_is_no_larger_than_the_images(crop, shape, size):
    assert patch_size(crop, shape) == size


def test_a_crop_of_other_axes_than_the_images_is_refused():
    with pytest.raises(UserError, match="the images have 2 axes; give one number, or one an axis"):
        patch_size((4, 16, 16), (20, 30))


def test_without_a_size_images_come_whole():
    assert epoch(Patches(images(), None, "none", seed=0))[0][0].shape == (1, 20, 30)


@pytest.mark.parametrize("memory", [2**30, 100])
def test_the_clean_image_is_fitted_onto_the_noisy_ones_scale_as_a_whole(monkeypatch, memory):
    monkeypatch.setattr("training.data.patches.MEMORY", memory)
    for noisy, clean in epoch(Patches(images(intensity=Intensity("image", 1, 0)), (8, 8), "none", seed=0)):
        np.testing.assert_allclose(clean, noisy, rtol=1e-5)


def test_few_images_are_kept_and_of_many_only_the_patches_are_read(monkeypatch):
    regions = []

    class Watched:
        shape, dtype = (20, 30), np.dtype("f4")

        def read(self, region=None):
            regions.append(region)
            return np.ones(self.shape, "f4") if region is None else np.ones(self.shape, "f4")[region]

    one = [Sample("a", "a", "YX", Watched.shape, (Watched(),), Watched())]
    kept = Patches(Images(one, IDENTITY.scaling), (8, 8), "rotate", seed=0)
    before = epoch(kept)
    assert regions == [None, None]
    monkeypatch.setattr("training.data.patches.MEMORY", 100)
    read = Patches(Images(one, IDENTITY.scaling), (8, 8), "rotate", seed=0)
    assert [a[0].shape for a in epoch(read)] == [a[0].shape for a in before]
    assert len(regions) == 2 + 2 * 4
    assert all([part.stop - part.start for part in region] == [8, 8] for region in regions[2:])


@pytest.mark.parametrize(("size", "pixels"), [((8, 8), 640), (None, 10_000), ((16, 16), 300), ((16, 16), 10)])
def test_validation_patches_hold_about_so_many_pixels_and_never_none(size, pixels):
    patches = validation_patches(images(), size, pixels, seed=0)
    assert patches
    assert sum(noisy.numel() for noisy, _ in patches) <= max(pixels, 16 * 16)
    assert all(noisy.shape == clean.shape and noisy.ndim == 4 for noisy, clean in patches)


@pytest.mark.parametrize(("shape", "size"), [((20, 30), (8, 8)), ((6, 20, 30), (4, 8, 8))])
def test_validation_patches_are_spread_over_the_images(shape, size):
    patches = validation_patches(images(5, shape), size, 5 * int(np.prod(size)), seed=0)
    assert sorted(int(noisy.min()) // 10_000 for noisy, _ in patches) == [0, 1, 2, 3, 4]


def test_a_validation_patch_of_one_value_judges_nothing_and_is_left_out():
    image = np.zeros((64, 64), "f4")
    image[20:30, 20:30] = np.arange(100).reshape(10, 10)
    dead = Sample.of_arrays("dead", np.zeros_like(image), np.zeros_like(image))
    data = Images([dead, Sample.of_arrays("a", image + 1, image)], IDENTITY.scaling)
    patches = validation_patches(data, (16, 16), 5 * 16 * 16, seed=0)
    assert len(patches) == 5
    assert all(clean.max() > clean.min() for _, clean in patches)
    with pytest.raises(UserError, match="the clean validation images are one value everywhere"):
        validation_patches(Images([dead], IDENTITY.scaling), (16, 16), 256, seed=0)
