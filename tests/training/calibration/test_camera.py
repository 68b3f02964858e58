"""A camera's noise, from noisy images alone and from dark frames: gain, offset, read noise, correlation."""

import math
import re

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from training.calibration import correlation, measure_camera, read_camera, write_camera
from training.calibration.camera import camera_of
from training.errors import DataError, SettingError


def photons(shape=(384, 384), brightest=80):
    """Smooth structure of a few to many photons."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 2 + brightest * (np.sin(x / 23) * np.cos(y / 31) + 1) / 2


def taken(light, gain, offset, read_noise, seed=0):
    """A camera's image of so many photons a pixel."""
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(light) + offset + rng.normal(0, read_noise, light.shape)


CAMERAS = [(2.0, 100.0, 3.0), (0.5, 20.0, 1.0), (13.0, 104.0, 0.0)]


@pytest.mark.parametrize(("gain", "offset", "read_noise"), CAMERAS)
def test_gain_and_zero_level_are_found_without_a_clean_image(gain, offset, read_noise):
    found = measure_camera([taken(photons(), gain, offset, read_noise, seed) for seed in range(3)])
    assert found.gain.value == pytest.approx(gain, rel=0.06)
    assert found.zero_level.value == pytest.approx(offset - read_noise**2 / gain, abs=2 * gain)
    bright = offset + 60 * gain
    assert float(found.model.variance(bright)) == pytest.approx(60 * gain**2 + read_noise**2, rel=0.06)


@pytest.mark.parametrize(("gain", "offset", "read_noise"), CAMERAS)
def test_dark_frames_tell_offset_and_read_noise_apart(gain, offset, read_noise):
    dark = [taken(np.zeros((64, 64)), gain, offset, read_noise, seed) for seed in (7, 8)]
    dark[0][3, 4] += 1000
    found = measure_camera([taken(photons(), gain, offset, read_noise)], dark)
    assert found.offset == pytest.approx(offset, abs=0.2)
    assert found.read_noise == pytest.approx(read_noise, abs=0.1)
    assert found.gain.value == pytest.approx(gain, rel=0.06)


def test_hot_pixels_edges_and_saturation_change_little():
    light = photons()
    light[100:140, 50:300] += 60
    image = taken(light, 4, 100, 2)
    rng = np.random.default_rng(1)
    image.flat[rng.integers(0, image.size, 100)] += 3000
    found = measure_camera([np.minimum(image, 560)])
    assert found.gain.value == pytest.approx(4, rel=0.08)


def test_noise_that_does_not_grow_with_the_signal_has_no_zero_level():
    light = photons()
    found = measure_camera([light + np.random.default_rng(0).normal(0, 9, light.shape)])
    assert float(found.model.variance(40)) == pytest.approx(81, rel=0.05)
    assert found.gain.value < 0.15


def test_a_volume_counts_as_its_planes():
    volume = taken(np.stack([photons((160, 160))] * 4), 2, 100, 0)
    assert measure_camera([volume], axes="ZYX").gain.value == pytest.approx(2, rel=0.08)
    assert len(correlation(volume)) == 3


@pytest.mark.parametrize("axis", [0, 1])
def test_correlation_is_told_by_axis_and_not_mistaken_for_structure(axis):
    noise = np.random.default_rng(0).normal(0, 10, (385, 385))
    blurred = noise + 0.35 * np.roll(noise, 1, axis)
    image = 20 * photons((385, 385)) + blurred
    expected = [0.0, 0.0]
    expected[axis] = 0.35 / (1 + 0.35**2)
    assert correlation(image) == pytest.approx(expected, abs=0.03)


def filaments(seed):
    """Fine bright lines on a dim background, as sharp as a microscope shows them, in photons."""
    rng = np.random.default_rng(seed)
    image = np.zeros((160, 160))
    for _ in range(16):
        y, x, turn = *rng.uniform(0, 160, 2), rng.uniform(0, 6.3)
        for _ in range(300):
            turn += rng.normal(0, 0.05)
            y, x = y + np.sin(turn), x + np.cos(turn)
            if 0 <= y < 160 and 0 <= x < 160:
                image[int(y), int(x)] = 1
    return 5 + 250 * ndimage.gaussian_filter(image, 1.2)


