"""A rising line over the Anscombe transform, fitted so that a frozen denoiser does best behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from training.calibration.layer import SEGMENTS, Calibrated, Constants

if TYPE_CHECKING:
    from torch import nn

STEPS = 48
"""Of the fit, a crop each."""

_NODES = 9  # where the slope is free; between them its logarithm is a straight line
_RATE = 0.05  # a step changes a slope by about 5 %


class Judge(Protocol):
    """A crop that a denoiser is judged by."""

    def risk(self, denoise: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return how far off it is, the less the better."""


def fit_spline(
    constants: Constants,
    denoiser: nn.Module,
    judges: Sequence[Judge],
    ends: tuple[float, float],
    *,
    quick: bool = False,
    progress: Callable[[str], object] = lambda what: None,
) -> Constants:
    """Return a spline in place of an Anscombe transform.

    Parameters
    ----------
    constants : Constants
        With the Anscombe transform, from which the spline starts.
    denoiser : torch.nn.Module
        The bare network; its weights stay as they are.
    judges : sequence of Judge
        Crops, one a step, on the denoiser's device.
    ends : (float, float)
        Anscombe-transformed intensities between which the line may bend.
    quick : bool
        Whether it computes in bfloat16.
    progress : callable
        Called with "spline" after each step.

    References
    ----------
    The idea is that of Herbreteau, Unser, Self-calibrated variance-stabilizing transformations for real-world image
    denoising (Noise2VST), ICCV 2025, https://arxiv.org/abs/2407.17399, which learns the whole map with a blind-spot
    loss; here the line starts from the camera's Anscombe transform, has few free numbers, and Stein's risk is the loss.
    """
    device = next(denoiser.parameters()).device
    knots = torch.linspace(*ends, SEGMENTS + 1, dtype=torch.float64)
    spline = replace(constants, transform="spline", knots=knots.tolist(), values=knots.tolist())
    model = Calibrated(denoiser, replace(spline, margin=0)).eval().to(device)
    share = np.linspace(0, _NODES - 1, SEGMENTS)
    weights = torch.from_numpy(np.maximum(1 - np.abs(share[:, None] - np.arange(_NODES)), 0))
    bends = torch.zeros(_NODES, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([bends], lr=_RATE)
    frozen = [weight for weight in denoiser.parameters() if weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(False)
    try:
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = _RATE * (1 - step / STEPS)
            optimiser.zero_grad()
            model.values = _line(knots, bends, weights).to(device, torch.float32)
            with torch.autocast(device.type, torch.bfloat16, enabled=quick):
                risk = judges[step % len(judges)].risk(model)
            risk.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress("spline")
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
    return replace(spline, values=_line(knots, bends.detach(), weights).tolist())


def _line(knots: torch.Tensor, bends: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the line's heights at its knots: it keeps the middle one, and rises everywhere."""
    heights = torch.cat([torch.zeros(1, dtype=torch.float64), (torch.exp(weights @ bends) * knots.diff()).cumsum(0)])
    return heights - heights[SEGMENTS // 2] + knots[SEGMENTS // 2]
