"""How far denoised images are from clean ones, estimated from the noisy images and the line of their noise alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from training.calibration.camera import camera_of
from training.calibration.noise import NoiseModel

if TYPE_CHECKING:
    from training.calibration.statistics import Statistics

_STEP = 0.3  # of the noise: by so much the probe moves a pixel; less would drown in the rounding of half precision
_LEAST = 1e-6  # of the noise's mean variance


@dataclass(frozen=True)
class NoisyCrop:
    """A noisy image, or a part of it, that a denoiser is judged by.

    Attributes
    ----------
    image : torch.Tensor
        (1, 1, *space), float32, in image units.
    variance : torch.Tensor
        Of the noise of each pixel, likewise.
    probe : torch.Tensor
        Random numbers of mean 0 and variance ``variance``, correlated from pixel to pixel as the noise is.
    """

    image: torch.Tensor
    variance: torch.Tensor
    probe: torch.Tensor

    @classmethod
    def of(
        cls, image: NDArray[np.float32], noise: NoiseModel, correlation: tuple[float, ...], rng: np.random.Generator
    ) -> NoisyCrop:
        """Return a crop with its probe.

        Parameters
        ----------
        image : ndarray, float32, (Y, X) or (Z, Y, X)
            In the units of ``noise``.
        noise : NoiseModel
            Of the image that it is cut from.
        correlation : tuple of float
            Of the noise of neighbours along each axis.
        rng : Generator
            Draws the probe.
        """
        variance = noise.variance(image)
        variance = np.maximum(variance, max(float(variance.mean()) * _LEAST, 1e-12))
        probe = np.sqrt(variance) * _correlated(rng.standard_normal(image.shape), correlation)
        return cls(*(torch.from_numpy(part.astype(np.float32))[None, None] for part in (image, variance, probe)))

    def risk(self, denoise: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return the expected mean square error of a denoiser, as a part of the noise's own variance.

        It may fall below 0, for it is known up to chance only; its differences between two denoisers are known better.

        Notes
        -----
        For noise of covariance S the mean of ``(f(y) - y)**2 - S_ii + 2 * sum_j S_ij * df_i/dy_j`` is that of
        ``(f(y) - x)**2`` with x the clean image. Where the variance grows with the intensity this holds to first order
        in the size of a photo-electron. The derivatives are taken along one random probe.

        References
        ----------
        Stein, Estimation of the mean of a multivariate normal distribution, Annals of Statistics 9(6), 1981,
        https://doi.org/10.1214/aos/1176345632; Ramani, Blu, Unser, Monte-Carlo SURE, IEEE TIP 17(9), 2008,
        https://doi.org/10.1109/TIP.2008.2001404; Le Montagner, Angelini, Olivo-Marin, An unbiased risk estimator for
        image denoising in the presence of mixed Poisson-Gaussian noise, IEEE TIP 23(3), 2014,
        https://doi.org/10.1109/TIP.2014.2300821
        """
        denoised = denoise(self.image)
        moved = denoise(self.image + _STEP * self.probe)
        covariance = (self.probe * (moved - denoised)).mean() / _STEP
        residual = ((denoised - self.image) ** 2).mean()
        return (residual + 2 * covariance) / self.variance.mean() - 1

    def to(self, device: torch.device | str) -> NoisyCrop:
        """Return the crop on a device."""
        return NoisyCrop(self.image.to(device), self.variance.to(device), self.probe.to(device))


def noise_of(image: NDArray[np.float32], measured: Statistics) -> tuple[NoiseModel, tuple[float, ...]]:
    """Return the noise of an image, by ``camera_of``, and the correlation of its neighbours."""
    if measured.camera is None:
        return measured.model, (0.0,) * image.ndim
    camera = camera_of(image, measured.camera)
    return camera.model, tuple(camera.correlation.values())


def _correlated(white: NDArray[np.float64], correlation: tuple[float, ...]) -> NDArray[np.float64]:
    """Return noise of variance 1 whose neighbours are correlated: each pixel takes a part of the one before it."""
    for axis, found in enumerate(correlation):
        r = float(np.clip(found, -0.49, 0.49))
        part = 0.0 if abs(r) < 1e-6 else (1 - np.sqrt(1 - 4 * r**2)) / (2 * r)
        white = (white + part * np.roll(white, 1, axis)) / np.sqrt(1 + part**2)
    return white
