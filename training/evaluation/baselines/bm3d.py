"""BM3D: blocks that look alike are stacked and filtered together, twice.

K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian: Image denoising by sparse 3-D transform-domain collaborative filtering.
IEEE Transactions on Image Processing 16(8), 2007. doi:10.1109/TIP.2007.901238. Written from the paper: its normal
profile of settings, but that blocks match by distances in units of the noise, so that the image's own units do not
matter (at noise of 25 of 255 both are the same), that the mean of a group is never taken away, and that there is one
profile for all noise levels. Computed a strip of the image at a time: the whole image's result does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.errors import DataError
from training.evaluation.baselines.baseline import Baseline

BLOCK = 8
"""Pixels a side of a block: the least that an image may have."""

_STEP = 3  # pixels from one reference block to the next
_REACH = 19  # pixels around a reference block in which blocks like it are looked for
_SEEN = 2 * _REACH + 1
_TILE = 8  # reference blocks a side whose matches are computed at once
_SIDE = (_TILE - 1) * _STEP + _SEEN  # positions a side that these look at
_THRESHOLD = 2.7  # standard deviations of the noise
_KAISER = 2.0
# Low-pass filter of the biorthogonal wavelet 1.5, over sqrt(2) / 256; its high-pass filter is Haar's.
_BIORTHOGONAL = (3, -3, -22, 22, 128, 128, 22, -22, -3, 3)


@dataclass(frozen=True)
class _Pass:
    """What the two passes differ in: blocks in a group, and the mean square difference, in units of the noise's."""

    blocks: int
    alike: float


_FIRST, _SECOND = _Pass(16, 4.0), _Pass(32, 0.64)


def bm3d(image: NDArray[np.floating], sigma: float) -> NDArray[np.float32]:
    """Return an image (Y, X) without its white Gaussian noise of standard deviation ``sigma``, in the image's units.

    Raises
    ------
    UserError
        If the image is smaller than a block of 8 x 8 pixels.
    """
    if min(image.shape) < BLOCK:
        raise DataError(f"{' x '.join(map(str, image.shape))} pixels are too few for BM3D: it needs 8 along each axis")
    if sigma <= 0 or np.ptp(image) == 0:
        return np.array(image, np.float32)
    centre = float(image.mean())
    noisy = torch.from_numpy(np.asarray((image - centre) / sigma, np.float32))
    basic = _filtered(noisy, None)
    return np.asarray(_filtered(noisy, basic).numpy() * sigma + centre, np.float32)