def one_cell(seed):
    """A nearly empty image."""
    y, x = np.mgrid[:160, :160] - np.random.default_rng(seed).uniform(50, 110, 2)[:, None, None]
    return 2 + 100 / (1 + np.exp((np.hypot(y, x) - 25) / 1.5))


@pytest.mark.parametrize("scene", [lambda seed: photons((160, 160)), filaments, one_cell])
def test_the_intervals_hold_the_truth_as_often_as_they_say(scene):
    found = [measure_camera([taken(scene(seed), 2, 100, 3, seed)]) for seed in range(30)]
    assert sum(one.gain.low <= 2 <= one.gain.high for one in found) >= 27
    assert sum(one.zero_level.low <= 95.5 <= one.zero_level.high for one in found) >= 26


def test_where_brightness_does_not_vary_the_gain_is_not_told():
    found = measure_camera([taken(np.full((160, 160), 30.0), 2, 100, 3)])
    assert found.gain.low < 1
    assert found.gain.high > 3
    assert math.isinf(found.zero_level.low)
    assert float(found.model.variance(160)) == pytest.approx(4 * 30 + 9, rel=0.05)


@pytest.mark.parametrize("part", [0.001, 0.01])
def test_many_hot_and_dead_pixels_change_nothing(part):
    image, rng = taken(photons(), 2, 100, 3), np.random.default_rng(1)
    for value in (0, 4000):
        image.flat[rng.integers(0, image.size, int(part * image.size / 2))] = value
    found = measure_camera([image])
    assert found.gain.value == pytest.approx(2, rel=0.06)
    assert found.correlated() == ()


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_intensities_that_are_cut_off_are_left_out_and_saturation_is_told(kind):
    image = np.clip(taken(photons(), 4, 0, 3), 0, 260).astype(kind)
    found = measure_camera([image])
    assert found.saturation == 260
    assert found.gain.low <= 4 <= found.gain.high


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((20, 20)), "4 blocks .* too few"),
        (np.ones((1, 900)), "0 blocks .* too few"),
        (np.full((64, 64), 7.0), "no noise can be seen"),
        (np.zeros((64, 64), dtype=np.uint8), "no noise can be seen"),
        (photons(), "no noise can be seen"),
        (np.where(photons() > 60, np.nan, 1), "no numbers"),
    ],
)
def test_what_shows_no_noise_is_said_in_one_line(image, words):
    with pytest.raises(DataError, match=words):
        measure_camera([image])


def test_images_of_any_sizes_count_together():
    image = taken(photons(), 2, 100, 3)
    several = measure_camera([image[:200], image[200:, :90], image[:5, :5]])
    assert several.images == 3
    assert several.gain.value == pytest.approx(2, rel=0.1)


def test_offset_and_read_noise_may_be_given():
    image = taken(photons(), 2, 100, 3)
    found = measure_camera([image], offset=100, read_noise=3)
    assert found.gain.value == pytest.approx(2, rel=0.03)
    assert found.gain.high - found.gain.low < measure_camera([image]).gain.high - measure_camera([image]).gain.low
    with pytest.raises(SettingError, match="give both"):
        measure_camera([image], offset=100)
    with pytest.raises(SettingError, match="not of one camera setting"):
        measure_camera([image], offset=500, read_noise=3)
    for figures in ({"offset": math.nan, "read_noise": 3}, {"offset": 100, "read_noise": -3}):
        with pytest.raises(SettingError, match="must be a number"):
            measure_camera([image], **figures)


def test_files_that_were_scaled_one_by_one_are_told_and_judge_no_gain():
    images = [factor * taken(photons(), 2, 100, 3, seed) for seed, factor in enumerate((1, 3, 8))]
    profile = measure_camera(images, names=["a", "b", "c"])
    assert re.search(r"differ in gain, (1.9|2).* in a and 1[56].* in c:", profile.disagreement())
    assert profile.differences(20 * images[0]) == []
    assert measure_camera([images[0], images[0]]).disagreement() is None


