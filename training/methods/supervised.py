"""Learning from pairs: what the network makes of the noisy image is compared with the clean one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from training.calibration.search import find_constants
from training.evaluation.metrics import psnr, ssim
from training.methods.losses import choose
from training.methods.method import Batch, Needs

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.calibration.intensity import Range
    from training.calibration.layer import Constants
    from training.calibration.statistics import Statistics
    from training.data.sample import Sample


class Supervised:
    """Learns from noisy and clean images; see ``training.methods.method.Method``."""

    name: ClassVar[str] = "supervised"
    needs: ClassVar[Needs] = Needs()
    learns: ClassVar[str] = "from pairs of a noisy and a clean image"
    papers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        loss: Literal["mae", "mse", "l1ssim"],
        alpha: float,
        intensities: Range,
        camera: CameraProfile | None = None,
    ) -> None:
        self._loss, self._alpha = loss, alpha
        self._intensities = intensities

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return the noisy and the clean patches."""
        return patches[0], patches[-1]

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the recipe's loss between denoised and target patches."""
        noisy, target = batch
        return self._compared(model(noisy), target)

    def score(self, model: nn.Module, patches: Batch) -> dict[str, float]:
        """Return loss, PSNR and SSIM of one patch against the clean one."""
        noisy, clean = patches[0], patches[-1]
        denoised = model(noisy)
        loss = float(self._compared(denoised, clean))
        return {"validation_loss": loss} | against_clean(denoised, clean, self._intensities.extent)

    def constants(
        self,
        measured: Statistics,
        samples: Sequence[Sample],
        denoiser: nn.Module,
        **search: Any,  # noqa: ANN401
    ) -> Constants:
        """Return the constants that give the best PSNR on training pairs."""
        return find_constants(measured, samples, denoiser, **search)

    def _compared(self, denoised: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        scaled = self._intensities.scaled
        return choose(self._loss, self._alpha)(scaled(denoised), scaled(target))


def against_clean(denoised: torch.Tensor, clean: torch.Tensor, extent: float) -> dict[str, float]:
    """Return ``psnr`` and ``ssim`` of one patch, (1, 1, *space), with the range of intensities as peak."""
    image, reference = denoised[0, 0].float().cpu().numpy(), clean[0, 0].cpu().numpy()
    return {"psnr": psnr(reference, image, data_range=extent), "ssim": ssim(reference, image, data_range=extent)}


METHOD = Supervised
