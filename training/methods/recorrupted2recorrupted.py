"""Recorrupted-to-Recorrupted: noise is added to an image and taken off it, so that two independent ones come of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from training.methods.method import Batch, Needs
from training.methods.noise2void import Noise2Void
from training.methods.unsupervised import Unsupervised, deviation

_SHARE = 0.5  # of the noise that is added; twice the noise is then taken off


class Recorrupted2Recorrupted(Unsupervised):
    """Needs the noise model; the network learns on images that are a little noisier than those it will see."""

    name: ClassVar[str] = "recorrupted2recorrupted"
    needs: ClassVar[Needs] = Needs(clean=False, noise_model=True, independent=True)
    learns: ClassVar[str] = (
        "from noisy images alone by Recorrupted-to-Recorrupted, noise added to each and taken off it"
    )
    papers: ClassVar[tuple[str, ...]] = (
        "T. Pang, H. Zheng, Y. Quan, H. Ji: Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image "
        "Denoising. CVPR 2021. doi:10.1109/CVPR46437.2021.00208",
    )

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return an image with noise added, and one with the same noise taken off in proportion."""
        noisy, line = patches[:2]
        drawn = torch.from_numpy(rng.standard_normal(noisy.shape, dtype=np.float32)).to(noisy)
        noise = deviation(noisy, line) * drawn
        return noisy + _SHARE * noise, noisy - noise / _SHARE

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean square of the difference between the first, denoised, and the second."""
        first, second = batch
        return self._squared(model(first) - second, first).mean()

    def score(self, model: nn.Module, patches: Batch) -> dict[str, float]:
        """Return what Noise2Void scores: where noise is not as the model has it, the own loss falls and misleads."""
        judge = Noise2Void("mse", 0.0, self._intensities, self._camera)
        return judge.score(model, (patches[0], *patches[2:]))


METHOD = Recorrupted2Recorrupted