def test_an_image_of_another_camera_is_told_and_one_of_the_same_is_not():
    profile = measure_camera([taken(photons(), 2, 100, 3, seed) for seed in range(3)])
    for scene in (photons() * 3, filaments(3), one_cell(2)):
        assert profile.differences(taken(scene, 2, 100, 3, 9)) == []
    assert any("gain 5." in each for each in profile.differences(taken(photons(), 5, 100, 3)))
    assert any("zero level 2" in each for each in profile.differences(taken(photons(), 2, 300, 3)))
    along = taken(photons(), 2, 100, 3)
    along = (along + np.roll(along, 1, 1)) / 2
    assert any("along X by 0." in each for each in profile.differences(along))
    assert profile.differences(np.ones((8, 8))) == []
    assert profile.differences(np.stack([taken(photons(), 2, 100, 3, seed) for seed in (5, 6)])) == []


def test_the_noise_of_an_image_is_that_of_its_camera_unless_the_image_shows_another():
    image = taken(photons(), 2, 100, 3)
    camera = measure_camera([taken(photons(), 2, 100, 3, seed) for seed in range(1, 4)], offset=100, read_noise=3)
    assert camera_of(image, camera) is camera
    assert camera_of(np.ones((8, 8)), camera) is camera
    assert camera_of(3 * image, camera).gain.value == pytest.approx(6, rel=0.1)
    assert camera_of(image, None) == measure_camera([image])
    with pytest.raises(DataError):
        camera_of(np.ones((8, 8)), None)


def test_how_wrong_the_correction_for_correlation_may_be_widens_the_interval_of_the_gain():
    rng = np.random.default_rng(0)
    light = np.tile(np.repeat(np.linspace(20, 400, 8), 48), (384, 1))
    noise = rng.normal(0, np.sqrt(light))
    along = noise + 0.4 * np.roll(noise, 1, 1)
    found = measure_camera([light + along / np.sqrt(1 + 0.4**2)])
    # A fifth of what is corrected for, which is about half of the variance: 10 % of the gain and more.
    assert (found.gain.high - found.gain.low) / 2 > 1.96 * 0.1 * found.gain.value
    assert found.gain.low < 1 < found.gain.high


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ([], "here are images of no axes"),
        ([np.ones((40, 40)), np.ones((3, 40, 40))], "2, 3 axes"),
        ([np.ones(40)], "1 axes"),
    ],
)
def test_images_of_different_axes_or_none_are_one_line(images, found):
    with pytest.raises(DataError, match=found):
        measure_camera(images)


@pytest.mark.parametrize("frame", ["w2s_0.tif", "w2s_1.tif"])
def test_raw_frames_of_one_camera_agree_on_its_gain_and_offset(shared, frame):
    for plane in tifffile.imread(shared(f"data/raw_counts/{frame}")):
        found = measure_camera([plane])
        assert 12.5 < found.gain.value < 15
        assert 102.5 < found.zero_level.value < 105
        assert found.correlated() == ()


@pytest.mark.parametrize("frame", ["confocal_0.tif", "confocal_1.tif"])
def test_confocal_frames_show_the_correlation_along_rows(shared, frame):
    found = measure_camera([tifffile.imread(shared(f"data/raw_counts/{frame}"))])
    down, along = found.correlation.values()
    assert found.correlated() == ("X",)
    assert 0.25 < along < 0.4
    assert abs(down) < 0.12


def test_a_profile_is_read_as_it_was_written(tmp_path):
    flat = np.random.default_rng(0).normal(100, 9, (128, 128))
    for image in (taken(photons(), 2, 100, 3), flat):
        profile = measure_camera([image])
        write_camera(tmp_path / "camera.json", profile)
        assert read_camera(tmp_path / "camera.json") == profile


@pytest.mark.parametrize(("text", "words"), [("", "JSON"), ('{"gain": 3}', "gain"), (None, "No such file")])
def test_a_file_that_is_no_profile_is_one_line(tmp_path, text, words):
    if text is not None:
        (tmp_path / "camera.json").write_text(text)
    with pytest.raises(SettingError, match=words):
        read_camera(tmp_path / "camera.json")
