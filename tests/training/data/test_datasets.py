"""Pairs of images: how they are found, split, cut and looked over, and what is said where they do not fit."""

import hashlib
import itertools
import pickle
import unicodedata
import weakref

import numpy as np
import pytest
import tifffile
from helpers.image_sets import save_set
from PIL import Image
from pydantic import Field

from training.data import DATASETS, DataSettings, Sample, open_dataset, register
from training.data.options import DatasetOptions
from training.data.quality import inspect
from training.data.sample import ArraySource, DataSource
from training.data.sets.hagen import NAMES
from training.data.splits import field_of, split
from training.errors import UserError
from training.fitting.trainer import train
from training.runs.run import create_run, open_run
from training.runs.settings import Recipe, Settings

RNG = np.random.default_rng(0)


def picture(shape=(24, 20), dtype="u2"):
    return RNG.integers(10, 200, shape).astype(dtype)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="minisblack", **options)


def folders(tmp_path, names, noisy="{}.tif", clean="{}.tif", **options):
    for name in names:
        save(tmp_path / "noisy" / noisy.format(name), picture(**options))
        save(tmp_path / "clean" / clean.format(name), picture(**options))
    return tmp_path / "noisy", tmp_path / "clean"


def own(noisy, clean, *, test_fraction=0.1, seed=0, **settings):
    return open_dataset(DataSettings(noisy=noisy, clean=clean, **settings), test_fraction=test_fraction, seed=seed)


def names(pairs):
    return [pair.name for pair in pairs]


def every(data):
    return [*data.train, *data.validation, *data.test]


