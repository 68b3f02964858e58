"""How unlike two noisy images are: what the transfer finds the nearest calibration image by.

Images are scaled to 0 to 1 by their own minimum and maximum. Metrics over pixels compare the centres of both images;
the mean gradient and the embedding compare what each image says by itself, so sizes may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from training.errors import SettingError
from training.evaluation.metrics import mean_gradient, psnr, ssim
from training.prior import perceptual

if TYPE_CHECKING:
    from numpy.typing import NDArray

Metric = Literal["mae", "mse", "psnr", "ssim", "lpips", "gradient", "embedding"]
"""``gradient``: the mean gradient; ``embedding``: intensities and power by spatial frequency, in place of UMAP."""

METRICS: tuple[Metric, ...] = get_args(Metric)

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BANDS = 6  # of spatial frequency, an octave each


def distances(image: NDArray[Any], others: Sequence[NDArray[Any]], metric: Metric) -> NDArray[np.float64]:
    """Return how far an image (Y, X) is from each of the others, smaller is nearer.

    Raises
    ------
    UserError
        For ``lpips`` where its weights are missing.
    """
    if metric == "gradient":
        return np.array([abs(mean_gradient(image) - mean_gradient(other)) for other in others])
    if metric == "embedding":
        points = np.stack([embedding(other) for other in (image, *others)])
        spread = points[1:].std(axis=0)
        scaled = points / np.where(spread > 0, spread, 1)
        return np.asarray(np.linalg.norm(scaled[1:] - scaled[0], axis=1))
    if metric == "lpips" and perceptual.lpips() is None:
        raise SettingError(f"`metric` lpips: {perceptual.MISSING}; choose another")
    return np.array([_over_pixels(metric, *_centres(image, other)) for other in others])


def embedding(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return an image as a few numbers: quantiles of its intensities, its mean gradient, log power of octaves."""
    values = np.asarray(image, np.float64)
    rows, columns = np.fft.fftfreq(values.shape[0]), np.fft.rfftfreq(values.shape[1])
    frequency = np.hypot(rows[:, None], columns[None])
    power = np.abs(np.fft.rfft2(values - values.mean())) ** 2 / values.size
    edges = 0.5 ** np.arange(_BANDS, -1, -1)
    bands = []
    for low, high in pairwise(edges):
        inside = power[(frequency >= low) & (frequency < high)]
        bands.append(np.log(inside.mean() + 1e-9) if inside.size else 0.0)
    return np.array([*np.quantile(values, _QUANTILES), mean_gradient(values), *bands])


def _over_pixels(metric: Metric, image: NDArray[Any], other: NDArray[Any]) -> float:
    match metric:
        case "mae":
            return float(np.abs(image - other).mean())
        case "mse":
            return float(((image - other) ** 2).mean())
        case "psnr":
            return -psnr(other, image, data_range=1)
        case "ssim":
            return -ssim(other, image, data_range=1)
    compare = perceptual.lpips()
    assert compare is not None
    return compare(image, other)


def _centres(image: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middles of two images, of the size that both have."""
    shape = np.minimum(image.shape, other.shape)

    def middle(whole: NDArray[Any]) -> NDArray[np.float64]:
        top, left = (np.array(whole.shape) - shape) // 2
        return np.asarray(whole[top : top + shape[0], left : left + shape[1]], np.float64)

    return middle(image), middle(other)
