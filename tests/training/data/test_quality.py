"""What a user is warned of before training: images that would spoil it, each with its figure."""

import weakref

import numpy as np
import pytest
from helpers.own_images import RNG, own, picture, save

from training.data import Sample
from training.data.quality import inspect


class TestWarnings:
    @staticmethod
    def spots(shift=(0, 0)):
        from scipy.ndimage import gaussian_filter

        field = np.zeros((128, 128))
        field[tuple(RNG.integers(10, 118, (2, 60)))] = 1
        clean = 3000 * gaussian_filter(field, 2) / 0.04 + 200
        noisy = RNG.poisson(np.roll(clean, shift, (0, 1)) / 20)
        return np.clip(noisy, 0, 60000).astype("u2"), np.clip(clean, 0, 60000).astype("u2")

    def write(self, tmp_path, pairs):
        for number, images in enumerate(pairs):
            for side, image in zip(("noisy", "clean"), images, strict=True):
                save(tmp_path / side / f"{number:02d}.tif", image)
        return own(tmp_path / "noisy", tmp_path / "clean").warnings()

    def test_pairs_that_show_different_things_and_not_how_they_are_shifted(self, tmp_path):
        (line,) = self.write(tmp_path, [(picture(size), picture(size)) for size in [(24, 20), (70, 80), (128, 128)]])
        assert line.startswith("2 of 3 pairs inspected show little in common, least 0")
        assert line.endswith("do their names belong together?")

    def test_nothing_where_all_is_well(self, tmp_path):
        assert self.write(tmp_path, [self.spots() for _ in range(5)]) == []

    def test_shifted_pairs_with_the_pixels(self, tmp_path):
        (line,) = self.write(tmp_path, [self.spots((3, -4)) for _ in range(5)])
        assert line.startswith("5 of 5 pairs inspected are shifted")
        assert "most 0" in line
        assert float(line.split("median ")[1].split()[0]) == pytest.approx(5, abs=0.2)

    def test_saturation_with_the_share(self, tmp_path):
        def clipped(images, top):
            return tuple(np.minimum(image, np.uint16(limit)) for image, limit in zip(images, top, strict=True))

        pairs = [clipped(self.spots(), (4095, 65535)) for _ in range(4)]
        noisy = pairs[2][0]
        noisy[:16, :16] = 4095
        (line,) = self.write(tmp_path, pairs)
        assert line.startswith("1 of 4 noisy images inspected are saturated, most 02 with 1.6 % of its pixels at 4095")

    def test_files_that_were_scaled_on_their_own(self, tmp_path):
        def scaled(image):
            low, high = int(image.min()), int(image.max())
            return np.rint((image - low) * (255 / (high - low))).astype("u1")

        def lone(image):
            image = image.astype(float) + RNG.random(image.shape) * 0.1
            return scaled((image * 1000).astype("u4"))

        (line,) = self.write(tmp_path, [tuple(map(lone, self.spots())) for _ in range(4)])
        assert "reach exactly from 0 to 255" in line
        assert "where the recipe does not say so yet, `intensity_fit`=image" in line

    def test_the_one_brightest_pixel_of_a_file_that_was_scaled_is_not_saturated(self, tmp_path):
        def scaled(shape):
            image = RNG.integers(1, 255, shape).astype("u1")
            image[0, :2] = 0, 255
            return image

        (line,) = self.write(tmp_path, [(scaled((24, 20)), scaled((24, 20))) for _ in range(4)])
        assert "each file was scaled by itself" in line

    def test_hot_pixels_hide_no_register(self, tmp_path):
        """They lie at the same places in all noisy images and in no clean one."""
        hot = tuple(RNG.integers(0, 128, (2, 25)))
        pairs = [self.spots() for _ in range(4)]
        for noisy, _ in pairs:
            noisy[hot] = np.arange(500, 3500, 120)
        assert self.write(tmp_path, pairs) == []

    def test_the_shared_case_of_hot_pixels(self, cases):
        assert own(cases / "hot_pixels" / "noisy", cases / "hot_pixels" / "clean").warnings() == []

    @pytest.mark.parametrize("sides", [("noisy",), ("noisy", "clean")])
    def test_a_dead_frame_is_named_and_hides_nothing_of_the_others(self, tmp_path, sides):
        pairs = [self.spots((3, -4)) for _ in range(4)]
        for side in sides:
            pairs[2][("noisy", "clean").index(side)][:] = 0
        *dead, shifted = self.write(tmp_path, pairs)
        told = "1 of 4 {} images inspected are 0 everywhere, first 02: nothing is learned from them, leave them out"
        assert dead == [told.format(side) for side in sides]
        assert shifted.startswith("3 of 4 pairs inspected are shifted")

    def test_one_pair_at_a_time_is_in_memory(self):
        made = []

        class Once:
            """A source that holds nothing itself."""

            shape, dtype = (70, 80), np.dtype("u2")

            def read(self, region=None):
                alive = sum(plane() is not None for plane in made)
                assert alive <= 1, "planes of a pair before are kept"
                plane = picture(self.shape)
                made.append(weakref.ref(plane))
                return plane

        names = map(str, range(20))
        inspect([Sample(name, name, "YX", Once.shape, (Once(),), Once()) for name in names])
        assert len(made) == 24
