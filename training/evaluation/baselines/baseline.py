"""What a baseline is: a function from a noisy image to a denoised one, and what it is set to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from training.calibration.layer import restore, stabilise
from training.calibration.noise import NoiseModel
from training.errors import DataError

Floats = NDArray[np.float32]
Setting = Mapping[str, float]

_FLAT = 1e-3  # of the variance: where it grows by less over an image, it counts as the same everywhere


@dataclass(frozen=True)
class Baseline:
    """A classical way to denoise a plane (Y, X), to judge a network by.

    Attributes
    ----------
    name : str
        As it is chosen by.
    title : str
        As sentences call it.
    denoise : callable
        From a plane, float32, and settings by name to the denoised plane.
    stabilised : bool
        Whether the plane is given behind the generalised Anscombe transform, where its noise has a standard deviation
        of 1 everywhere, or else in its own units.
    grid : mapping
        From the name of a setting to the values that are tried.
    smallest : int
        Pixels that a plane has at least along each axis.
    """

    name: str
    title: str
    denoise: Callable[..., NDArray[np.floating]]
    stabilised: bool = True
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    smallest: int = 1

    @property
    def trials(self) -> list[Setting]:
        """All combinations of the values that are tried; one without names where there is nothing to set."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def __call__(self, image: NDArray[np.floating], noise: NoiseModel, setting: Setting) -> Floats:
        """Return an image (Y, X) or (Z, Y, X), plane by plane, denoised in its own units; one without noise as it is.

        Raises
        ------
        UserError
            If it is too small.
        """
        if min(image.shape[-2:]) < self.smallest:
            size = " x ".join(map(str, image.shape))
            raise DataError(f"{size} pixels are too few for {self.title}: it needs {self.smallest} along Y and X")
        planes = np.asarray(image, np.float32).reshape(-1, *image.shape[-2:])
        return np.stack([self._plane(plane, noise, setting) for plane in planes]).reshape(image.shape)

    def _plane(self, plane: Floats, noise: NoiseModel, setting: Setting) -> Floats:
        if np.ptp(plane) == 0 or (self.stabilised and noise.variance(plane.max()) <= 0):
            return plane
        if not self.stabilised:
            return np.asarray(self.denoise(plane, **setting), np.float32)
        forward, back = _stabilising(noise, plane)
        return np.asarray(back(self.denoise(np.asarray(forward(plane), np.float32), **setting)), np.float32)


Step = Callable[[NDArray[np.floating]], NDArray[np.floating]]


def _stabilising(noise: NoiseModel, plane: Floats) -> tuple[Step, Step]:
    """Return the map behind which the noise of a plane is of deviation 1, and its exact unbiased inverse."""
    low, high = noise.variance([plane.min(), plane.max()])
    if high - low <= _FLAT * high:
        deviation = float(np.sqrt(high))
        return (lambda image: image / deviation), (lambda image: image * deviation)
    constants = noise.pedestal, noise.gain, noise.read_noise

    def through(change: Callable[..., torch.Tensor]) -> Step:
        return lambda image: change(torch.from_numpy(image.astype(np.float64)), *constants).numpy()

    return through(stabilise), through(restore)
