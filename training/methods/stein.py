"""Stein's risk: the error to the clean image is estimated from the noisy one, and made small.

C. M. Stein: Estimation of the Mean of a Multivariate Normal Distribution. Annals of Statistics 9(6), 1981.
doi:10.1214/aos/1176345632. The divergence by a random probe: S. Ramani, T. Blu, M. Unser: Monte-Carlo SURE. IEEE
Transactions on Image Processing 17(9), 2008. doi:10.1109/TIP.2008.2001404. To train networks: S. Soltanayev, S. Y.
Chun: Training Deep Learning Based Denoisers without Ground Truth Data. NeurIPS 2018. doi:10.48550/arXiv.1803.01314
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from training.methods.method import Batch, Needs
from training.methods.unsupervised import Unsupervised, deviation

_STEP = 0.5  # of the noise: less would drown in the rounding of half precision, and in the steps of few photons


class Stein(Unsupervised):
    """Needs the noise model, and keeps what a pre-trained denoiser makes of the pixel itself."""

    name: ClassVar[str] = "stein"
    needs: ClassVar[Needs] = Needs(clean=False, noise_model=True, independent=True)

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return the noisy patches, their line of noise, and a probe of random signs."""
        noisy, line = patches[:2]
        signs = rng.integers(0, 2, noisy.shape, dtype=np.int8) * 2 - 1
        return noisy, line, torch.from_numpy(signs).to(noisy)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the expected squared error to another frame, in variances of the noise.

        That is what differs from this frame, and twice how far this frame's noise is followed.
        """
        noisy, line, probe = batch
        noise = deviation(noisy, line) * probe
        denoised = model(noisy)
        followed = noise * (model(noisy + _STEP * noise) - denoised).float() / _STEP
        return (self._in_noise((denoised - noisy).float().square() + 2 * followed, noisy)).mean()


METHOD = Stein
