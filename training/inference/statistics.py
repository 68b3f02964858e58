"""What an image holds, and in what it is unlike the images that a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.noise import noise_level
from training.images import planes

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from training.calibration.camera import CameraProfile

_SAMPLE = 2_000_000  # pixels that an image's percentiles are taken from
_NOISE_PLANES = 9  # planes that an image's noise is the median of
_SMALLEST_FOR_NOISE = 16  # pixels a side: below, an estimate of the noise says nothing
_INTENSITY_MARGIN = 0.1  # of the trained range: an image may reach so far beyond it
_NOISE_FACTOR = 1.5  # an image's noise may be so much beyond that of any training image


class TrainedOn(BaseModel):
    """Type, intensities and noise of the noisy images that a model was trained on, in image units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    low: float
    """0.1 percentile over all of them."""

    high: float
    """99.9 percentile over all of them."""

    noise: float
    """Median of ``training.calibration.noise.noise_level``."""

    noise_range: tuple[float, float] | None = None
    """The same of the image with the least and the most noise; None in runs of version 0.1."""


@dataclass(frozen=True)
class ImageStatistics:
    """What one reading of an image shows, in its own units.

    Attributes
    ----------
    low, high : float
        Its 0.1 and 99.9 percentile, over a grid of its pixels.
    noise : float or None
        Median standard deviation of the noise over some of its planes; None where they are too small to tell.
    not_of_camera : tuple of str
        Why it is not of the camera that it was compared with.
    """

    low: float
    high: float
    noise: float | None
    not_of_camera: tuple[str, ...] = ()

    def differences(self, trained_on: TrainedOn) -> list[str]:
        """Return in what the image differs from the training images, each with the figures; empty if in nothing."""
        found = []
        margin = _INTENSITY_MARGIN * (trained_on.high - trained_on.low)
        seen = f"{self.low:.4g} to {self.high:.4g}"
        learnt = f"{trained_on.low:.4g} to {trained_on.high:.4g}"
        if self.high > trained_on.high + margin or self.low < trained_on.low - margin:
            found.append(f"intensities {seen} reach beyond those of training, {learnt}")
        elif self.high < trained_on.low + margin:
            found.append(f"intensities {seen} lie at the low end of those of training, {learnt}")
        if self.not_of_camera:
            return [*found, *(f"not of the camera that the model is for: {why}" for why in self.not_of_camera)]
        least, most = trained_on.noise_range or (trained_on.noise, trained_on.noise)
        if self.noise is None or not most or least / _NOISE_FACTOR <= self.noise <= most * _NOISE_FACTOR:
            return found
        learnt = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
        if self.noise == 0:
            found.append(f"no noise can be seen in it, unlike those of training, {learnt}")
        else:
            ratio = self.noise / (most if self.noise > most else least)
            found.append(
                f"noise of standard deviation {self.noise:.3g} is {ratio:.2g} times that of training, {learnt}"
            )
        return found


def image_statistics(image: xr.DataArray | NDArray[Any], camera: CameraProfile | None = None) -> ImageStatistics:
    """Read an image once, plane by plane, and return what it holds.

    Parameters
    ----------
    image : DataArray or ndarray, (..., Y, X)
        With one pixel at least. Of an image with channels, give one alone.
    camera : CameraProfile, optional
        The camera that it should be of.

    Returns
    -------
    ImageStatistics

    Raises
    ------
    UserError
        If a plane cannot be read (see ``training.images.open_image``).
    """
    import xarray as xr

    image = xr.DataArray(image)
    looked_at = set(np.linspace(0, prod(image.shape[:-2]) - 1, _NOISE_PLANES).astype(int).tolist())
    step = max(1, ceil(sqrt(image.size / _SAMPLE)))
    sample, noise, seen = [], [], []
    for number, (_, plane) in enumerate(planes(image)):
        sample.append(plane[::step, ::step].ravel())
        if number in looked_at and min(plane.shape) >= _SMALLEST_FOR_NOISE:
            noise.append(noise_level(plane))
            seen.append(plane)
    low, high = np.percentile(np.concatenate(sample).astype(np.float64), (0.1, 99.9))
    unlike = tuple(camera.differences(np.stack(seen))) if camera is not None and seen else ()
    return ImageStatistics(float(low), float(high), float(np.median(noise)) if noise else None, unlike)
