"""Planes in tiles: for a finite radius the result is the whole plane's, for any size, edge and stride."""

import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from training.errors import UserError
from training.inference.denoiser import Denoiser, TilesChangeTheResult
from training.inference.tiles import halo_for, largest_tile, plan, smallest_tile, spans


def random_plane(shape, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def tiled(predict, halo, stride=1, tile=None, local=True):
    """A denoiser of planes in tiles."""
    return Denoiser(predict, (halo, halo), (stride, stride), local=local).tiled(tile)


def network(padding_mode, *, strided):
    """A small random network; its receptive radius is 3 pixels, or 14 with a stride of 4."""
    torch.manual_seed(0)

    def conv():
        return torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode=padding_mode)

    def body(x):
        if not strided:
            return layers(x)
        height, width = x.shape[-2:]
        padded = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4), mode="replicate")
        coarse = middle(down(padded))
        return layers(padded + up(coarse))[..., :height, :width]

    layers = torch.nn.Sequential(conv(), torch.nn.ReLU(), conv(), torch.nn.ReLU(), conv())
    down, middle, up = torch.nn.Conv2d(1, 1, 4, stride=4), conv(), torch.nn.ConvTranspose2d(1, 1, 4, stride=4)

    def predict(batch):
        with torch.inference_mode():
            return body(torch.from_numpy(batch)).numpy()

    return predict


@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 65, 200, 1001])
@pytest.mark.parametrize(("tile", "halo", "stride"), [(64, 8, 1), (64, 7, 8), (41, 16, 8), (33, 16, 1)])
def test_the_cores_cover_an_axis_once_and_every_tile_keeps_size_phase_and_halo(length, tile, halo, stride):
    cut = spans(length, tile, halo, stride)
    assert_array_equal(np.concatenate([np.arange(length)[span.core] for span in cut]), np.arange(length))
    for span in cut:
        assert span.stop - span.start <= tile
        assert span.start % stride == 0
        assert span.core_start - span.start >= halo or span.start == 0
        assert span.stop - span.core_stop >= halo or span.stop == length


def test_a_plane_that_fits_is_one_tile():
    assert len(plan((64, 50), (64, 64), (20, 20), (8, 8))) == 1


def test_a_tile_without_a_core_cannot_be_planned():
    with pytest.raises(ValueError, match="no core"):
        spans(100, tile=32, halo=16)
    assert smallest_tile(16) == 33
    assert smallest_tile(15, stride=8) == 40


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("shape", [(64, 64), (50, 91), (5, 70), (33, 2)])
def test_tiles_give_the_whole_planes_result_edges_included(padding_mode, shape):
    predict = network(padding_mode, strided=False)
    plane = random_plane(shape)
    whole = predict(plane[None, None])[0, 0]
    assert_allclose(tiled(predict, halo=3, tile=16)(plane), whole, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(96, 96), (70, 101)])
def test_tiles_keep_the_phase_of_a_stride(shape):
    predict = network("replicate", strided=True)
    plane = random_plane(shape)
    whole = predict(plane[None, None])[0, 0]
    assert_allclose(tiled(predict, halo=14, stride=4, tile=50)(plane), whole, rtol=1e-5, atol=1e-4)


def test_too_small_a_halo_is_seen_as_seams():
    predict = network("zeros", strided=False)
    plane = random_plane((64, 64))
    assert np.abs(tiled(predict, halo=1, tile=16)(plane) - predict(plane[None, None])[0, 0]).max() > 0.1


def test_a_tile_below_the_halo_is_refused_with_the_sizes_that_work():
    with pytest.raises(UserError, match=r"`tile` 64 is too small.*halo of 48.*give 104 or more"):
        tiled(lambda x: x, halo=48, stride=8, tile=64)


