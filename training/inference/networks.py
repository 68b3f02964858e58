"""A network as a function over arrays, and the halo that its tiling needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

GLOBAL_HALO = 96
"""Pixels of halo for a network that sees the whole image: DRUNet's seams with random weights fall to 1.4e-5 there."""


def halo(radius: int | None, stride: int) -> int:
    """Return the halo in pixels that tiling needs, a multiple of the stride: the radius, or ``GLOBAL_HALO`` without."""
    return -(-(GLOBAL_HALO if radius is None else radius) // stride) * stride


def predictor(model: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function from float32 arrays (B, 1, H, W) to the same, that runs ``model`` where its weights are."""
    import torch

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(model.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device)
            denoised: NDArray[np.float32] = model(batch).cpu().numpy()
            return denoised

    return predict
