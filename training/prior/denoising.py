"""Whole images by the deep image prior: scaled, in tiles that overlap, averaged, each tile fitted by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from training.prior.configuration import Configuration
from training.prior.fitting import Options, fit
from training.prior.stopping import Iteration

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, OVERLAP = 512, 128
"""Pixels a side, AUTO-DIP's."""

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Stage:
    """How far an image is.

    Attributes
    ----------
    tile, tiles : int
        The tile that is fitted, from 1, and how many there are.
    iteration : Iteration
        Of that tile.
    noisy, so_far : ndarray, float32, (Y, X)
        In the image's units; where nothing was fitted yet, ``so_far`` is the noisy image.
    """

    tile: int
    tiles: int
    iteration: Iteration
    noisy: NDArray[np.float32]
    so_far: NDArray[np.float32]


def windows(shape: Sequence[int], depth: int) -> list[Window]:
    """Return the tiles of an image (Y, X), AUTO-DIP's: 512 pixels a side, a new one every 384, the last one cut.

    Where the cut would leave the last one too small for the depth, it reaches back as far as the depth needs.
    """
    rows, columns = (_spans(length, 2**depth + 1) for length in shape)
    return list(product(rows, columns))


def _spans(length: int, least: int) -> list[slice]:
    count = max(ceil((length - OVERLAP) / (TILE - OVERLAP)), 1)
    starts = (min(number * (TILE - OVERLAP), max(length - least, 0)) for number in range(count))
    return [slice(start, min(start + TILE, length)) for start in starts]


def denoise_plane(
    noisy: NDArray[np.float32],
    configuration: Configuration,
    *,
    seed: int,
    options: Options | None = None,
    device: str = "cpu",
    tell: Callable[[int, float], object] | None = None,
    every: int = 0,
    watch: Callable[[Stage], object] | None = None,
) -> NDArray[np.float32]:
    """Return one image denoised by networks that are fitted to it, one after another.

    Parameters
    ----------
    noisy : ndarray, float32, (Y, X)
        In any units; it is scaled by its own minimum and maximum.
    configuration : Configuration
    seed, options, device, tell
        As of ``training.prior.fitting.fit``; each tile starts from the same seed.
    every, watch
        How many iterations apart ``watch`` is called with a ``Stage``; 0: never.

    Returns
    -------
    ndarray, float32, (Y, X)
        In the same units; a constant image as it is.

    Raises
    ------
    UserError
        If the image is too small for the configuration's depth.
    """
    configuration.check_fits([min(length, TILE) for length in noisy.shape], "the image")
    low, extent = float(noisy.min()), float(np.ptp(noisy))
    if extent == 0:
        return noisy
    scaled = (noisy - low) / extent
    total, count = np.zeros(noisy.shape, np.float32), np.zeros(noisy.shape, np.float32)
    tiles = windows(noisy.shape, configuration.depth)
    for number, window in enumerate(tiles, 1):

        def show(iteration: Iteration, number: int = number, window: Window = window) -> None:
            assert watch is not None
            so_far = np.where(count > 0, total / np.maximum(count, 1), scaled)
            so_far[window] = iteration.image
            watch(Stage(number, len(tiles), iteration, noisy, np.asarray(so_far * extent + low, np.float32)))

        fitted = fit(
            scaled[window], configuration, seed=seed, options=options, device=device, tell=tell,
            every=every if watch is not None else 0, watch=show,
        )  # fmt: skip
        total[window] += fitted.image
        count[window] += 1
    return np.asarray(total / count * extent + low, np.float32)
