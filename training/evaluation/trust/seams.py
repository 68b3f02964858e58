"""Lines where tiles meet: steps of the result along a straight line, which the data do not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEGMENT = 16  # pixels of a line over which a step has one sign
_NEAR = 12  # lines on each side that a line is compared with
_PERIODS = range(16, 257)  # pixels between lines


@dataclass(frozen=True)
class Seam:
    """The strongest lines along one axis."""

    strength: float
    """How far the lines stand out of the others, in standard deviations of these; a single line or those of a grid."""

    axis: int
    """The axis that they lie across."""

    first: int
    """Pixels before the first of them."""

    period: int
    """Pixels from one to the next; 0 of a single line."""


def find_seam(residual: NDArray[np.float64]) -> Seam:
    """Return the strongest straight lines of steps in a residual (H, W) or (D, H, W), in standard deviations of noise.

    Across each line of pixels the residual's step is averaged over short segments, so that noise averages out, and
    squared. Lines at equal distances are taken together, since tiles have one size.
    """
    return max((_along(residual, axis) for axis in range(residual.ndim)), key=lambda seam: seam.strength)


def _along(residual: NDArray[np.float64], axis: int) -> Seam:
    lines = np.moveaxis(np.clip(residual, -5, 5), axis, 0)
    if len(lines) < 4 * _NEAR:
        return Seam(0.0, axis, 0, 0)
    lines = lines.reshape(len(lines), -1)
    count = max(lines.shape[1] // _SEGMENT, 1)
    segments = np.stack([part.mean(1) for part in np.array_split(lines, count, axis=1)], axis=1)
    pairs = (segments[1:-2] + segments[:-3] - segments[3:] - segments[2:-1]) / 2  # two pixels on each side
    power = np.log(np.mean(pairs**2, axis=1) + 1e-12)
    width = 2 * _NEAR + 1
    padded = np.pad(power, _NEAR, mode="reflect")
    power = power - np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    power /= max(float(np.median(np.abs(power))) * 1.4826, 1e-9)
    at = int(power.argmax())
    best = Seam(float(power[at]), axis, at + 2, 0)
    for period in _PERIODS:
        if period > len(power) // 2:
            break
        whole = power[: len(power) // period * period].reshape(-1, period)
        # The weakest of the lines must stand out too: one line is no grid.
        strengths = np.sqrt(len(whole)) * whole.mean(0) * (whole.min(0) > 0.5)
        phase = int(strengths.argmax())
        if strengths[phase] > best.strength:
            best = Seam(float(strengths[phase]), axis, phase + 2, period)
    return best
