"""Shah et al. and the pairs of 3D-RCAN and CARE: stacks of TIFF."""

import numpy as np
import pytest
from helpers.distributed import shah
from helpers.own_images import every, names, picture, refused, save

from training.data import DataSettings, open_dataset


def opened(name, root, **options):
    return open_dataset(DataSettings(dataset=name, data=root, options=options), test_fraction=0.1, seed=0)


class TestShah:
    @pytest.mark.parametrize("count", [1, 3])
    def test_means_of_the_first_pages_and_a_reference(self, tmp_path, count):
        stacks, references = shah(tmp_path)
        data = opened("shah", tmp_path, average=count)
        assert names(data.test) == ["FOV_100_Timestamp_176_number_2500"]
        noisy, clean = data.test[0].pair()
        np.testing.assert_allclose(noisy, stacks[100][:count].mean(0), rtol=1e-6)
        np.testing.assert_array_equal(clean, references[100])
        assert len(data.hashes()) == 6

    def test_the_mean_of_nine_pages_as_truth(self, tmp_path):
        stacks, _ = shah(tmp_path)
        clean = opened("shah", tmp_path, truth="mean").test[0].clean_frame((slice(4, 9), slice(0, 24)))
        np.testing.assert_allclose(clean, stacks[100].mean(0)[4:9], rtol=1e-6)

    def test_what_does_not_fit(self, tmp_path):
        refused("holds no DataSet3/Noisy_ImageStacks", dataset="shah", data=tmp_path)
        shah(tmp_path, pages=4)
        refused("holds 4 pages, 6 are wanted", dataset="shah", data=tmp_path, options={"average": 6})
        reference = tmp_path / "DataSet3/Reference_Images/SIM_FOV_90_Timestamp_1_number_2250.tif"
        save(reference, picture((48, 48)))
        refused(
            r"differ in size \(24 x 24 and 48 x 48 pixels\): take `option` truth=mean", dataset="shah", data=tmp_path
        )
        reference.unlink()
        refused("has no references of its field and number", dataset="shah", data=tmp_path)


class TestPairs:
    @pytest.mark.parametrize(("low", "high"), [("raw", "gt"), ("low", "GT")])
    def test_stacks_belong_together_in_the_order_of_their_names(self, tmp_path, low, high):
        stacks = [picture((5, 20, 24)) for _ in range(6)]
        for number in range(3):
            save(tmp_path / low / f"a_{number}.tif", stacks[number], metadata={"axes": "ZYX"})
            save(tmp_path / high / f"b_{number}.tif", stacks[3 + number], metadata={"axes": "ZYX"})
        data = opened("pairs", tmp_path)
        assert names(data.test) == [f"a_2_{plane:03d}" for plane in range(5)]
        assert len(every(data)) == 15
        np.testing.assert_array_equal(data.test[3].pair(), [stacks[2][3], stacks[5][3]])

    def test_what_does_not_fit(self, tmp_path):
        refused("holds 0 noisy and 0 clean stacks", dataset="pairs", data=tmp_path)
        save(tmp_path / "raw/a.tif", picture((5, 20, 24)), metadata=None)
        refused("holds 1 noisy and 0 clean stacks", dataset="pairs", data=tmp_path)
        save(tmp_path / "gt/a.tif", picture((4, 20, 24)), metadata=None)
        refused("hold 5 and 4 planes", dataset="pairs", data=tmp_path)
