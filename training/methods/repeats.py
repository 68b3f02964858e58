"""Whether several frames of a field show the same: repeats, or a series that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.calibration.transfer import correlation

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.data.sample import Sample

_COMPARED = 16  # samples, evenly spread
_SIDES = (2, 4, 8, 16)  # pixels of the blocks whose means are compared
_FACTOR = 1.5  # of what noise alone gives
_SURE = 4.0  # standard errors


def moving(samples: Sequence[Sample], camera: CameraProfile | None = None) -> str | None:
    """Return in words, with the figure, the field whose frames differ most by more than noise; None if none does.

    The first frame is compared with the second and with the last. Noise averages out in the means of blocks of the
    difference, as far as neighbours are independent; what moved, or bleached, stays.
    """
    chosen = [samples[number] for number in np.unique(np.linspace(0, len(samples) - 1, _COMPARED).astype(int))]
    worst, name = 0.0, ""
    for sample in chosen:
        first = sample.frame().astype(np.float64)
        neighbours = tuple(camera.correlation.values()) if camera is not None else correlation(first)
        for number in sorted({1, len(sample.noisy) - 1}):
            found = excess(first - sample.frame(number=number), neighbours)
            if found > worst:
                worst, name = found, sample.name
    if worst <= 1:
        return None
    return f"the frames of {name} differ by {worst * _FACTOR:.1f} times what noise makes of them: it moves or bleaches"


def excess(difference: NDArray[np.float64], neighbours: Sequence[float]) -> float:
    """Return how far a difference of two frames (..., Y, X) goes beyond noise; above 1 it does.

    ``neighbours`` is the correlation of neighbouring pixels' noise along each axis.
    """
    planes = difference.reshape(-1, *difference.shape[-2:])
    worst = 0.0
    for side in _SIDES:
        height, width = (length // side for length in planes.shape[-2:])
        if min(height, width) < 2:
            break
        blocks = planes[:, : height * side, : width * side].reshape(-1, height, side, width, side)
        variance = float((blocks**2).mean())
        if variance == 0:
            break
        means = blocks.mean((2, 4))
        expected = np.prod([_summed(r, side) for r in neighbours[-2:]]) * variance / side**2
        allowed = _FACTOR + _SURE * np.sqrt(2 / means.size)
        worst = max(worst, float((means**2).mean() / expected / allowed))
    return worst


def _summed(r: float, side: int) -> float:
    """Return how much larger correlation makes the variance of a mean along an axis."""
    r = min(max(r, 0.0), 0.95)
    steps = np.arange(1, side)
    return float(1 + 2 * ((1 - steps / side) * r**steps).sum())
