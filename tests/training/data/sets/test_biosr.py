"""BioSR from MRC files of its own layouts."""

import numpy as np
import pytest
from helpers.distributed import biosr, mrc
from helpers.own_images import every, names, refused

from training.data import DataSettings, open_dataset


def opened(root, **options):
    return open_dataset(DataSettings(dataset="biosr", data=root, options=options), test_fraction=0.1, seed=0)


def test_frames_are_transposed_and_a_cell_stays_together(tmp_path):
    stacks = biosr(tmp_path)
    data = opened(tmp_path)
    assert names(data.test) == [f"CCPs_Cell_003_{number}" for number in range(9)]
    noisy, clean = data.test[4].pair()
    np.testing.assert_array_equal(noisy, stacks[3, 1][:, :, 4])
    np.testing.assert_array_equal(clean, stacks[3, "gt"][:, :, 4])
    part = (slice(2, 9), slice(0, 5))
    np.testing.assert_array_equal(data.test[4].frame(part), noisy[part])
    assert data.source.dtype == "uint16"
    assert "CCPs/Cell_003/RawSIMData_gt.mrc" in data.hashes()


@pytest.mark.parametrize(("mode", "dtype"), [(1, "int16"), (2, "float32"), (6, "uint16")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_types_byte_orders_and_an_extended_header(tmp_path, mode, dtype, order):
    stacks = biosr(tmp_path, mode=mode, order=order, extended=288)
    data = opened(tmp_path, level=2, frame=0)
    assert data.source.dtype == dtype
    assert len(every(data)) == 3
    np.testing.assert_array_equal(data.test[0].frame(), stacks[3, 2][:, :, 0])


def test_er_has_folders_of_its_own_and_a_clean_file_a_level(tmp_path):
    stacks = biosr(tmp_path, "ER", levels=(1, 2, 6))
    data = opened(tmp_path, specimen="ER", level=2, frame=3)
    np.testing.assert_array_equal(data.test[0].pair(), [stacks[3, 2][..., 3], stacks[3, "gt2"][..., 3]])
    taken = opened(tmp_path, level=2, clean_level=6, frame=3)
    np.testing.assert_array_equal(taken.test[0].clean_frame(), stacks[3, 6][..., 3])


def test_specimens_that_are_there_come_together(tmp_path):
    biosr(tmp_path, "F-actin_Nonlinear", shape=(12, 12, 25))
    biosr(tmp_path, "Microtubules")
    assert {sample.field[:7] for sample in every(opened(tmp_path))} == {"F-actin", "Microtu"}
    assert len(every(opened(tmp_path, specimen="F-actin_Nonlinear"))) == 75


def test_headers_without_the_marks_of_the_format(tmp_path):
    stacks = biosr(tmp_path)
    for path in tmp_path.rglob("*.mrc"):
        content = bytearray(path.read_bytes())
        content[208:216] = bytes(8)
        path.write_bytes(content)
    np.testing.assert_array_equal(opened(tmp_path, frame=0).test[0].frame(), stacks[3, 1][..., 0])


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"level": 5}, r"Cell_001 has no level 5 \(it has 1, 2, 9\): choose another `option` level"),
            ({"clean_level": 6}, "Cell_001 has no level 6"),
            ({"specimen": "ER"}, "holds no folder ER"),
            ({"frame": 9}, "holds 9 frames, 0 to 8"),
        ],
    )
    def test_options(self, tmp_path, options, told):
        biosr(tmp_path)
        refused(told, dataset="biosr", data=tmp_path, options=options)

    def test_nothing_there(self, tmp_path):
        refused("holds no folder of any of its specimens, such as CCPs", dataset="biosr", data=tmp_path)
        (tmp_path / "ER").mkdir()
        refused("ER holds no cells", dataset="biosr", data=tmp_path)

    @pytest.mark.parametrize("size", [0, 500, 1100, 6000])
    def test_cut_off_files(self, tmp_path, size):
        biosr(tmp_path, extended=288)
        path = tmp_path / "CCPs/Cell_002/RawSIMData_level_01.mrc"
        path.write_bytes(path.read_bytes()[:size])
        refused(r"Cell_002/RawSIMData_level_01.mrc is no MRC file or cut off", dataset="biosr", data=tmp_path)

    def test_other_files(self, tmp_path):
        biosr(tmp_path)
        path = tmp_path / "CCPs/Cell_002/RawSIMData_gt.mrc"
        mrc(path, np.ones((20, 16, 9)), mode=4)
        refused("RawSIMData_gt.mrc holds complex64", dataset="biosr", data=tmp_path)
        mrc(path, np.ones((16, 20, 9)))
        refused(r"differ in size \(9 x 16 x 20 and 9 x 20 x 16\)", dataset="biosr", data=tmp_path)
        for side in (0, -5, 2**31 - 1):
            path.write_bytes(side.to_bytes(4, "little", signed=True) + path.read_bytes()[4:])
            refused("RawSIMData_gt.mrc is no MRC file", dataset="biosr", data=tmp_path)
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        refused("RawSIMData_gt.mrc is no MRC file", dataset="biosr", data=tmp_path)
        path.unlink()
        refused("RawSIMData_gt.mrc is missing", dataset="biosr", data=tmp_path)
