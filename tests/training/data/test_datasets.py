"""Pairs of images: how they are found, split, cut and looked over, and what is said where they do not fit."""

import itertools
import pickle
import unicodedata

import numpy as np
import pytest
import tifffile
from helpers.image_sets import save_set
from helpers.own_images import every, folders, names, own, picture, refused, save
from PIL import Image

from training.data.sample import Sample
from training.data.splits import field_of, split
from training.errors import UserError


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


class TestPublishedSplits:
    def split(self, fields, tests, fraction=0.5):
        samples = [Sample.of_arrays(f"f{n}", np.ones((4, 4)), np.ones((4, 4))) for n in fields]
        parts = split(samples, where="here", test_fraction=fraction, seed=0, tests={f"f{n}" for n in tests})
        return [names(part) for part in (parts.train, parts.validation, parts.test)]

    def test_the_fields_that_test_as_published(self):
        train, validation, test = self.split(range(10), [2, 7])
        assert test == ["f2", "f7"]
        assert sorted(train + validation) == ["f0", "f1", "f3", "f4", "f5", "f6", "f8", "f9"]
        assert len(validation) == 1

    def test_a_fraction_where_none_or_nothing_else_is_there(self):
        assert self.split(range(4), [9])[2] == ["f2", "f3"]
        assert self.split(range(4), range(4))[2] == ["f2", "f3"]

    def test_one_field_beside_them(self):
        assert self.split([1, 2, 3], [2, 3]) == [["f1"], ["f1"], ["f2", "f3"]]


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