def refused(told, **settings):
    with pytest.raises(UserError, match=told) as caught:
        open_dataset(DataSettings(**settings), test_fraction=0.1, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestMatching:
    @pytest.mark.parametrize(
        ("noisy", "clean"), [("{}.tif", "{}.tif"), ("{}.tif", "{}.png"), ("{}.TIF", "{}.ome.tif"), ("{}.png", "{}.png")]
    )
    def test_by_name_or_by_name_before_the_ending(self, tmp_path, noisy, clean):
        data = own(*folders(tmp_path, "abc", noisy, clean))
        assert sorted(names(every(data))) == ["a", "b", "c"]
        for pair in every(data):
            first, second = pair.pair()
            for side, array, ending in (("noisy", first, noisy), ("clean", second, clean)):
                path = tmp_path / side / ending.format(pair.name)
                np.testing.assert_array_equal(
                    array, np.asarray(Image.open(path)) if path.suffix == ".png" else tifffile.imread(path)
                )

    @pytest.mark.parametrize("pattern", ["n_{}_low.tif={}-gt.tif", "n_{}_low={}-gt"])
    def test_by_a_pattern(self, tmp_path, pattern):
        data = own(*folders(tmp_path, "abc", "n_{}_low.tif", "{}-gt.tif"), pattern=pattern)
        assert sorted(names(every(data))) == ["a", "b", "c"]

    def test_in_one_folder_by_a_pattern(self, tmp_path):
        for name in "abc":
            save(tmp_path / f"{name}_low.tif", picture())
            save(tmp_path / f"{name}_high.tif", picture())
        data = own(tmp_path, tmp_path, pattern="{}_low.tif={}_high.tif")
        assert sorted(names(every(data))) == ["a", "b", "c"]
        assert data.warnings() == []

    def test_two_stacks(self, tmp_path):
        stacks = picture((20, 16, 16)), picture((20, 16, 16))
        for name, stack in zip(("low", "high"), stacks, strict=True):
            save(tmp_path / f"{name}.tif", stack, metadata={"axes": "QYX"})
        data = own(tmp_path / "low.tif", tmp_path / "high.tif")
        assert data.name == "low"
        assert names(data.test) == ["low_q18", "low_q19"]
        np.testing.assert_array_equal(data.test[0].pair(), [stacks[0][18], stacks[1][18]])

    def test_files_without_a_partner_are_left_out_with_a_word(self, tmp_path):
        noisy, clean = folders(tmp_path, "abcd")
        (clean / "d.tif").unlink()
        (noisy / "notes.txt").write_text("not an image")
        (noisy / "._a.tif").write_bytes(b"what a Mac leaves behind")
        data = own(noisy, clean)
        assert len(every(data)) == 3
        assert data.warnings() == ["1 file without a partner left out: d.tif"]

    def test_what_is_left_by_name_is_matched_by_name_before_the_ending(self, tmp_path):
        noisy, clean = folders(tmp_path, ["f0"])
        folders(tmp_path, ["f1", "f2"], clean="{}.png", dtype="u1")
        save(noisy / "f3.tif", picture())
        data = own(noisy, clean)
        assert sorted(names(every(data))) == ["f0", "f1", "f2"]
        assert data.warnings()[0] == "1 file without a partner left out: f3.tif"
        save(noisy / "f3.png", picture(dtype="u1"))
        assert len(every(own(noisy, clean))) == 3
        save(clean / "f3.ome.tif", picture())
        refused(r"f3\.png and f3\.tif match alike by the name before its ending", noisy=noisy, clean=clean)

    def test_too_few_pairs_tell_of_the_files_without_a_partner(self, tmp_path):
        noisy, clean = folders(tmp_path, "a")
        save(noisy / "b.tif", picture())
        save(clean / "c.tif", picture())
        refused("one image only: .*; 2 files without a partner left out: b.tif, c.tif", noisy=noisy, clean=clean)

    def test_each_file_of_a_set_gives_its_own_planes(self, tmp_path):
        for side in ("noisy", "clean"):
            save_set(tmp_path / side, picture((12, 1, 8, 9)), {f"cell_t{t:02}.ome.tif": [(t, 0)] for t in range(12)})
        data = own(tmp_path / "noisy", tmp_path / "clean")
        assert sorted(names(every(data))) == [f"cell_t{t:02}" for t in range(12)]

    def test_names_that_become_alike_are_numbered(self, tmp_path):
        data = own(*folders(tmp_path, ["a b", "a_b", "a  b", "a_b_2"]))
        assert sorted(names(every(data))) == ["a_b", "a_b_2", "a_b_3", "a_b_4"]
        again = own(tmp_path / "noisy", tmp_path / "clean")
        assert names(every(again)) == names(every(data))
        for pair, same in zip(every(data), every(again), strict=True):
            np.testing.assert_array_equal(pair.pair(), same.pair())

    def test_a_name_that_is_no_utf_8_is_refused(self, tmp_path):
        try:
            noisy, clean = folders(tmp_path, ["a", "b", "caf\udce9"])
        except OSError:
            pytest.skip("this file system has no such names")
        refused(r"caf\\xe9\.tif is not named in UTF-8: rename the file", noisy=noisy, clean=clean)

    def test_images_of_different_size_may_stand_in_one_folder(self, tmp_path):
        folders(tmp_path, "ab", shape=(24, 20))
        noisy, clean = folders(tmp_path, "cd", shape=(31, 17))
        assert {pair.pair()[0].shape for pair in every(own(noisy, clean))} == {(24, 20), (31, 17)}

    def test_pairs_travel_to_other_processes(self, tmp_path):
        pair = own(*folders(tmp_path, "abc")).train[0]
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(pair)).pair(), pair.pair())


class TestUnicode:
    @pytest.mark.parametrize("pattern", [None, "é{}.tif=é{}.tif"])
    def test_a_name_is_the_same_however_its_accents_are_stored(self, tmp_path, pattern):
        for side, form in (("noisy", "NFD"), ("clean", "NFC")):
            for number in range(3):
                save(tmp_path / side / unicodedata.normalize(form, f"é{number}.tif"), picture())
        data = own(tmp_path / "noisy", tmp_path / "clean", pattern=pattern)
        assert not any("partner" in line for line in data.warnings())
        assert len(every(data)) == 3
        found = [*names(every(data)), *data.hashes()]
        assert all(unicodedata.is_normalized("NFC", name) for name in found)

    def test_the_shared_case(self, cases):
        data = own(cases / "unicode_names" / "noisy", cases / "unicode_names" / "clean")
        assert {*names(every(data))} == {"Präparat_é1", "Präparat_é2"}


