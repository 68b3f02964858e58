"""What the methods share that see noisy images alone: how an epoch is judged, and what the calibration starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from training.calibration.search import find_constants
from training.methods.method import Batch, Needs
from training.methods.supervised import against_clean

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.calibration.intensity import Range
    from training.calibration.layer import Constants
    from training.calibration.statistics import Statistics
    from training.data.sample import Sample


_AROUND = 5  # pixels a side
_LEAST = 1e-3  # of the range of intensities: what noise is taken for where there is none


class Unsupervised:
    """Learns from noisy images alone; see ``training.methods.method.Method``.

    A method is a subclass with ``batch`` and ``loss``. The loss is a mean of squares, whatever the recipe says: noise
    with a mean of zero leaves its minimum where the clean image is, which is not so of absolute differences. It stands
    for the error to another noisy image of the same place, in units of the noise's variance: 1 where nothing is left to
    gain. It is comparable between epochs, though not between methods.
    """

    needs: ClassVar[Needs] = Needs(clean=False)
    learns: ClassVar[str] = "from noisy images alone"
    papers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        loss: str,
        alpha: float,
        intensities: Range,
        camera: CameraProfile | None = None,
    ) -> None:
        self._intensities, self._camera = intensities, camera

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return what ``loss`` takes."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return what training makes small."""
        raise NotImplementedError

    def score(self, model: nn.Module, patches: Batch) -> dict[str, float]:
        """Return the loss of one patch, its random choices the same in every epoch, and where it is known the PSNR."""
        given = self.needs.frames + self.needs.noise_model
        loss = self.loss(model, self.batch(patches[:given], np.random.default_rng(0)))
        found = {"validation_loss": float(loss)}
        if len(patches) > given:
            found |= against_clean(model(patches[0]), patches[-1], self._intensities.extent)
        return found

    def constants(
        self,
        measured: Statistics,
        samples: Sequence[Sample],
        denoiser: nn.Module,
        **search: Any,  # noqa: ANN401
    ) -> Constants:
        """Return the constants that are found without clean images."""
        return find_constants(measured, samples, denoiser, **search)

    def _squared(self, difference: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """Return squares in units of the noise's variance in each patch."""
        return self._in_noise(difference.float().square(), noisy)

    def _in_noise(self, squares: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """Return squares in units of the noise's variance in each patch, so that each patch counts alike.

        The variance is that of second differences along Y and X, as in ``training.calibration.noise.noise_level``.
        """
        second = noisy.float().diff(n=2, dim=-1).diff(n=2, dim=-2)
        variance = second.square().flatten(1).mean(1) / 36
        least = (self._intensities.extent * _LEAST) ** 2
        return squares / variance.clamp(min=least).reshape(-1, *(1,) * (noisy.dim() - 1))


def deviation(noisy: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the noise of each pixel, by the line (B, 2) of its variance by intensity.

    The intensity is the mean around a pixel: at that of the pixel itself dark ones that noise made darker would pass
    for free of noise, and a network would learn to keep them.
    """
    planes = noisy.float().reshape(-1, 1, *noisy.shape[-2:])
    near = avg_pool2d(planes, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False).reshape(noisy.shape)
    slope, dark = (line[:, number].reshape(-1, *(1,) * (noisy.dim() - 1)) for number in range(2))
    return (slope * near + dark).clamp(min=0).sqrt()