def _filtered(noisy: Tensor, basic: Tensor | None) -> Tensor:
    """Return one pass over noise of deviation 1: by hard thresholds, or with the result of that by Wiener's filter."""
    guide, settings = (noisy, _FIRST) if basic is None else (basic, _SECOND)
    transform = _biorthogonal() if basic is None else _cosine()
    forward = torch.kron(transform, transform).T.contiguous()
    inverse = torch.linalg.inv(forward)
    window = _window()
    height = noisy.shape[0] - BLOCK + 1
    total, weights = torch.zeros_like(noisy), torch.zeros_like(noisy)
    for first in range(0, -(-(height - 1) // _STEP) + 1, _TILE):
        top, bottom = max(first * _STEP - _REACH, 0), min(first * _STEP - _REACH + _SIDE, height)
        rows = slice(top, bottom + BLOCK - 1)
        blocks = _blocks(guide[rows])
        places, distances = _matches(blocks, top, height, first, settings.blocks)
        sizes = (distances <= settings.alike * BLOCK**2).sum(1).clamp(min=1)
        spectra = _blocks(noisy[rows]).reshape(-1, BLOCK**2) @ forward
        expected = None if basic is None else blocks.reshape(-1, BLOCK**2) @ forward
        sums, counts = torch.zeros_like(spectra), spectra.new_zeros(len(spectra))
        left = torch.ones_like(sizes, dtype=torch.bool)
        size = settings.blocks
        while size:
            chosen = places[left & (sizes >= size)][:, :size]
            left &= sizes < size
            if len(chosen):
                _collaborate(chosen, spectra, expected, sums, counts)
            size //= 2
        total[rows] += functional.fold(((inverse * window).T @ sums.T)[None], noisy[rows].shape, BLOCK)[0, 0]
        weights[rows] += functional.fold((window[:, None] * counts)[None], noisy[rows].shape, BLOCK)[0, 0]
    return total / weights


def _collaborate(chosen: Tensor, spectra: Tensor, expected: Tensor | None, sums: Tensor, counts: Tensor) -> None:
    """Filter groups of blocks, whose places are (groups, blocks), and add them, weighted, to the sums there."""
    across = _haar(chosen.shape[1])
    groups = across @ spectra[chosen]
    if expected is None:
        kept = groups.abs() > _THRESHOLD
        kept[:, 0, 0] = True
        weight = 1 / kept.sum((1, 2))
        groups = groups * kept
    else:
        power = (across @ expected[chosen]) ** 2
        shrunk = power / (power + 1)
        shrunk[:, 0, 0] = 1
        weight = 1 / (shrunk**2).sum((1, 2))
        groups = groups * shrunk
    groups = across.T @ groups * weight[:, None, None]
    sums.index_add_(0, chosen.flatten(), groups.flatten(0, 1))
    counts.index_add_(0, chosen.flatten(), weight.repeat_interleave(chosen.shape[1]))


def _matches(blocks: Tensor, top: int, height: int, first: int, number: int) -> tuple[Tensor, Tensor]:
    """Return for each reference block of a strip the places of those most like it, the nearest first, and distances.

    Parameters
    ----------
    blocks : Tensor, (rows, columns, 64)
        All blocks of the strip.
    top, height : int
        Row of the first of them in the image, and rows of all.
    first : int
        The number of the first row of reference blocks.
    number : int
        How many matches each gets.

    Returns
    -------
    places : Tensor of int, (references, number)
        Row times columns plus column, in the strip.
    distances : Tensor, (references, number)
        Sums of squares; infinite where there are not so many blocks.
    """
    rows, columns = blocks.shape[:2]
    across = -(-(columns - 1) // _STEP) + 1
    tiles = -(-across // _TILE)
    above = top - (first * _STEP - _REACH)
    room = (_SIDE, tiles * _TILE * _STEP + _SIDE - _TILE * _STEP)
    padded, squares = blocks.new_zeros(*room, BLOCK**2), blocks.new_full(room, torch.inf)
    here = slice(above, above + rows), slice(_REACH, _REACH + columns)
    padded[here], squares[here] = blocks, (blocks**2).sum(-1)
    # Reference blocks lie on a grid, but the last ones of it inside the image.
    down = (first + torch.arange(_TILE)) * _STEP
    along = torch.arange(tiles * _TILE) * _STEP
    inside = (down < height - 1 + _STEP)[:, None] & (along < columns - 1 + _STEP)
    at = down.clamp(max=height - 1) - top, along.clamp(max=columns - 1)
    references = blocks[at[0]][:, at[1]].view(_TILE, tiles, _TILE, -1).transpose(0, 1).reshape(tiles, _TILE**2, -1)
    seen = padded.unfold(1, _SIDE, _TILE * _STEP).permute(1, 2, 0, 3).reshape(tiles, BLOCK**2, _SIDE**2)
    around = squares.unfold(1, _SIDE, _TILE * _STEP).transpose(0, 1).reshape(tiles, 1, _SIDE**2)
    products = torch.baddbmm(around, references, seen, alpha=-2)
    strides = (_TILE**2 * _SIDE**2, _TILE * _SIDE**2 + _STEP * _SIDE, _SIDE**2 + _STEP, _SIDE, 1)
    windows = products.as_strided((tiles, _TILE, _TILE, _SEEN, _SEEN), strides).transpose(0, 1)
    inside = inside.view(_TILE, tiles, _TILE)
    distances, found = windows[inside].flatten(1).topk(number, largest=False)
    own = (references**2).sum(-1).view(tiles, _TILE, _TILE).transpose(0, 1)[inside]
    row = (down - _REACH - top).view(-1, 1, 1).expand_as(inside)[inside][:, None] + found // _SEEN
    column = (along - _REACH).view(1, tiles, _TILE).expand_as(inside)[inside][:, None] + found % _SEEN
    return row * columns + column, distances + own[:, None]


def _blocks(image: Tensor) -> Tensor:
    """Return all blocks of an image (Y, X), (rows, columns, 64)."""
    return image.unfold(0, BLOCK, 1).unfold(1, BLOCK, 1).flatten(2)


@cache
def _haar(size: int) -> Tensor:
    """Return the orthonormal Haar transform of so many values, a power of two, as a matrix."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        means = torch.kron(matrix, torch.tensor([[1.0, 1.0]]))
        differences = torch.kron(torch.eye(len(matrix)), torch.tensor([[1.0, -1.0]]))
        matrix = torch.cat([means, differences]) / 2**0.5
    return matrix


@cache
def _cosine() -> Tensor:
    """Return the orthonormal cosine transform of a block's side as a matrix."""
    number, place = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    matrix: Tensor = torch.cos(torch.pi * number * (2 * place + 1) / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


@cache
def _biorthogonal() -> Tensor:
    """Return the periodic wavelet transform 1.5 of a block's side down to one value, each row of length one."""
    matrix, size = torch.eye(BLOCK, dtype=torch.float64), BLOCK
    while size > 1:
        level = torch.eye(BLOCK, dtype=torch.float64)
        level[:size, :size] = 0
        for number in range(size // 2):
            for tap, weight in enumerate(_BIORTHOGONAL):
                level[number, (2 * number + tap - 4) % size] += weight
            level[size // 2 + number, 2 * number] = 1
            level[size // 2 + number, 2 * number + 1] = -1
        matrix = level @ matrix
        size //= 2
    lengths: Tensor = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
    return (matrix / lengths).float()


@cache
def _window() -> Tensor:
    """Return the weights of a block's pixels, (64,), which are less at its edges."""
    side: Tensor = torch.kaiser_window(BLOCK, periodic=False, beta=_KAISER)
    return (side[:, None] * side).flatten()


BASELINE = Baseline("bm3d", "BM3D", partial(bm3d, sigma=1.0), smallest=BLOCK)
