"""FMD from files of its own layout."""

import hashlib

import numpy as np
import pytest
from helpers.distributed import fmd, fmd_mix
from helpers.own_images import every, names, picture, refused, save

from training.data import DataSettings, open_dataset
from training.errors import UserError


def opened(root, **options):
    return open_dataset(DataSettings(dataset="fmd", data=root, options=options), test_fraction=0.1, seed=0)


def test_field_nineteen_tests_and_each_capture_is_an_image(tmp_path):
    noisy, truth = fmd(tmp_path)
    data = opened(tmp_path)
    assert names(data.test) == [f"Confocal_FISH_19_{number:02d}" for number in range(3)]
    assert [len(part) for part in (data.train, data.validation)] == [12, 3]
    assert len({sample.field for sample in data.validation}) == 1
    np.testing.assert_array_equal(data.test[1].pair(), [noisy["raw", 19][1], truth[19]])
    assert data.source.dtype == "uint8"
    assert data.source.doi == "10.7274/r0-ed2r-4052"
    assert data.source.licence is None
    assert len(data.hashes()) == 6 * 4
    file = "Confocal_FISH/gt/19/avg50.png"
    assert data.hashes()[file] == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()


def test_a_kind_a_level_and_the_first_captures(tmp_path, monkeypatch):
    fmd(tmp_path)
    noisy, _ = fmd(tmp_path, "WideField_BPAE_R", levels=("raw", "avg4"))
    assert {sample.field[:9] for sample in every(opened(tmp_path))} == {"Confocal_", "WideField"}
    data = opened(tmp_path, kind="WideField_BPAE_R", level="avg4", captures=1)
    assert data.name == "WideField_BPAE_R"
    assert len(every(data)) == 6
    np.testing.assert_array_equal(data.test[0].frame(), noisy["avg4", 19][0])
    monkeypatch.chdir(tmp_path / "WideField_BPAE_R")
    for root in (tmp_path / "WideField_BPAE_R", "."):
        assert opened(root, level="avg4").test[0].field == "WideField_BPAE_R_19"


def test_captures_of_a_field_as_frames(tmp_path):
    noisy, _ = fmd(tmp_path)
    data = opened(tmp_path, repeats=True)
    assert names(data.test) == ["Confocal_FISH_19"]
    assert len(data.test[0].noisy) == 3
    np.testing.assert_array_equal(data.test[0].frame(number=2), noisy["raw", 19][2])


def test_the_mixed_set_tests_and_no_field_nineteen_trains(tmp_path):
    fmd(tmp_path)
    fmd_mix(tmp_path)
    data = opened(tmp_path, mix=True)
    assert names(data.test) == [
        f"mix_{kind}_{n}" for kind in ("Confocal_FISH", "WideField_BPAE_R") for n in range(1, 5)
    ]
    assert not any(sample.field.endswith("_19") for sample in (*data.train, *data.validation))
    assert len(opened(tmp_path, mix=True, kind="Confocal_FISH").test) == 4


def test_colour_becomes_gray_as_its_authors_convert(tmp_path):
    fmd(tmp_path)
    colours = picture((40, 40, 3), "u1")
    for path in (tmp_path / "Confocal_FISH/raw/19").iterdir():
        save(path, colours)
    gray = np.rint(0.2989 * colours[..., 0] + 0.5870 * colours[..., 1] + 0.1140 * colours[..., 2])
    read = opened(tmp_path).test[0].noisy[0]
    np.testing.assert_array_equal(read.read(), gray)
    np.testing.assert_array_equal(read.read((slice(3, 9), slice(0, 40))), gray[3:9])
    assert read.dtype == np.uint8


def test_lacking_fields_are_told_and_a_fraction_tests_instead_of_the_nineteenth(tmp_path):
    fmd(tmp_path, fields=range(1, 11))
    data = opened(tmp_path)
    assert {sample.field for sample in data.test} == {"Confocal_FISH_10"}
    assert "Confocal_FISH: without field 11, 12, 13, 14 and 6 more" in data.warnings()[0]


class TestWhatDoesNotFit:
    def test_no_folder_and_nothing_in_it(self, tmp_path):
        refused("`dataset` fmd needs `data` DIR", dataset="fmd")
        refused("is no folder: name the one that holds the folders of its tars", dataset="fmd", data=tmp_path / "no")
        refused("unpack the tars of https://drive", dataset="fmd", data=tmp_path)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"level": "avg8"}, "Confocal_FISH has no folder avg8: unpack Confocal_FISH.tar anew"),
            ({"kind": "TwoPhoton_MICE"}, "holds no folder TwoPhoton_MICE"),
            ({"kind": "Confocal_MOUSE"}, "`option` kind='Confocal_MOUSE' of `dataset` fmd: input should be"),
            ({"mix": True}, "holds no folder test_mix"),
            ({"captures": 0}, "`option` captures=0"),
        ],
    )
    def test_options(self, tmp_path, options, told):
        fmd(tmp_path)
        refused(told, dataset="fmd", data=tmp_path, options=options)

    def test_files(self, tmp_path):
        fmd(tmp_path)
        place = tmp_path / "Confocal_FISH"
        truth = place / "gt/2/avg50.png"
        whole = truth.read_bytes()
        truth.write_bytes(whole[:-30])
        refused(r"gt/2/avg50.png is cut off", dataset="fmd", data=tmp_path)
        save(truth, picture((40, 41), "u1"))
        refused(
            r"raw/2/capture_000.png and .*avg50.png differ in size \(40 x 40 and 40 x 41", dataset="fmd", data=tmp_path
        )
        truth.unlink()
        refused("gt/2/avg50.png does not exist", dataset="fmd", data=tmp_path)
        truth.write_bytes(whole)
        for path in (place / "raw/3").iterdir():
            path.unlink()
        refused("raw/3 holds no PNG images", dataset="fmd", data=tmp_path)

    def test_a_colour_image_that_is_damaged_inside(self, tmp_path):
        fmd(tmp_path)
        path = tmp_path / "Confocal_FISH/raw/19/capture_000.png"
        save(path, picture((40, 40, 3), "u1"))
        data = bytearray(path.read_bytes())
        data[60:90] = bytes(30)
        path.write_bytes(data)
        sample = opened(tmp_path).test[0]
        with pytest.raises(UserError, match=r"capture_000.png cannot be read, the file is damaged"):
            sample.frame()
