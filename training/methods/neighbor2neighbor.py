"""Neighbor2Neighbor: of each four pixels two neighbours are drawn, one for each of two smaller images."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from training.methods.method import Batch, Needs
from training.methods.unsupervised import Unsupervised

_WEIGHT = 2.0  # of the part that holds the two images' structure apart from their noise
_PAIRS = np.array([(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)])
"""Neighbours of four pixels, which are numbered by rows."""


class Neighbor2Neighbor(Unsupervised):
    """Needs one image and no noise model; what is as small as a pixel is learned at half the resolution."""

    name: ClassVar[str] = "neighbor2neighbor"
    needs: ClassVar[Needs] = Needs(clean=False, independent=True)
    learns: ClassVar[str] = "from noisy images alone by Neighbor2Neighbor, pixels from the pixels beside them"
    papers: ClassVar[tuple[str, ...]] = (
        "T. Huang, S. Li, X. Jia, H. Lu, J. Liu: Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy "
        "Images. CVPR 2021. doi:10.1109/CVPR46437.2021.01454",
    )

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return the noisy patches, with an even number of rows and columns, and which pixels are drawn of each four.

        The numbers are (B, 1, ..., Y / 2, X / 2, 2).
        """
        noisy = patches[0]
        rows, columns = (length // 2 * 2 for length in noisy.shape[-2:])
        noisy = noisy[..., :rows, :columns]
        drawn = _PAIRS[rng.integers(len(_PAIRS), size=(*noisy.shape[:-2], rows // 2, columns // 2))]
        return noisy, torch.from_numpy(drawn).to(noisy.device)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean square between one small image, denoised, and the other, and the part that regularises.

        That compares the difference with the one that the whole image, denoised, has between the same pixels.
        """
        noisy, drawn = batch
        first, second = _drawn(noisy, drawn)
        difference = model(first) - second
        with torch.no_grad():
            expected = torch.sub(*_drawn(model(noisy), drawn))
        apart = self._squared(difference - expected, noisy).mean()
        return self._squared(difference, noisy).mean() + _WEIGHT * apart


def _drawn(image: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two small images, (..., Y / 2, X / 2) each."""
    rows, columns = (length // 2 for length in image.shape[-2:])
    fours = image.reshape(*image.shape[:-2], rows, 2, columns, 2).movedim(-3, -2).flatten(-2)
    first, second = fours.gather(-1, numbers).unbind(-1)
    return first, second


METHOD = Neighbor2Neighbor
