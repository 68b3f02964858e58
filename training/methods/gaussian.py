"""Pre-training of a Gaussian denoiser: photographs with fresh noise of any level in each step.

As DRUNet learned (``papers``): the level is drawn anew
for each patch, evenly between 0 and 50 of 255, and given to a network that has a noise map; one without learns all
levels at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from training.calibration.search import structure
from training.errors import DataError
from training.methods.method import Batch
from training.methods.supervised import Supervised

if TYPE_CHECKING:
    from training.calibration.layer import Constants
    from training.calibration.statistics import Statistics
    from training.data.sample import Sample

_WHITE = 255.0
_STRONGEST = 50.0  # of 255
_LOOKED_AT = 8  # samples that tell the noise of the validation images


class Gaussian(Supervised):
    """Learns to take Gaussian noise off photographs; see ``training.methods.method.Method``.

    The data set's own noise, of one level, judges each epoch and is what the run denoises; other runs start from its
    weights (``checkpoint``).
    """

    name: ClassVar[str] = "gaussian"
    learns: ClassVar[str] = (
        "from clean images with fresh Gaussian noise of a random level, 0 to 50 of 255, in each step"
    )
    papers: ClassVar[tuple[str, ...]] = (
        "K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool, R. Timofte: Plug-and-Play Image Restoration with Deep "
        "Denoiser Prior. IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022. "
        "doi:10.1109/TPAMI.2021.3088914",
    )

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return clean patches with fresh noise, the level of each, of 255, and the clean patches."""
        clean = patches[-1]
        levels = torch.from_numpy(rng.uniform(0, _STRONGEST, len(clean)).astype(np.float32)).to(clean.device)
        levels = levels.reshape(-1, *(1,) * (clean.dim() - 1))
        noise = torch.from_numpy(rng.standard_normal(tuple(clean.shape), dtype=np.float32)).to(clean.device)
        return clean + levels * noise, levels, clean

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the recipe's loss between denoised and clean patches, each denoised as noise of its level."""
        noisy, levels, clean = batch
        denoised = torch.func.functional_call(model, {"sigma": levels / _WHITE}, (noisy,))
        return self._compared(denoised, clean)

    def constants(
        self,
        measured: Statistics,
        samples: Sequence[Sample],
        denoiser: nn.Module,
        **search: Any,  # noqa: ANN401
    ) -> Constants:
        """Return the published scale, 255 is 1, and the level of the data set's noise."""
        seen = [sample.pair() for sample in samples[:_LOOKED_AT]]
        white = max(float(clean.max()) for _, clean in seen)
        if white > _WHITE or white <= 1:
            raise DataError(
                f"{samples[0].name}: `method` gaussian learns from photographs of 0 to 255, here the brightest pixel "
                f"is {white:g}: give `dataset` photographs"
            )
        sigma = search["sigma"] or float(np.sqrt(np.mean([np.mean((noisy - clean) ** 2) for noisy, clean in seen])))
        shape = structure(search["network"], search["radius"])
        return replace(shape, scale=_WHITE, sigma=sigma / _WHITE)


METHOD = Gaussian
