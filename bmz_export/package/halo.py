"""The halo that a package declares: measured on two tiles of its own example, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.package.tensors import fitted
from training.inference.backends import from_module

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated
    from training.networks import Network

Array = NDArray[np.float32]

SEAM_LIMIT = 1e-4
"""What counts as no seam: the halo that a package declares is the smallest that stays below."""
HALOS = (8, 16, 24, 32, 48, 64, 80, 96, 112)
"""Pixels, tried in turn; twice the largest still fits the largest of the smallest sizes that are declared."""
_SHORT = 32  # pixels: 6 % of a 512 tile on each side, which is all that exactness costs


def halo_of(model: Calibrated, image: NDArray[Any], network: Network, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the smallest halo at which two tiles of the example show no seam, or little more than any halo leaves.

    It is measured along X and taken along each space axis, a number an axis.

    A short receptive radius is taken whole: tiles are then exactly the whole image, on every image.
    """
    noisy = np.asarray(image, np.float32)[None, None]
    halo, _ = measure_halo(from_module(model), noisy, stride=lcm(*network.stride))
    radius = network.radius(settings) or (0,) * noisy[0, 0].ndim
    return tuple(max(halo, reach) if max(radius) <= _SHORT else halo for reach in radius)


def measure_halo(
    predict: Callable[[Array], Array],
    image: Array,
    *,
    stride: int,
    candidates: Iterable[int] = HALOS,
    limit: float = SEAM_LIMIT,
    least: int = 64,
) -> tuple[int, dict[int, float]]:
    """Return the smallest halo at which a seam between two tiles stays below ``limit``, and the seam at each one tried.

    Parameters
    ----------
    predict : Callable
        From (batch, channel, height, width) to the same.
    image : array (1, 1, height, width)
        A real one; mirrored up to the width that the tiles need.
    stride : int
        The network's total stride: halos are multiples of it.
    candidates : iterable of int
        Halos to try, in ascending order; those that are no multiple of the stride are passed over.
    limit : float
        Of the output's range.
    least : int
        Least size that the network takes, in pixels.

    Returns
    -------
    halo : int
        The smallest that stays below, else the largest tried (a network with global attention: the seam remains).
    seams : dict
        From halo to the largest difference, as a part of the range.
    """
    unit = stride * max(1, -(-8 // stride))
    tried = [halo for halo in candidates if halo % stride == 0]
    top = max(tried)
    tile = -(-max(2 * top + 64, least) // unit) * unit
    half = tile - top
    half -= half % stride
    height = -(-max(least, min(image.shape[-2], 128)) // stride) * stride
    whole = fitted(image, (*image.shape[:-2], height, 2 * half))
    wanted = predict(whole)
    range_ = float(np.ptp(wanted)) or 1.0
    seams: dict[int, float] = {}
    for halo in tried:
        left = predict(np.ascontiguousarray(whole[..., : half + halo]))[..., :half]
        right = predict(np.ascontiguousarray(whole[..., half - halo :]))[..., halo:]
        stitched = np.concatenate([left, right], axis=-1)
        seams[halo] = float(np.abs(stitched - wanted).max()) / range_
        if seams[halo] < limit:
            return halo, seams
    return min(seams, key=lambda halo: (seams[halo] >= 2 * min(seams.values()), halo)), seams
