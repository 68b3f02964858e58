"""Clean images on the scale of the noisy ones, and the range of intensities that losses are relative to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

    from training.data import Sample

IntensityFit = Literal["dataset", "image", "none"]


@dataclass(frozen=True)
class Intensity:
    """How clean images are brought onto the noisy ones' scale.

    Attributes
    ----------
    mode : {"dataset", "image", "none"}
        With "image" each pair is fitted by itself, and ``slope`` and ``offset`` are medians, for the record.
    slope, offset : float
        ``slope * clean + offset``, in the units of the noisy images.
    """

    mode: IntensityFit
    slope: float
    offset: float

    def apply(self, noisy: NDArray[np.float32], clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the clean plane (H, W) on the scale of the noisy one; both whole, so that crops agree."""
        slope, offset = fit_affine(clean, noisy) if self.mode == "image" else (self.slope, self.offset)
        return _scaled(clean, slope, offset)

    def scaling(self, sample: Sample) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return what brings the sample's clean image, or a region of it, onto the scale of its noisy one."""
        slope, offset = fit_affine(*sample.pair()[::-1]) if self.mode == "image" else (self.slope, self.offset)
        return partial(_scaled, slope=slope, offset=offset)


def _scaled(image: NDArray[np.float32], slope: float, offset: float) -> NDArray[np.float32]:
    return (slope * image.astype(np.float64) + offset).astype(np.float32)


@dataclass(frozen=True)
class Range:
    """Intensities of the training images: what losses and validation scores are relative to.

    Attributes
    ----------
    low, extent : float
        0.1 percentile of the noisy images, and from there to the 99.9 percentile.
    """

    low: float
    extent: float

    def scaled(self, image: torch.Tensor) -> torch.Tensor:
        """Return an image with the range mapped onto [0, 1]."""
        return (image - self.low) / self.extent


def fit_affine(source: ArrayLike, target: ArrayLike) -> tuple[float, float]:
    """Return slope and offset that bring ``source`` closest to ``target`` in the least squares sense.

    Parameters
    ----------
    source, target : array_like
        Images of one shape, in any units.

    Returns
    -------
    slope, offset : float
        ``slope * source + offset`` approximates ``target``; a constant ``source`` gives slope 0 and the
        mean of ``target``.
    """
    x = np.asarray(source, dtype=np.float64).ravel()
    y = np.asarray(target, dtype=np.float64).ravel()
    centred = x - x.mean()
    variance = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / variance if variance > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())
