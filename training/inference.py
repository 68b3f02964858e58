"""A calibrated network as a function over arrays, with what its tiling needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from training.calibration import Calibrated
    from training.denoise import Denoiser
    from training.provenance import NetworkUsed, Provenance

GLOBAL_HALO = 96
"""Pixels of halo for a network that sees the whole image: DRUNet's seams with random weights fall to 1.4e-5 there."""


def halo(radius: int | None, stride: int) -> int:
    """Return the halo in pixels that tiling needs, a multiple of the stride: the radius, or ``GLOBAL_HALO`` without."""
    return -(-(GLOBAL_HALO if radius is None else radius) // stride) * stride


def as_denoiser(model: Calibrated, provenance: Provenance, device: str) -> Denoiser:
    """Return a calibrated model, moved to a device, as a callable over arrays, with what its tiling needs."""
    from training.denoise import Denoiser
    from training.networks import NETWORKS

    network = NETWORKS[provenance.network.name]
    radius = network.radius(provenance.network.settings)
    return Denoiser(
        predict=predictor(model.to(device).eval()),
        halo=halo(radius, network.stride),
        stride=network.stride,
        trained_on=provenance.trained_on,
        local=radius is not None and provenance.calibration["statistics"] == "dataset",
        bytes_per_pixel=network.bytes_per_pixel,
        device=device,
    )


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


def build(network: NetworkUsed, calibration: dict[str, Any]) -> Calibrated:
    """Return the calibrated network as a run describes it, with untrained weights."""
    from training.calibration import Calibrated
    from training.networks import create

    return Calibrated(create(network.name, **network.settings), **calibration)