class TestWithoutClean:
    def test_noisy_images_alone_are_samples(self, tmp_path):
        noisy, _ = folders(tmp_path, "abcd")
        data = own(noisy, None)
        assert sorted(names(every(data))) == list("abcd")
        assert data.train[0].noisy[0].read().shape == (24, 20)
        assert all(key.startswith("noisy/") for key in data.hashes())
        assert data.warnings() == []
        with pytest.raises(UserError, match="has no clean image, and what was asked for needs one: give `clean`"):
            data.train[0].pair()

    def test_a_pattern_has_nothing_to_pair(self, tmp_path):
        noisy, _ = folders(tmp_path, "abcd")
        refused("`pattern` says how names of a pair differ: give `clean`", noisy=noisy, pattern="{}=x{}")


class TestChannels:
    @pytest.fixture
    def two(self, tmp_path):
        told = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
        for side in ("noisy", "clean"):
            for name in "abc":
                save(tmp_path / side / f"{name}.ome.tif", picture((2, 16, 16)), metadata=told)
        return {"noisy": tmp_path / "noisy", "clean": tmp_path / "clean"}

    @pytest.mark.parametrize(("channel", "index"), [("0", 0), ("1", 1), ("GFP", 1)])
    def test_one_trains(self, two, channel, index):
        data = own(**two, channel=channel)
        for pair in every(data):
            expected = tifffile.imread(two["noisy"] / f"{pair.name}.ome.tif")[index]
            np.testing.assert_array_equal(pair.pair()[0], expected)

    def test_which_must_be_said(self, two):
        refused(r"a\.ome\.tif holds 2 channels \(0 DAPI, 1 GFP\): choose one with `channel`", **two)

    @pytest.mark.parametrize("channel", ["2", "RFP"])
    def test_and_must_be_there(self, two, channel):
        refused(rf"`channel` {channel}: .*a\.ome\.tif has the channels 0 to 1 \(DAPI, GFP\)", **two, channel=channel)

    def test_may_be_stored_as_planar_samples(self, tmp_path):
        arrays = {}
        for side, name in itertools.product(("noisy", "clean"), "abc"):
            arrays[side, name] = picture((4, 24, 20))
            save(tmp_path / side / f"{name}.tif", arrays[side, name], planarconfig="separate", metadata=None)
        refused(r"a\.tif holds 4 channels \(0 to 3\)", noisy=tmp_path / "noisy", clean=tmp_path / "clean")
        for pair in every(own(tmp_path / "noisy", tmp_path / "clean", channel="2")):
            np.testing.assert_array_equal(pair.pair(), [arrays[side, pair.name][2] for side in ("noisy", "clean")])

    def test_is_not_chosen_from_one(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        refused("has one channel", noisy=noisy, clean=clean, channel="1")
        assert len(every(own(noisy, clean, channel="0"))) == 3


class TestSplits:
    def test_the_last_fields_test_and_a_tenth_of_the_others_validates(self, tmp_path):
        noisy, clean = folders(tmp_path, [f"fov_{number}" for number in range(1, 81)], shape=(4, 4))
        data = own(noisy, clean, test_fraction=0.2)
        assert names(data.test) == [f"fov_{number}" for number in range(65, 81)]
        assert (len(data.train), len(data.validation)) == (58, 6)
        again, other = own(noisy, clean, test_fraction=0.2), own(noisy, clean, test_fraction=0.2, seed=1)
        assert names(again.validation) == names(data.validation) != names(other.validation)
        assert names(other.test) == names(data.test)

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("fov_007_t03_z2", "fov_007"),
            ("img_channel000_position001_time000000003_z000", "img_position001"),
            ("Cell_FOV_85_Timestamp_176_number_3", "Cell_FOV_85"),
            ("A1-t1", "A1"),
            ("plate2 well B3 frame 12", "plate2 well B3"),
            ("fov_007", "fov_007"),
            ("zebra12", "zebra12"),
        ],
    )
    def test_a_name_tells_the_field(self, name, field):
        assert field_of(name) == field

    def test_a_field_is_never_divided_by_name(self, tmp_path):
        told = [f"fov_{field:02d}_t{time}_z{z}" for field in range(10) for time in range(3) for z in range(2)]
        data = own(*folders(tmp_path, told, shape=(4, 4)), test_fraction=0.3)
        fields = [{pair.name[:6] for pair in part} for part in (data.train, data.validation, data.test)]
        assert [len(part) for part in fields] == [6, 1, 3]
        assert len(set.union(*fields)) == 10
        assert fields[2] == {"fov_07", "fov_08", "fov_09"}

    def test_a_field_is_never_divided_along_time_or_depth(self, tmp_path):
        for side in ("noisy", "clean"):
            for name in ("s1", "s2", "s3", "s4"):
                save(tmp_path / side / f"{name}.tif", picture((3, 2, 8, 8)), metadata={"axes": "TZYX"})
        data = own(tmp_path / "noisy", tmp_path / "clean")
        assert names(data.test) == [f"s4_t{t}_z{z}" for t in range(3) for z in range(2)]
        assert len({pair.field for pair in data.train}) == 2
        assert len({pair.field for pair in data.validation}) == 1

    def test_one_series_is_split_in_blocks_with_a_word(self, tmp_path):
        for side in ("noisy", "clean"):
            save(tmp_path / side / "movie.tif", picture((20, 8, 8)), metadata={"axes": "TYX"})
        data = own(tmp_path / "noisy", tmp_path / "clean")
        assert names(data.test) == ["movie_t18", "movie_t19"]
        assert names(data.validation) == ["movie_t16", "movie_t17"]
        assert any("one field of view: 20 planes" in line for line in data.warnings())

    def test_so_is_a_series_of_numbered_files(self, tmp_path):
        data = own(*folders(tmp_path, [f"movie_t{time}" for time in range(1, 21)], shape=(4, 4)))
        assert names(data.test) == ["movie_t19", "movie_t20"]
        assert names(data.validation) == ["movie_t17", "movie_t18"]

    @pytest.mark.parametrize("count", [2, 3, 4, 5])
    @pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
    def test_a_few_images_are_enough(self, tmp_path, count, fraction):
        data = own(*folders(tmp_path, "abcde"[:count]), test_fraction=fraction)
        assert min(len(data.train), len(data.validation), len(data.test)) >= 1
        assert not {*names(data.test)} & {*names(data.train), *names(data.validation)}
        if count == 2:
            assert any("two images only" in line for line in data.warnings())
        else:
            assert not {*names(data.train)} & {*names(data.validation)}

    def test_one_is_not(self, tmp_path):
        noisy, clean = folders(tmp_path, "a")
        refused("one image only", noisy=noisy, clean=clean)