def test_tiles_follow_the_memory():
    halo = stride = (16, 16)
    assert largest_tile((2000, 3000), 512 * 512, halo, stride) == (512, 512)
    assert largest_tile((100, 3000), 100 * 1600, halo, stride) == (100, 1600)
    assert largest_tile((2000, 3000), 0, halo, stride) == (smallest_tile(16, 16),) * 2
    assert largest_tile((40, 500, 500), 64**3, (4, 16, 16), (1, 8, 8)) == (40, 80, 80)


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to ..."),
    RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_when_memory_runs_out_smaller_tiles_are_taken_and_remembered(error):
    predict = network("zeros", strided=False)
    sizes = []

    def of_limited_memory(batch):
        sizes.append(max(batch.shape[-2:]))
        if sizes[-1] > 40:
            raise error
        return predict(batch)

    plane = random_plane((128, 128))
    denoise = tiled(of_limited_memory, halo=3)
    whole = predict(plane[None, None])[0, 0]
    assert_allclose(denoise(plane), whole, rtol=1e-5, atol=1e-4)
    assert sizes[0] == 128
    sizes.clear()
    assert_allclose(denoise(plane), whole, rtol=1e-5, atol=1e-4)
    assert max(sizes) <= 40


def test_no_memory_for_the_smallest_tile_is_one_clear_line():
    def greedy(batch):
        raise MemoryError

    with pytest.raises(UserError, match="memory ran out even for a tile of 7 x 7"):
        tiled(greedy, halo=3)(random_plane((64, 64)))


def test_another_fault_of_the_network_is_not_taken_for_lack_of_memory():
    def broken(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        tiled(broken, halo=3)(random_plane((64, 64)))


def test_a_network_that_sees_the_whole_image_warns_when_it_gets_tiles_and_only_then():
    def minus_mean(batch):
        return batch - batch.mean()

    plane = random_plane((64, 64))
    assert_array_equal(tiled(minus_mean, halo=8, local=False)(plane), plane - plane.mean())
    with pytest.warns(TilesChangeTheResult, match=re.escape("tiles of 32 x 32 pixels change the result")):
        tiled(minus_mean, halo=8, local=False, tile=32)(plane)


@pytest.mark.parametrize(
    ("radius", "stride", "halo"),
    [((17, 17), (1, 1), (17, 17)), (None, (8, 8), (96, 96)), ((185, 9), (8, 8), (192, 16)), ((2, 9), (1, 8), (2, 16))],
)
def test_the_halo_is_the_radius_in_whole_strides(radius, stride, halo):
    assert halo_for(radius, stride) == halo


def small_volume_network(stride):
    """A random network of volumes that reaches 2 pixels, with a stride along y and x."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv3d(1, 1, 3, padding=1, padding_mode=mode) for mode in ("zeros", "replicate")]

    def predict(batch):
        with torch.inference_mode():
            values = torch.from_numpy(batch)
            for layer in layers:
                values = torch.relu(layer(values))
            coarse = torch.nn.functional.avg_pool3d(values, (1, stride, stride), ceil_mode=True)
            spread = torch.nn.functional.interpolate(coarse, scale_factor=(1, stride, stride), mode="nearest")
            return (values + spread[..., : values.shape[-2], : values.shape[-1]]).numpy()

    return predict


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("shape", [(40, 41, 60), (3, 50, 33)])
def test_tiles_of_a_volume_give_the_whole_volumes_result_along_all_axes(stride, shape):
    predict = small_volume_network(stride)
    volume = random_plane(shape)
    sizes = set()

    def watched(batch):
        sizes.add(batch.shape[2:])
        return predict(batch)

    reach = 2 + stride - 1
    denoiser = Denoiser(watched, halo=halo_for((2, reach, reach), (1, stride, stride)), stride=(1, stride, stride))
    assert_allclose(denoiser.tiled(24)(volume), predict(volume[None, None])[0, 0], rtol=1e-5, atol=1e-4)
    assert np.max(list(sizes), axis=0).tolist() <= [24, 24, 24]
    assert min(size[1] for size in sizes) < shape[1]


def test_large_planes_come_in_tiles_on_the_cpu_except_for_a_network_that_sees_everything():
    sizes = []

    def watched(batch):
        sizes.append(batch.shape[2:])
        return batch

    plane = random_plane((700, 900))
    Denoiser(watched, (17, 17), (1, 1), bytes_per_pixel=1).tiled()(plane)
    assert 300 < np.max(sizes) <= 384
    sizes.clear()
    Denoiser(watched, (17, 17), (1, 1), bytes_per_pixel=1, local=False).tiled()(plane)
    assert sizes == [(700, 900)]
