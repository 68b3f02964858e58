"""Stein's risk: the error to the clean image is estimated from the noisy one, and made small.

C. M. Stein: Estimation of the Mean of a Multivariate Normal Distribution. Annals of Statistics 9(6), 1981.
doi:10.1214/aos/1176345632. The divergence by a random probe: S. Ramani, T. Blu, M. Unser: Monte-Carlo SURE. IEEE
Transactions on Image Processing 17(9), 2008. doi:10.1109/TIP.2008.2001404. To train networks: S. Soltanayev, S. Y. Chun:
Training Deep Learning Based Denoisers without Ground Truth Data. NeurIPS 2018. doi:10.48550/arXiv.1803.01314
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from training.methods.method import Batch, Needs
from training.methods.unsupervised import Unsupervised

_STEP = 0.3  # of the noise: less would drown in the rounding of half precision


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
        """Return the expected squared error to another frame: what differs from this one, and how far it is followed.

        The second is the noise variance times the slope of the output against its own pixel, twice.
        """
        noisy, line, probe = batch
        denoised = model(noisy)
        slope, dark = (line[:, number].reshape(-1, *(1,) * (noisy.dim() - 1)) for number in range(2))
        deviation = (slope * noisy + dark).clamp(min=0).sqrt()
        moved = model(noisy + _STEP * deviation * probe)
        followed = probe * deviation * (moved - denoised).float() / _STEP
        return (self._squared(denoised - noisy) + 2 * followed / self._intensities.extent**2).mean()


METHOD = Stein
