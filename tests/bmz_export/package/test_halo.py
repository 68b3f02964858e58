"""How the halo that a package declares is found."""

import numpy as np
import pytest

from bmz_export.package.halo import SEAM_LIMIT, measure_halo
from bmz_export.package.tensors import slanted


def box(radius, stride=1):
    """A predictor of that receptive radius on a grid of that stride: a box mean over the padded image."""

    def predict(image):
        size = 2 * radius + 1
        padded = np.pad(image, ((0, 0), (0, 0), (radius, radius), (radius, radius)))
        total = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(-2, -1)).mean(axis=(-2, -1))
        total[..., ::stride] += image[..., ::stride]
        return total.astype(np.float32)

    return predict


@pytest.mark.parametrize(("radius", "stride", "halo"), [(0, 1, 0), (5, 1, 8), (11, 1, 16), (7, 4, 8), (11, 16, 16)])
def test_the_halo_is_the_smallest_that_leaves_no_seam(radius, stride, halo):
    image = np.random.default_rng(0).random((1, 1, 96, 96), np.float32)
    found, tried = measure_halo(box(radius, stride), image, stride=stride, candidates=range(0, 65, 8))
    assert found == -(-halo // stride) * stride
    assert tried[found] < SEAM_LIMIT


def test_global_attention_has_no_halo_and_the_seam_that_remains_is_told():
    image = np.random.default_rng(0).random((1, 1, 96, 96), np.float32)
    _, tried = measure_halo(lambda part: part + 100 * part.mean(), image, stride=8, candidates=(0, 32, 64))
    assert min(tried.values()) > SEAM_LIMIT


@pytest.mark.parametrize("side", [16, 64, 100, 256])
def test_no_line_of_the_larger_image_is_a_mirror_axis_or_one_end_of_a_period(side):
    image = np.random.default_rng(0).random((side, side), np.float32)
    larger = slanted(image, (300, 400))
    for plane in (larger, larger.T):
        for at in range(16, plane.shape[1] - 16):
            before, after = plane[:, at - 16 : at], plane[:, at : at + 16]
            assert np.corrcoef(before[:, ::-1].ravel(), after.ravel())[0, 1] < 0.5
            again = plane[:, at + 64 : at + 80]
            assert again.shape != before.shape or np.corrcoef(before.ravel(), again.ravel())[0, 1] < 0.5


def test_the_larger_image_keeps_intensities_and_neighbours():
    rows, columns = np.ogrid[:90, :70]
    larger = slanted((100 * rows + columns).astype(np.float32), (300, 400))
    assert set(np.unique(larger)) <= {100 * y + x for y in range(90) for x in range(70)}
    for plane in (larger // 100, larger % 100):
        assert all(np.abs(np.diff(plane, axis=axis)).max() <= 1 for axis in (0, 1))
