"""The noise of a camera: its variance by intensity, from pairs or from noisy images alone, and its correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.errors import DataError

_BINS = 64  # of intensity
_BLOCK = 8  # pixels a side: small enough for one intensity, large enough for its mean
_GROUPS = 32  # of blocks of like intensity, of each of which the smoother half is taken
_LEAST = 0.1  # of the median variance: what is taken for less would outweigh all else
_OUTLIER = 5.0  # standard deviations: beyond are hot pixels and edges


@dataclass(frozen=True)
class NoiseModel:
    """Noise whose variance at intensity x is ``gain * (x - pedestal) + read_noise**2``, in image units.

    Noise of a straight line has two constants, not three: without dark frames either the pedestal or the read noise
    is 0.
    """

    gain: float
    pedestal: float
    read_noise: float

    def variance(self, intensity: ArrayLike) -> NDArray[np.float64]:
        """Return the variance at an intensity; 0 where the line would fall below."""
        x = np.asarray(intensity, dtype=np.float64)
        return np.maximum(self.gain * (x - self.pedestal) + self.read_noise**2, 0.0)


def fit_noise(noisy: ArrayLike, clean: ArrayLike) -> NoiseModel:
    """Fit noise variance against intensity as a straight line.

    The variance of ``noisy - clean`` is taken in bins of equally many pixels, outliers beyond four standard deviations
    left out, and the line is fitted with each bin weighted by how well it knows its variance. Bins in which the camera
    saturates are left out, for noise is cut off there.

    Parameters
    ----------
    noisy, clean : array_like
        Pixels of one size, on one scale.

    Returns
    -------
    NoiseModel
        Its gain is at least 0.

    References
    ----------
    Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 17(10),
    2008, https://doi.org/10.1109/TIP.2008.2001399 (the model; the fit is simpler, for the clean image is known)
    """
    y, x = np.asarray(noisy, dtype=np.float64).ravel(), np.asarray(clean, dtype=np.float64).ravel()
    order = np.argsort(x, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, max(x.size // 200, 1))) if part.size]
    saturated = y == y.max()
    kept = [part for part in bins if saturated[part].mean() < 0.01] or bins
    centres = np.array([x[part].mean() for part in kept])
    variances = np.array([_clipped(y[part] - x[part]).var() for part in kept])
    counts = np.array([part.size for part in kept], dtype=np.float64)
    # 8-bit files: rounding alone is worth 1/12.
    floor = max(float(variances.max()) * 1e-4, 1e-12)
    return _model(*_line(centres, variances, counts=counts, floor=floor))


def estimate_noise(images: Sequence[ArrayLike], dark: Sequence[ArrayLike] = ()) -> NoiseModel:
    """Fit noise variance against intensity as a straight line, from noisy images alone.

    In small blocks the variance of a second difference along Y and X, which takes away smooth structure, is set against
    the block's mean. Of blocks of like intensity the smoother half is taken, smoothness being judged by coarser
    differences. Blocks with saturated, cut-off or hot pixels, or edges, are left out.

    Parameters
    ----------
    images : sequence of array_like, shape (..., H, W)
        Noisy images of one camera setting and one number of axes, with at least a few hundred blocks of 8 x 8 pixels
        in all.
    dark : sequence of array_like
        Images taken without light: they tell the pedestal, their mean, from the read noise, their standard deviation.

    Returns
    -------
    NoiseModel
        In image units; the correlation of neighbours does not move it.

    Raises
    ------
    UserError
        Where there is no image, the images have different numbers of axes, or there are fewer than 16 blocks.

    References
    ----------
    Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 17(10),
    2008, https://doi.org/10.1109/TIP.2008.2001399
    """
    arrays = [np.asarray(image, dtype=np.float64) for image in images]
    axes = sorted({image.ndim for image in arrays})
    if len(axes) != 1 or axes[0] < 2:
        found = f"some of {' and some of '.join(map(str, axes))} axes" if axes else "none"
        raise DataError(f"noise is measured on images of one number of axes, 2 or more, here are {found}")
    neighbours = tuple(np.mean([correlation(image) for image in arrays], axis=0).tolist())
    blocks = np.concatenate([_blocks(plane) for image in arrays for plane in image.reshape(-1, *image.shape[-2:])])
    if len(blocks) < 16:
        raise DataError(
            f"{len(blocks)} blocks of {_BLOCK} x {_BLOCK} pixels are too few to fit the noise of a camera: "
            "give larger images, or more"
        )
    means = blocks.mean((1, 2))
    blocks = blocks[_smooth(blocks, means)]
    means = blocks.mean((1, 2))
    # (1, -2, 1) along both axes, of noise whose neighbours are correlated by r along one and r**2 at two steps.
    scale = np.prod([6 - 8 * r + 2 * r**2 for r in neighbours[-2:]])
    response = np.diff(np.diff(blocks, 2, axis=1), 2, axis=2) / np.sqrt(scale)
    variances = (response**2).mean((1, 2))
    floor = max(float(np.median(variances)) * _LEAST, 1e-12)
    groups = _groups(means)
    slope, intercept = _line(
        *(np.array([np.median(values[group]) for group in groups]) for values in (means, variances)), floor=floor
    )
    for _ in range(3):
        expected = np.maximum(slope * means + intercept, floor)
        kept = np.abs(response).max((1, 2)) <= _OUTLIER * np.sqrt(expected)
        if kept.sum() < len(kept) / 4:
            kept[:] = True
        slope, intercept = _line(means[kept], variances[kept], expected[kept], floor=floor)
    if not dark:
        return _model(slope, intercept)
    expected = np.maximum(slope * means + intercept, floor)[kept]
    frames = [_clipped(np.asarray(each, dtype=np.float64).ravel()) for each in dark]
    level, read = (float(np.mean([getattr(frame, what)() for frame in frames])) for what in ("mean", "var"))
    lever = (means[kept] - level) / expected
    gain = max(float(lever @ ((variances[kept] - read) / expected) / (lever @ lever)), 0.0)
    return NoiseModel(gain, level, float(np.sqrt(read)))


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


def noise_level(image: ArrayLike) -> float:
    """Return the standard deviation of white noise that one image shows, in its own units, without a clean image.

    A second difference in both directions takes away structure; the median of its size is robust against what is left.
    It is a figure to compare images by: correlated noise and fine structure move it.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        A plane or several of one image, at least 3 x 3; smaller ones give 0.

    References
    ----------
    Immerkær, Fast noise variance estimation, CVIU 64(2), 1996, https://doi.org/10.1006/cviu.1996.0060, with the median
    of Donoho and Johnstone in place of the mean.
    """
    values = np.asarray(image, dtype=np.float64)
    if min(values.shape[-2:]) < 3:
        return 0.0
    response = np.diff(np.diff(values, 2, axis=-2), 2, axis=-1)
    return float(np.median(np.abs(response)) / (0.6744897501960817 * 6.0))


def _blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a plane into blocks, (N, 8, 8), without those at the ends of the camera's range."""
    height, width = (size // _BLOCK * _BLOCK for size in plane.shape)
    parts = plane[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = parts.swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)
    at_ends = [(blocks == end).sum((1, 2)) > 1 for end in (plane.min(), plane.max())]
    inside = ~(at_ends[0] | at_ends[1])
    return blocks[inside] if inside.any() else blocks


def _smooth(blocks: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the numbers of the smoother half of blocks of like intensity."""
    half = _BLOCK // 2
    quarters = blocks.reshape(-1, 2, half, 2, half).mean((2, 4)).reshape(-1, 4)
    roughness = quarters.var(1)
    smoother = [group[roughness[group] <= np.median(roughness[group])] for group in _groups(means) if len(group)]
    return np.concatenate([np.empty(0, dtype=np.intp), *smoother])


def _groups(means: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the numbers of blocks of like intensity."""
    return np.array_split(np.argsort(means, kind="stable"), min(_GROUPS, max(len(means) // 16, 1)))


def _line(
    centres: NDArray[np.float64],
    variances: NDArray[np.float64],
    expected: NDArray[np.float64] | None = None,
    *,
    counts: NDArray[np.float64] | float = 1.0,
    floor: float,
) -> tuple[float, float]:
    """Return slope, at least 0, and intercept; each variance is weighted by how well it is known.

    That follows from how many pixels it is of and from the variance itself, as ``expected`` at first, then as fitted.
    """
    fitted = np.maximum(variances, floor) if expected is None else expected
    slope, intercept = 0.0, float(np.average(fitted, weights=np.broadcast_to(counts, fitted.shape)))
    for _ in range(10):
        weights = np.sqrt(counts) / fitted
        if np.ptp(centres) > 0:
            slope, intercept = (float(value) for value in np.polyfit(centres, variances, 1, w=weights))
        if slope <= 0:
            slope, intercept = 0.0, float(np.average(variances, weights=weights**2))
        fitted = np.maximum(slope * centres + intercept, floor)
    return slope, intercept


def _model(slope: float, intercept: float) -> NoiseModel:
    if slope > 0 and intercept < 0:
        return NoiseModel(slope, -intercept / slope, 0.0)
    return NoiseModel(slope, 0.0, float(np.sqrt(max(intercept, 0.0))))


def _clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values without what lies beyond four standard deviations."""
    for _ in range(3):
        centre, reach = values.mean(), 4 * values.std()
        inside = values[np.abs(values - centre) <= reach]
        if inside.size == values.size:
            break
        values = inside
    return values
