"""The photon transfer curve: noise variance against intensity, over many small blocks of noisy images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.calibration.noise import fit_line
from training.errors import DataError

BLOCK = 8
"""Pixels a side of a block: small enough for one intensity, large enough for its mean."""

LEAST = 16
"""Blocks that a line can be fitted through."""

_GROUPS = 32  # of blocks of like intensity, of each of which the smoother half is taken
_LEAST = 0.1  # of the median variance: what is taken for less would outweigh all else
_OUTLIER = 5.0  # standard deviations: beyond are hot pixels and edges

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """Blocks of noisy images, and the straight line through them, in image units.

    Attributes
    ----------
    means, variances : ndarray, (N,)
        Of the noise in each block.
    kept : ndarray of bool, (N,)
        The blocks that the line goes through.
    centre : float
        Mean intensity of these.
    height, slope : float
        Variance of the line at ``centre``, and what it grows by a unit of intensity, at least 0.
    covariance : ndarray, (2, 2)
        Of height and slope, from how the blocks scatter around the line.
    """

    means: Floats
    variances: Floats
    kept: NDArray[np.bool_]
    centre: float
    height: float
    slope: float
    covariance: Floats


def photon_transfer(
    planes: Sequence[ArrayLike], neighbours: tuple[float, float], known: tuple[float, float] | None = None
) -> Transfer:
    """Set the noise variance of small blocks against their mean, and fit a straight line.

    The variance of a block is that of a second difference along Y and X, which takes away smooth structure. Of blocks
    of like intensity the smoother half is taken, smoothness being judged by coarser differences. Blocks with saturated,
    cut-off or hot pixels, or edges, are left out.

    Parameters
    ----------
    planes : sequence of array_like, (H, W)
        Of one camera setting.
    neighbours : (float, float)
        Correlation of the noise of neighbours along Y and X: it does not move the variance.
    known : (float, float), optional
        An intensity, and the variance there, through which the line goes.

    Raises
    ------
    UserError
        Where there are fewer than 16 blocks.

    References
    ----------
    Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 17(10),
    2008, https://doi.org/10.1109/TIP.2008.2001399
    """
    blocks = np.concatenate([np.empty((0, BLOCK, BLOCK)), *(_blocks(np.asarray(plane)) for plane in planes)])
    if len(blocks) < LEAST:
        raise DataError(
            f"{len(blocks)} blocks of {BLOCK} x {BLOCK} pixels are too few to fit the noise of a camera: "
            "give larger images, or more"
        )
    blocks = blocks[_smooth(blocks, blocks.mean((1, 2)))]
    means = blocks.mean((1, 2))
    # (1, -2, 1) along both axes, of noise whose neighbours are correlated by r along one and r**2 at two steps.
    scale = np.prod([6 - 8 * r + 2 * r**2 for r in neighbours])
    response = np.diff(np.diff(blocks, 2, axis=1), 2, axis=2) / np.sqrt(scale)
    variances = (response**2).mean((1, 2))
    floor = max(float(np.median(variances)) * _LEAST, 1e-12)
    groups = _groups(means)
    slope, intercept = fit_line(
        *(np.array([np.median(values[group]) for group in groups]) for values in (means, variances)), floor=floor
    )
    for _ in range(3):
        expected = np.maximum(slope * means + intercept, floor)
        kept = np.abs(response).max((1, 2)) <= _OUTLIER * np.sqrt(expected)
        if kept.sum() < len(kept) / 4:
            kept[:] = True
        slope, intercept = fit_line(means[kept], variances[kept], expected[kept], floor=floor)
    expected = np.maximum(slope * means + intercept, floor)[kept]
    x, y, centre = means[kept], variances[kept], float(means[kept].mean())
    if known is not None:
        lever = (x - known[0]) / expected
        slope = max(float(lever @ ((y - known[1]) / expected)) / max(float(lever @ lever), 1e-300), 0.0)
        intercept = known[1] - slope * known[0]
        design = lever[:, None]
    else:
        design = np.stack([np.ones_like(x), x - centre], axis=1) / expected[:, None]
    residual = (y - slope * x - intercept) / expected
    inverse = np.linalg.pinv(design.T @ design)
    covariance = inverse @ (design.T * residual**2) @ design @ inverse
    if known is not None:
        covariance = covariance * np.array([[(centre - known[0]) ** 2, centre - known[0]], [centre - known[0], 1.0]])
    return Transfer(means, variances, kept, centre, slope * centre + intercept, slope, covariance)


def correlation(image: ArrayLike) -> tuple[float, ...]:
    """Return the correlation of the noise of neighbouring pixels along each axis, without a clean image.

    A second difference along another axis takes away smooth structure and leaves the correlation along this one as it
    is. Blocks of like intensity are taken together, those with outliers left out.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        A noisy image; 0 along an axis that is too short.
    """
    values = np.asarray(image, dtype=np.float64)
    found = []
    for axis in range(values.ndim):
        across = values.ndim - 1 if axis != values.ndim - 1 else values.ndim - 2
        planes = np.moveaxis(values, (across, axis), (-2, -1))
        blocks = np.concatenate([_blocks(plane) for plane in planes.reshape(-1, *planes.shape[-2:])])
        blocks = blocks[_smooth(blocks, blocks.mean((1, 2)))]
        ratios = []
        for group in _groups(blocks.mean((1, 2))):
            part = np.diff(blocks[group], 2, axis=1)
            size = np.sqrt(np.median((part**2).mean((1, 2)))) if len(part) else 0.0
            part = part[np.abs(part).max((1, 2), initial=0.0) <= _OUTLIER * size]
            if size > 0 and len(part):
                ratios.append(float((part[..., 1:] * part[..., :-1]).mean() / (part**2).mean()))
        found.append(float(np.mean(ratios)) if ratios else 0.0)
    return tuple(found)


def _blocks(plane: NDArray[np.generic]) -> Floats:
    """Cut a plane into blocks, (N, 8, 8), without those at the ends of the camera's range."""
    height, width = (size // BLOCK * BLOCK for size in plane.shape)
    parts = plane[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks = parts.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK).astype(np.float64)
    at_ends = [(blocks == end).sum((1, 2)) > 1 for end in (plane.min(), plane.max())]
    inside = ~(at_ends[0] | at_ends[1])
    return blocks[inside] if inside.any() else blocks


def _smooth(blocks: Floats, means: Floats) -> NDArray[np.intp]:
    """Return the numbers of the smoother half of blocks of like intensity."""
    half = BLOCK // 2
    quarters = blocks.reshape(-1, 2, half, 2, half).mean((2, 4)).reshape(-1, 4)
    roughness = quarters.var(1)
    smoother = [group[roughness[group] <= np.median(roughness[group])] for group in _groups(means) if len(group)]
    return np.concatenate([np.empty(0, dtype=np.intp), *smoother])


def _groups(means: Floats) -> list[NDArray[np.intp]]:
    """Return the numbers of blocks of like intensity."""
    return np.array_split(np.argsort(means, kind="stable"), min(_GROUPS, max(len(means) // 16, 1)))
