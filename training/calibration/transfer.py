"""The photon transfer curve: noise variance against intensity, over many small blocks of noisy images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.calibration.noise import fit_line
from training.errors import DataError

BLOCK = 8
"""Pixels a side of a block: small enough for one intensity, large enough for its variance."""

_LEAST = 16  # blocks that a line can be fitted through
_GROUPS = 32  # of blocks of like intensity
_OUTLIER = 5.0  # standard deviations: beyond are hot pixels and edges
_MEDIAN = 0.6744897501960817  # of the size of normal noise of deviation 1
_SOUND = 0.5  # part of the differences of a block that must be without hot pixels
_FLOOR = 0.1  # of the median variance: what is taken for less would outweigh all else
_PILED = 1.3  # times as many pixels at an end of the range as beside it: they are cut off there
_CUT_OFF = 0.01  # part of the pixels of like intensity that may lie at an end of the camera's range
_WIDER = 1.1  # for what the scatter of the blocks does not show: they share pixels, and their weights are fitted
# Of order 4: microscopes show no detail of two pixels, so that what is left of structure is far below the noise.
_ORDER = 4
_KERNEL = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)

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
        Of the errors of height and slope.
    """

    means: Floats
    variances: Floats
    kept: NDArray[np.bool_]
    centre: float
    height: float
    slope: float
    covariance: Floats

    def scaled(self, factor: float, error: float) -> Transfer:
        """Return the same with all variances multiplied by a factor, of such a standard error."""
        line = np.array([self.height, self.slope])
        return replace(
            self,
            variances=self.variances * factor,
            height=self.height * factor,
            slope=self.slope * factor,
            covariance=self.covariance * factor**2 + error**2 * np.outer(line, line),
        )


def photon_transfer(planes: Sequence[NDArray[np.generic]], *, known: tuple[float, float] | None = None) -> Transfer:
    """Set the noise variance of small blocks against their mean, and fit a straight line.

    The variance of a block is that of a fourth difference along Y and X, which takes away structure; its mean is
    weighted as the difference weighs the noise of each pixel, without which bright lines in the middle of a block would
    count as noise. Blocks with hot pixels or edges are left out, and intensities at which the camera cuts off.

    Parameters
    ----------
    planes : sequence of ndarray, (H, W)
        Of one camera setting, of any sizes. Their noise is taken as independent from pixel to pixel.
    known : (float, float), optional
        An intensity, and the variance there, through which the line goes.

    Raises
    ------
    UserError
        Where there are fewer than 16 blocks, or they show no noise.

    References
    ----------
    Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 17(10),
    2008, https://doi.org/10.1109/TIP.2008.2001399 (the model and the idea of the fit)
    """
    parts = [differences(np.asarray(plane, dtype=np.float64)) for plane in planes]
    noise, intensities, cut_off = (np.concatenate([_cut(part[which]) for part in parts]) for which in range(3))
    means, variances = intensities.mean(1), (noise**2).mean(1)
    inside = ~_spoilt(means, cut_off.mean(1))
    if inside.sum() < _LEAST:
        raise DataError(
            f"{inside.sum()} blocks of {BLOCK} x {BLOCK} pixels that are not cut off at an end of the camera's range "
            "are too few to measure its noise: give larger images, or more, as the camera took them"
        )
    typical = (np.median(np.abs(noise), axis=1) / _MEDIAN) ** 2
    floor = _FLOOR * float(np.median(typical[inside]) or _FLOOR * variances[inside].mean())
    if floor <= 1e-12 * float(np.abs(means).max()) ** 2:
        raise DataError("no noise can be seen in the images: give them as the camera took them")
    groups = _groups(means[inside])
    slope, intercept = fit_line(
        *(np.array([np.median(values[inside][group]) for group in groups]) for values in (means, typical)), floor=floor
    )
    kept = inside
    for _ in range(3):
        sound = np.concatenate([_cut(_sound(*part[:2], slope, intercept, floor)) for part in parts])
        if (inside & (sound.mean(1) >= _SOUND)).sum() >= inside.sum() / 4:
            kept, count = inside & (sound.mean(1) >= _SOUND), np.maximum(sound.sum(1), 1)
            means, variances = (intensities * sound).sum(1) / count, (noise**2 * sound).sum(1) / count
        expected = np.maximum(slope * means + intercept, floor)
        slope, intercept = fit_line(means[kept], variances[kept], expected[kept], floor=floor)
    x, y, centre = means[kept], variances[kept], float(means[kept].mean())
    expected = np.maximum(slope * x + intercept, floor)
    if known is None:
        basis = np.stack([np.ones_like(x), x - centre], axis=1)
        line = np.eye(2)
    else:
        basis = (x - known[0])[:, None]
        slope = max(float(np.linalg.lstsq(basis / expected[:, None], (y - known[1]) / expected)[0][0]), 0.0)
        intercept = known[1] - slope * known[0]
        line = np.array([[centre - known[0]], [1.0]])
    errors = line @ _covariance(basis / expected[:, None], (y - slope * x - intercept) / expected) @ line.T
    return Transfer(means, variances, kept, centre, slope * centre + intercept, slope, errors)


