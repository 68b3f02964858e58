"""The calibrated network as a run describes it, and the same as a function over arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.inference.backends import from_module
from training.inference.denoiser import Denoiser
from training.inference.tiles import halo_for
from training.networks import NETWORKS, create

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated
    from training.runs.provenance import NetworkUsed, Provenance


def as_denoiser(model: Calibrated, provenance: Provenance, device: str) -> Denoiser:
    """Return a calibrated model, moved to a device, as a callable over arrays, with what its tiling needs."""
    network = NETWORKS[provenance.network.name]
    radius = network.radius(provenance.network.settings)
    return Denoiser(
        predict=from_module(model.to(device).eval()),
        halo=halo_for(radius, network.stride),
        stride=network.stride,
        trained_on=provenance.trained_on,
        local=radius is not None and provenance.calibration["statistics"] == "dataset",
        bytes_per_pixel=network.bytes_per_pixel,
        device=device,
    )


def build(network: NetworkUsed, calibration: dict[str, Any]) -> Calibrated:
    """Return the calibrated network as a run describes it, with untrained weights."""
    from training.calibration.layer import Calibrated, Constants

    return Calibrated(create(network.name, **network.settings), Constants(**calibration))
