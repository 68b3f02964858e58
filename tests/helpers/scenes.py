"""Smooth structure to take noisy images of, and a denoiser that knows one level of noise."""

import numpy as np
import torch
from torch import nn


def scene(seed, shape=(64, 80)):
    """Smooth structure between 0 and 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = sum(np.sin(x / rng.uniform(4, 12) + y / rng.uniform(4, 12) + rng.uniform(0, 6)) for _ in range(4))
    return (waves - waves.min()) / np.ptp(waves)


class Shrink(nn.Module):
    """A denoiser for noise of level 25/255 alone: it blurs what is smaller than that noise, in [0, 1] only."""

    def __init__(self):
        super().__init__()
        self.known = nn.Parameter(torch.zeros(1))

    def forward(self, image):
        blurred = nn.functional.avg_pool2d(nn.functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
        detail = image - blurred
        level = 25 / 255
        return blurred + detail * (detail.abs() / (2 * level)).clamp(max=1) - (image - image.clamp(-0.2, 1.2))