def correlations(images: Sequence[NDArray[np.generic]], steps: int) -> Floats:
    """Return the correlation of the noise of pixels at 1, 2, ... steps along each axis, without a clean image.

    A fourth difference along another axis takes away structure and leaves the correlation along this one as it is.

    Parameters
    ----------
    images : sequence of ndarray, (..., H, W)
        Noisy images of one camera setting and one number of axes.
    steps : int
        Up to how many.

    Returns
    -------
    ndarray, (axes, steps)
        0 along an axis that is too short.
    """
    axes = images[0].ndim
    found = np.zeros((axes, steps))
    for axis in range(axes):
        across = axes - 1 if axis != axes - 1 else axes - 2
        sums, counts = np.zeros(steps + 1), np.zeros(steps + 1)
        for image in images:
            values = np.moveaxis(np.asarray(image, dtype=np.float64), (across, axis), (0, -1))
            noise, known = _standardised(_along(values, _KERNEL), _along(values, _KERNEL**2))
            for step in range(min(steps + 1, noise.shape[-1])):
                end = noise.shape[-1] - step
                sums[step] += (noise[..., step:] * noise[..., :end]).sum()
                counts[step] += (known[..., step:] & known[..., :end]).sum()
        if sums[0] > 0:
            found[axis] = (sums / np.maximum(counts, 1) * counts[0] / sums[0])[1:]
    return found


def correlation(image: ArrayLike) -> tuple[float, ...]:
    """Return the correlation of the noise of neighbouring pixels of an image (..., H, W) along each axis."""
    return tuple(correlations([np.asarray(image)], 1)[:, 0].tolist())


def variance_of_difference(along: Floats) -> float:
    """Return the variance of a fourth difference of noise of variance 1 with such correlations at 1 to 4 steps."""
    return 1.0 + 2.0 * float(np.correlate(_KERNEL, _KERNEL, "full")[len(_KERNEL) :] @ along)


def ends_of_range(plane: NDArray[np.generic]) -> tuple[float | None, float | None]:
    """Return the least and the largest value of a plane; None where few pixels have it: nothing is cut off there."""
    if not plane.size or plane.min() == plane.max():
        return None, None
    ends = (plane.min(), plane[plane > plane.min()].min()), (plane.max(), plane[plane < plane.max()].max())
    cut_off = [(plane == end).sum() > _PILED * (plane == beside).sum() + _LEAST for end, beside in ends]
    low, high = (float(end) if cut else None for (end, _), cut in zip(ends, cut_off, strict=True))
    return low, high


def _standardised(noise: Floats, intensities: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return noise over its standard deviation at that intensity, and where that is known; 0 elsewhere."""
    flat, known = noise.ravel().copy(), np.zeros(noise.size, dtype=bool)
    for group in _groups(intensities.ravel()):
        part = flat[group]
        size = (np.median(np.abs(part)) / _MEDIAN or np.sqrt((part**2).mean())) if len(part) else 0.0
        if size > 0:
            known[group] = np.abs(part) <= _OUTLIER * size
            flat[group] = part / np.sqrt((part[known[group]] ** 2).mean())
    flat[~known] = 0.0
    return flat.reshape(noise.shape), known.reshape(noise.shape)


def differences(plane: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the differences of a plane, and as they weigh pixels: intensity, and which part lies at an end."""
    ends = np.isin(plane, [end for end in ends_of_range(plane) if end is not None]).astype(np.float64)
    noise = _along(_along(plane, _KERNEL).T, _KERNEL).T
    intensities, cut_off = (_along(_along(values, _KERNEL**2).T, _KERNEL**2).T for values in (plane, ends))
    return noise, intensities, cut_off


def _sound(noise: Floats, intensities: Floats, slope: float, intercept: float, floor: float) -> Floats:
    """Return 1 for each difference that has no hot pixel or edge in it, else 0."""
    from scipy import ndimage

    beyond = noise**2 > _OUTLIER**2 * np.maximum(slope * intensities + intercept, floor)
    if not beyond.any():
        return np.ones(noise.shape)
    result: Floats = 1.0 - ndimage.maximum_filter(beyond.astype(np.uint8), size=len(_KERNEL))
    return result


def _along(values: Floats, kernel: Floats) -> Floats:
    """Correlate with a kernel along the first axis, where it fits."""
    length = max(len(values) - len(kernel) + 1, 0)
    result = np.zeros((length, *values.shape[1:]))
    for start, weight in enumerate(kernel):
        result += weight * values[start : start + length]
    return result


def _cut(values: Floats) -> Floats:
    height, width = (size // BLOCK for size in values.shape)
    parts = values[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    return parts.swapaxes(1, 2).reshape(-1, BLOCK**2)


def _covariance(design: Floats, residual: Floats) -> Floats:
    """Return the covariance of the coefficients of a fit by least squares, from its residuals (N,), of whatever sizes.

    White's, with the correction HC3 of MacKinnon and White, J. Econometrics 29, 1985,
    https://doi.org/10.1016/0304-4076(85)90158-7: a few bright blocks decide a slope.
    """
    inverse = np.linalg.pinv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residual = residual / np.maximum(1.0 - leverage, 0.1)
    result: Floats = _WIDER**2 * inverse @ (design.T * residual**2) @ design @ inverse
    return result


def _spoilt(means: Floats, cut_off: Floats) -> NDArray[np.bool_]:
    """Return which blocks lie at intensities of which a part is cut off, by camera or by file."""
    result = cut_off > 10 * _CUT_OFF
    for group in _groups(means):
        if len(group) and cut_off[group].mean() > _CUT_OFF:
            result[group] = True
    return result


def _groups(means: Floats) -> list[NDArray[np.intp]]:
    """Return the numbers of blocks of like intensity."""
    return np.array_split(np.argsort(means, kind="stable"), min(_GROUPS, max(len(means) // 16, 1)))
