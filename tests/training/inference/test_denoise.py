"""Images of any axes and type, denoised plane by plane, and what is said of images unlike those of training."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from training.errors import UserError
from training.images import channel_number, planes
from training.inference.denoiser import Denoiser
from training.inference.denoising import denoise, plane_count


def halve(batch):
    return batch / 2


HALVE = Denoiser(halve, halo=(2, 2), stride=(1, 1))


def image(shape, dims, dtype="uint16", **attrs):
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    return xr.DataArray(values, dims=dims, attrs={"path": "cells.tif", "dtype": str(np.dtype(dtype)), **attrs})


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((6, 7), "YX"), ((3, 6, 7), "ZYX"), ((2, 3, 4, 6, 7), "TCZYX"), ((3, 6, 7), "SYX"), ((1, 1), "YX")],
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float16", "float32", "float64"])
def test_axes_and_attributes_stay_and_nothing_is_rounded(shape, dims, dtype):
    given = image(shape, tuple(dims), dtype, resolution=(0.1, 0.1, "micrometer"))
    result = denoise(given, HALVE)
    assert result.dims == given.dims
    assert result.attrs == given.attrs
    assert result.dtype == (np.float64 if dtype in ("uint32", "float64") else np.float32)
    assert_array_equal(result.values, given.values.astype(np.float32) / 2)


def test_axes_in_another_order_are_refused():
    with pytest.raises(ValueError, match="last two axes must be Y and X"):
        denoise(image((6, 7, 3), ("Y", "X", "S")), HALVE)


def test_each_plane_goes_alone_through_the_network_and_only_when_asked_for():
    shapes = []

    def predict(batch):
        shapes.append(batch.shape)
        return batch

    stack = image((4, 2, 6, 7), ("T", "C", "Y", "X"))
    told = []
    result = denoise(stack, Denoiser(predict, halo=(0, 0), stride=(1, 1)), progress=told.append)
    assert shapes == []
    result[2, 1].compute()
    assert shapes == [(1, 1, 6, 7)]
    result.compute()
    assert shapes == [(1, 1, 6, 7)] * 9
    assert len(told) == 9
    assert plane_count(stack) == 8


def test_a_lazy_stack_stays_lazy_whatever_its_chunks():
    def nowhere(block):
        raise AssertionError("read too early")

    stack = da.zeros((10, 64, 64), chunks=(5, 32, 32), dtype="uint16")
    lazy = da.map_blocks(nowhere, stack, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
    result = denoise(xr.DataArray(lazy, dims=("Z", "Y", "X")), HALVE)
    assert result.data.chunksize == (1, 64, 64)


def test_one_channel_can_be_denoised_and_the_others_kept():
    given = image((2, 3, 5, 6), ("T", "C", "Y", "X"), "uint32") + np.uint32(2**31 + 1)
    result = denoise(given, HALVE, channel=1).values
    assert_array_equal(result[:, 1], given.values[:, 1].astype(np.float32) / 2)
    assert_array_equal(result[:, [0, 2]], given.values[:, [0, 2]])


def test_a_channel_can_be_given_by_its_name():
    given = image((3, 5, 6), ("C", "Y", "X")).assign_coords(C=["DAPI", "GFP", "2"])
    assert [channel_number(given, name) for name in ("DAPI", "GFP", "0", 1, "2")] == [0, 1, 0, 1, 2]
    with pytest.raises(UserError, match=r"`channel` RFP: cells.tif has the channels 0 to 2 \(DAPI, GFP, 2\)"):
        denoise(given, HALVE, channel="RFP")


@pytest.mark.parametrize(
    ("dims", "channel", "words"),
    [
        ("CYX", 3, "`channel` 3: cells.tif has the channels 0 to 2"),
        ("CYX", "-1", "`channel` -1: cells.tif has the channels 0 to 2"),
        ("ZYX", 0, "no channel axis"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(dims, channel, words):
    with pytest.raises(UserError, match=words):
        denoise(image((3, 5, 6), tuple(dims)), HALVE, channel=channel)


def test_tiles_of_a_given_size():
    sizes = []

    def predict(batch):
        sizes.append(max(batch.shape))
        return batch

    given = image((100, 100), ("Y", "X"))
    assert_array_equal(denoise(given, Denoiser(predict, halo=(8, 8), stride=(4, 4)), tile=40), given)
    assert 2 * 8 < max(sizes) <= 40
    with pytest.raises(UserError, match="`tile` 12 is too small"):
        denoise(given, Denoiser(predict, halo=(8, 8), stride=(4, 4)), tile=12)


def test_a_model_that_gives_nan_is_refused():
    broken = Denoiser(lambda batch: batch * np.nan, halo=(0, 0), stride=(1, 1))
    with pytest.raises(UserError, match="gave NaN or infinity for an image of 5 x 6"):
        denoise(image((5, 6), ("Y", "X")), broken).compute()


@pytest.mark.parametrize("dims", ["ZYX", "TZCYX", "CZYX", "ZCYX"])
def test_a_model_of_volumes_runs_over_z_stacks_whatever_the_order_of_the_axes(dims):
    seen = []

    def minus_mean(batch):
        seen.append(batch.shape)
        return batch - batch.mean(axis=(-3, -2, -1), keepdims=True)

    sizes = {"T": 2, "Z": 4, "C": 3, "Y": 6, "X": 7}
    given = image(tuple(sizes[letter] for letter in dims), tuple(dims), "float32")
    told = []
    volumes = Denoiser(minus_mean, halo=(0, 0, 0), stride=(1, 1, 1), local=False)
    result = denoise(given, volumes, progress=told.append)
    assert seen == []
    written = np.stack([plane for _, plane in planes(result)]).reshape(given.shape)
    np.testing.assert_allclose(written, given - given.mean(("Z", "Y", "X")), atol=1e-4)
    assert result.dims == given.dims
    assert seen == [(1, 1, 4, 6, 7)] * (given.size // (4 * 6 * 7)), "each stack is computed once"
    assert sum(told) == plane_count(given)


def test_a_model_of_volumes_needs_a_z_axis():
    with pytest.raises(UserError, match=r"cells\.tif: has no Z axis"):
        denoise(image((6, 7), ("Y", "X")), Denoiser(halve, halo=(0, 0, 0), stride=(1, 1, 1)))
