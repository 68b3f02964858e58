"""The halo that a package declares: measured on tiles of its own example, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.package.tensors import slanted
from training.inference.backends import from_module
from training.inference.tiles import Span, in_tiles

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated
    from training.networks import Network

Array = NDArray[np.float32]

SEAM_LIMIT = 1e-4
"""What counts as no seam, as a part of the output's range."""
HALOS = (8, 16, 24, 32, 48, 64, 80, 96, 112)
"""Pixels, tried in turn; twice the largest still fits the largest of the smallest sizes that are declared."""
GLOBAL_HALOS = (32, 64)
"""The same for a network that sees the whole image: no halo takes its seams away, and each one takes minutes."""
CONTEXT = 48
"""Pixels of the image beyond its halo that a tile does not see, at least."""
SHORT = 32
"""Pixels of a radius that is taken whole: 6 % of a 512 tile on each side, which is all that exactness costs."""


def halo_of(model: Calibrated, image: NDArray[Any], network: Network, settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the smallest halo at which tiles of the example show no seam, or little more than any halo leaves.

    It is measured in a plane and taken along each space axis, a number an axis.

    A short receptive radius is taken whole: tiles are then exactly the whole image, on every image.
    """
    noisy = np.asarray(image, np.float32)[None, None]
    radius = network.radius(settings)
    candidates = GLOBAL_HALOS if radius is None else HALOS
    halo, _ = measure_halo(from_module(model), noisy, stride=lcm(*network.stride), candidates=candidates)
    if radius is None or max(radius) > SHORT:
        return (halo,) * len(network.stride)
    return tuple(max(halo, reach) for reach in radius)


def measure_halo(
    predict: Callable[[Array], Array],
    image: Array,
    *,
    stride: int,
    candidates: Iterable[int] = HALOS,
    limit: float = SEAM_LIMIT,
) -> tuple[int, dict[int, float]]:
    """Return the smallest halo at which the seams between four tiles stay below ``limit``, and those at each one tried.

    Parameters
    ----------
    predict : Callable
        From (batch, channel, height, width) of any size to the same.
    image : array (1, 1, height, width)
        A real one; a larger one without symmetry is made of it.
    stride : int
        The network's total stride: halos are multiples of it.
    candidates : iterable of int
        Halos to try, in ascending order; those that are no multiple of the stride are passed over.
    limit : float
        Of the output's range.

    Returns
    -------
    halo : int
        The smallest that stays below, else the largest tried (a network with global attention: the seam remains).
    seams : dict
        From halo to the largest difference, as a part of the range.
    """
    tried = [halo for halo in candidates if halo % stride == 0]
    meet = -(-(CONTEXT + max(tried)) // stride) * stride
    whole = slanted(image, (2 * meet, 2 * meet))
    wanted = predict(whole)
    range_ = float(np.ptp(wanted)) or 1.0
    seams: dict[int, float] = {}
    for halo in tried:
        both = Span.cut(0, meet + halo, 2 * meet, halo), Span.cut(meet - halo, 2 * meet, 2 * meet, halo)
        seams[halo] = float(np.abs(in_tiles(predict, whole, product(both, repeat=2)) - wanted).max()) / range_
        if seams[halo] < limit:
            return halo, seams
    return min(seams, key=lambda halo: (seams[halo] >= 2 * min(seams.values()), halo)), seams
