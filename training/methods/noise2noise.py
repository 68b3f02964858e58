"""Noise2Noise: learns one noisy image of a field from another."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from training.methods.method import Batch, Needs
from training.methods.unsupervised import Unsupervised


class Noise2Noise(Unsupervised):
    """The target is another frame, whose noise nothing of the first frame can foretell, correlated or not."""

    name: ClassVar[str] = "noise2noise"
    needs: ClassVar[Needs] = Needs(frames=2, clean=False)
    learns: ClassVar[str] = "from several noisy frames of each field by Noise2Noise, one frame from another"
    papers: ClassVar[tuple[str, ...]] = (
        "J. Lehtinen, J. Munkberg, J. Hasselgren, S. Laine, T. Karras, M. Aittala, T. Aila: Noise2Noise: Learning "
        "Image Restoration without Clean Data. ICML 2018. doi:10.48550/arXiv.1803.04189",
    )

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return two frames."""
        return patches[:2]

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean square of their difference once the first is denoised, and the other way round."""
        first, second = batch
        there, back = (self._squared(model(one) - other, other) for one, other in ((first, second), (second, first)))
        return (there.mean() + back.mean()) / 2


METHOD = Noise2Noise