class TestWhatDoesNotFit:
    def test_nothing_said(self):
        refused("nothing to train on")

    def test_half_a_pair_of_folders(self, tmp_path):
        refused("`clean` is given without `noisy`", clean=tmp_path)

    def test_a_missing_folder(self, tmp_path):
        refused("`clean` .*no does not exist", noisy=tmp_path, clean=tmp_path / "no")

    def test_an_empty_folder(self, tmp_path):
        noisy, _ = folders(tmp_path, "abc")
        (tmp_path / "empty").mkdir()
        refused("empty holds no file", noisy=noisy, clean=tmp_path / "empty")
        (tmp_path / "empty" / "a.nd2").touch()
        refused("no TIFF or PNG image, but a.nd2: export the images as OME-TIFF", noisy=noisy, clean=tmp_path / "empty")

    def test_the_same_folder_or_file_twice(self, tmp_path):
        noisy, _ = folders(tmp_path, "abc")
        refused("the same folder", noisy=noisy, clean=noisy)
        refused("the same file", noisy=noisy / "a.tif", clean=noisy / "a.tif")

    def test_a_folder_and_a_file(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        refused("give two folders or two files", noisy=noisy, clean=clean / "a.tif")

    def test_names_without_a_match_show_examples_and_a_pattern_that_would_do(self, tmp_path):
        noisy, clean = folders(tmp_path, ["1", "2", "10"], "cell{}_low.tif", "cell{}_high.tif")
        line = refused("no file of", noisy=noisy, clean=clean)
        for told in ("cell1_low.tif", "cell1_high.tif", "`pattern` 'cell{}_low.tif=cell{}_high.tif'"):
            assert told in line
        assert len(every(own(noisy, clean, pattern="cell{}_low.tif=cell{}_high.tif"))) == 3

    @pytest.mark.parametrize("pattern", ["{}_low", "{}=gt", "{}{}={}", "a=b=c"])
    def test_a_pattern_that_is_none(self, tmp_path, pattern):
        noisy, clean = folders(tmp_path, "abc")
        refused("is not NOISY=CLEAN", noisy=noisy, clean=clean, pattern=pattern)

    def test_a_pattern_that_fits_nothing(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        refused("by the pattern", noisy=noisy, clean=clean, pattern="{}_x={}_y")

    def test_two_files_for_one(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc", clean="{}.png")
        save(noisy / "a.ome.tif", picture())
        refused("match alike", noisy=noisy, clean=clean)

    def test_shapes_that_differ(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        save(clean / "b.tif", picture((24, 21)))
        line = refused("differ in height or width", noisy=noisy, clean=clean)
        for told in (str(noisy / "b.tif"), str(clean / "b.tif"), "Y 24 x X 20", "Y 24 x X 21"):
            assert told in line

    def test_stacks_of_unequal_length(self, tmp_path):
        save(tmp_path / "low.tif", picture((5, 8, 8)), metadata={"axes": "ZYX"})
        save(tmp_path / "high.tif", picture((4, 8, 8)), metadata={"axes": "ZYX"})
        refused("hold 5 and 4 planes", noisy=tmp_path / "low.tif", clean=tmp_path / "high.tif")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("side", ["noisy", "clean"])
    def test_nan(self, tmp_path, side, value):
        noisy, clean = folders(tmp_path, "abc", dtype="f4")
        broken = picture(dtype="f4")
        broken[3, 4] = value
        save(tmp_path / side / "c.tif", broken)
        refused(rf"{side}.c\.tif holds 1 NaN or infinite pixels", noisy=noisy, clean=clean)

    def test_a_file_that_is_no_image(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        (noisy / "b.tif").write_text("dear diary")
        refused("is no TIFF or PNG image", noisy=noisy, clean=clean)

    def test_colours(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc", "{}.png", "{}.png", dtype="u1")
        Image.fromarray(picture((24, 20, 3), "u1")).save(noisy / "b.png")
        refused("is a colour image", noisy=noisy, clean=clean)

    def test_an_option_of_other_data_is_not_ignored(self, tmp_path):
        noisy, clean = folders(tmp_path, "abc")
        refused("`preparation` has no meaning for your own images", noisy=noisy, clean=clean, preparation="quarter")
        refused("`option` spots has no meaning for your own images", noisy=noisy, clean=clean, options={"spots": 3})
        refused("`noisy` has no meaning for `dataset` nucleus", noisy=noisy, dataset="nucleus")

    def test_an_unknown_name_suggests_the_nearest(self):
        refused("did you mean nucleus", dataset="nucleous")


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


class TestHagen:
    @pytest.fixture
    def stacks(self, tmp_path):
        def write(name, frames=20, shape=(16, 16), folder="03-any/deep", dtype="u2"):
            stacks = [picture((frames, *shape), dtype) for _ in range(2)]
            for side, stack in zip(("low", "high"), stacks, strict=True):
                save(tmp_path / folder / f"{name}-{side}snr.tif", stack, metadata=None)
            return stacks

        return write

    def open(self, tmp_path, name, **settings):
        return open_dataset(DataSettings(dataset=name, data=tmp_path, **settings), test_fraction=0.1, seed=0)

    @pytest.mark.parametrize("name", NAMES)
    def test_ten_names_are_found_below_a_folder_and_split_as_published(self, tmp_path, stacks, name):
        low, high = stacks(name)
        data = self.open(tmp_path, name)
        assert data.name == name
        assert [pair.field for pair in data.test] == ["frame_018", "frame_019"]
        assert (len(data.train), len(data.validation)) == (16, 2)
        np.testing.assert_array_equal(data.test[1].pair(), [low[19], high[19]])
        assert data.source.licence == "CC0-1.0"
        assert data.source.doi == "10.1093/gigascience/giab032"

    @pytest.mark.parametrize(("frames", "tests"), [(104, 11), (79, 8), (100, 10), (84, 9)])
    def test_the_published_numbers_of_test_frames(self, tmp_path, stacks, frames, tests):
        stacks("nucleus", frames, (4, 4))
        data = self.open(tmp_path, "nucleus")
        assert len(data.test) == tests
        assert data.test[0].field == f"frame_{int(0.9 * frames):03d}"

    @pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
    def test_of_any_type(self, tmp_path, stacks, dtype):
        stacks("membrane", dtype=dtype)
        assert self.open(tmp_path, "membrane").source.dtype == np.dtype(dtype)

    def test_hashes_are_of_the_files_by_their_place(self, tmp_path, stacks):
        stacks("nucleus")
        hashes = self.open(tmp_path, "nucleus").hashes()
        assert list(hashes) == ["03-any/deep/nucleus-lowsnr.tif", "03-any/deep/nucleus-highsnr.tif"]
        for name, told in hashes.items():
            assert told == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    def test_links_to_folders_are_followed_and_may_run_in_circles(self, tmp_path, stacks):
        low, _ = stacks("nucleus", folder="elsewhere")
        (tmp_path / "data" / "deep").mkdir(parents=True)
        (tmp_path / "data" / "deep" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "data")
        data = self.open(tmp_path / "data", "nucleus")
        assert list(data.hashes()) == [f"deep/link/nucleus-{side}snr.tif" for side in ("low", "high")]
        np.testing.assert_array_equal(data.test[0].pair()[0], low[18])
        (tmp_path / "data" / "again").symlink_to(tmp_path / "elsewhere")
        assert len(self.open(tmp_path / "data", "nucleus").hashes()) == 2

    def test_quarters_stay_in_their_frame(self, tmp_path, stacks):
        low, high = stacks("actin-confocal", 4, (1024, 1024), dtype="u1")
        data = self.open(tmp_path, "actin-confocal", preparation="quarter")
        assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 4, 4]
        assert {pair.field for pair in data.test} == {"frame_003"}
        pieces = [pair.pair() for pair in data.test]
        for side, stack in enumerate((low, high)):
            whole = np.block([[pieces[0][side], pieces[1][side]], [pieces[2][side], pieces[3][side]]])
            np.testing.assert_array_equal(whole, stack[3])

    def test_the_quarters_of_the_middle(self, tmp_path, stacks):
        low, _ = stacks("membrane", 3, (2048, 2048), dtype="u1")
        data = self.open(tmp_path, "membrane", preparation="c-quarter")
        pieces = [pair.pair()[0] for pair in data.test]
        whole = np.block([[pieces[0], pieces[1]], [pieces[2], pieces[3]]])
        np.testing.assert_array_equal(whole, low[2, 512:1536, 512:1536])

    @pytest.mark.parametrize("preparation", ["quarter", "c-quarter"])
    def test_quarters_of_another_size_are_refused(self, tmp_path, stacks, preparation):
        stacks("nucleus")
        refused(
            f"`preparation` {preparation} takes .* holds 16 x 16",
            dataset="nucleus",
            data=tmp_path,
            preparation=preparation,
        )

    def test_an_unknown_preparation(self, tmp_path, stacks):
        stacks("nucleus")
        refused("the names are whole, quarter, c-quarter", dataset="nucleus", data=tmp_path, preparation="half")

    def test_no_folder_said_or_there(self, tmp_path):
        refused("needs `data` DIR", dataset="nucleus")
        refused("is no folder", dataset="nucleus", data=tmp_path / "no")

    def test_the_file_is_not_there(self, tmp_path, stacks):
        refused("download it", dataset="nucleus", data=tmp_path)
        stacks("membrane")
        refused("nucleus-lowsnr.tif is nowhere below .*: it has membrane-highsnr.tif", dataset="nucleus", data=tmp_path)

    def test_the_file_is_there_twice(self, tmp_path, stacks):
        stacks("nucleus")
        stacks("nucleus", folder="copy")
        line = refused("have the same name", dataset="nucleus", data=tmp_path)
        assert "copy" in line
        assert "03-any" in line

    def test_stacks_of_unequal_length(self, tmp_path, stacks):
        stacks("nucleus", 5)
        save(tmp_path / "03-any/deep/nucleus-highsnr.tif", picture((4, 16, 16)), metadata=None)
        refused("hold 5 and 4 planes", dataset="nucleus", data=tmp_path)

    def test_one_frame(self, tmp_path, stacks):
        stacks("nucleus", 1)
        refused("one image only", dataset="nucleus", data=tmp_path)


class TestRealFiles:
    @pytest.mark.parametrize("channel", [0, 1, 2])
    def test_w2s_is_split_by_field_and_was_scaled_file_by_file(self, shared, channel):
        root = shared("data/w2s") / f"channel{channel}"
        data = own(root / "low", root / "high", test_fraction=0.2)
        assert names(data.test) == [f"fov_{number:03d}" for number in range(65, 81)]
        told = data.warnings()
        assert any("scaled by itself" in line for line in told)
        assert not any("shifted" in line for line in told)
        assert len(data.hashes()) == 160

    @pytest.mark.parametrize("name", [name for name in NAMES if name != "actin-60x-noise2"])
    def test_hagen_frames_are_found(self, shared, name):
        refused(f"{name}-lowsnr.tif: one image only", dataset=name, data=shared("data/hagen_samples"))


class TestRegistry:
    def test_every_file_of_the_folder_is_found(self):
        assert {"folders", "simulated", *NAMES} == DATASETS.keys()
        assert len(NAMES) == 10

    @pytest.fixture
    def ramps(self):
        """A data set that lies elsewhere, of three frames a field and with an option that is a list."""

        class RampOptions(DatasetOptions):
            heights: list[int]
            noise: float = Field(default=3.0, gt=0)

        class Ramps:
            options = RampOptions
            source = DataSource(dtype="float32")

            def __init__(self, name, options, *, test_fraction, seed):
                ramp = np.linspace(0, 1, 48, dtype="f4")[None] * np.ones((48, 1), "f4")
                rng = np.random.default_rng(0)
                samples = []
                for height in options.heights:
                    frames = [ArraySource(height * ramp + rng.normal(0, options.noise, ramp.shape)) for _ in range(3)]
                    clean = ArraySource(height * ramp)
                    samples.append(Sample(f"ramp_{height}", f"{height}", "YX", ramp.shape, tuple(frames), clean))
                parts = split(samples, where=name, test_fraction=test_fraction, seed=seed)
                self.name, self.train, self.validation, self.test = name, parts.train, parts.validation, parts.test

            def hashes(self):
                return {}

            def warnings(self):
                return []

        register("ramps", Ramps)
        yield Ramps
        DATASETS.pop("ramps", None)

    def test_another_data_set_has_options_of_its_own(self, ramps):
        settings = DataSettings(dataset="ramps", options={"heights": [100, 200, 300, 400]})
        assert settings.options == {"heights": [100, 200, 300, 400], "noise": 3.0}
        data = open_dataset(settings, test_fraction=0.1, seed=0)
        assert names(data.test) == ["ramp_400"]
        assert len(data.train[0].noisy) == 3
        refused(r"`option` noise=-1 of `dataset` ramps", dataset="ramps", options={"heights": [1], "noise": -1})
        refused("`dataset` ramps needs `option` heights", dataset="ramps")
        with pytest.raises(ValueError, match="there is a data set ramps already"):
            register("ramps", ramps)

    def test_it_trains(self, ramps, tmp_path):
        data = DataSettings(dataset="ramps", options={"heights": [100, 200, 300, 400]})
        recipe = Recipe(epochs=1, crop=16)
        settings = Settings(
            name="a", network="dncnn", network_settings={"depth": 3, "width": 4}, data=data, recipe=recipe
        )
        run = create_run(settings, tmp_path / "a")
        train(run, device="cpu")
        assert open_run(run.folder).provenance.data.splits["test"] == ["ramp_400"]

    def test_a_name_that_is_unknown_says_what_there_is(self):
        refused("`dataset` lysosomes is unknown: the names are .*nucleus.*simulated", dataset="lysosomes")

    def test_settings_of_a_data_set_that_is_not_there_can_still_be_read(self, ramps):
        settings = DataSettings(dataset="ramps", options={"heights": [1, 2]})
        DATASETS.pop("ramps")
        assert DataSettings.model_validate(settings.model_dump(mode="json")) == settings
