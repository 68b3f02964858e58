"""Noise2Void: learns a pixel from its neighbours, its own value taken away.

Along an axis on which noise is correlated, masks are longer (the second of its ``papers``).
"""

from __future__ import annotations

import math
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.methods.method import Batch
from training.methods.unsupervised import Unsupervised

_MASKED = 0.12  # of the pixels: each counts in the loss where masks are of one pixel
_REACH = 2  # pixels beyond the mask from which values are taken
_LEFT = 0.03  # correlation that is let pass
_LONGEST = 8  # pixels that a mask reaches to either side


class Noise2Void(Unsupervised):
    """Needs one image and no noise model. The loss counts at the masked pixels alone."""

    name: ClassVar[str] = "noise2void"
    learns: ClassVar[str] = "from noisy images alone by Noise2Void, each masked pixel from those around it"
    papers: ClassVar[tuple[str, ...]] = (
        "A. Krull, T.-O. Buchholz, F. Jug: Noise2Void - Learning Denoising from Single Noisy Images. CVPR 2019. "
        "doi:10.1109/CVPR.2019.00223",
        "C. Broaddus, A. Krull, M. Weigert, U. Schmidt, G. Myers: Removing Structured Noise with Self-Supervised "
        "Blind-Spot Networks. ISBI 2020. doi:10.1109/ISBI45749.2020.9098336",
    )

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return the masked patches, the noisy ones, and where the loss counts (1, else 0)."""
        noisy = patches[0]
        flat = noisy.reshape(-1, *noisy.shape[2:])  # (B, *space)
        reach = self._reach(flat.dim() - 1)
        box = np.array(list(product(*(range(-r, r + 1) for r in reach))))
        around = np.array(
            [
                offset
                for offset in product(*(range(-r - _REACH, r + _REACH + 1) for r in reach))
                if any(abs(step) > r for step, r in zip(offset, reach, strict=True))
            ]
        )
        count = max(1, round(_MASKED / len(box) * flat.numel()))
        drawn = rng.choice(flat.numel(), min(count, flat.numel()), replace=False)
        centres = np.stack(np.unravel_index(drawn, flat.shape), axis=1)
        masked = flat.clone()
        covered = _moved(centres[:, None], box[None], flat.shape, mirrored=False)
        masked[_at(covered, flat.device)] = self._values(flat, centres, around, len(box), rng)
        counted = torch.zeros_like(flat)
        counted[_at(centres, flat.device)] = 1
        return masked.reshape(noisy.shape), noisy, counted.reshape(noisy.shape)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean square of the difference to the noisy pixels that were masked."""
        masked, noisy, counted = batch
        return (self._squared(model(masked) - noisy, noisy) * counted).sum() / counted.sum()

    def _values(
        self, noisy: torch.Tensor, centres: NDArray[np.intp], around: NDArray[np.intp], size: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:  # fmt: skip
        """Return what stands in each mask, (centres, size): pixels drawn from around it."""
        offsets = around[rng.integers(len(around), size=(len(centres), size))]
        return around_centres(noisy, centres, offsets)

    def _reach(self, axes: int) -> list[int]:
        """Return how far a mask reaches along each axis: as far as noise is correlated there."""
        along = self._camera.correlation if self._camera is not None else {}
        correlated = self._camera.correlated() if self._camera is not None else ()
        found = []
        for axis in "ZYX"[-axes:]:
            strength = min(abs(along[axis]), 0.9) if axis in correlated else 0.0
            steps = math.ceil(math.log(_LEFT) / math.log(strength)) - 1 if strength > _LEFT else 0
            found.append(min(max(steps, axis in correlated), _LONGEST))
        return found


def around_centres(noisy: torch.Tensor, centres: NDArray[np.intp], offsets: NDArray[np.intp]) -> torch.Tensor:
    """Return the pixels at offsets (centres or 1, number, axes) from the centres; beyond an edge, those opposite."""
    return noisy[_at(_moved(centres[:, None], offsets, noisy.shape), noisy.device)]


def _moved(
    centres: NDArray[np.intp], offsets: NDArray[np.intp], shape: tuple[int, ...], *, mirrored: bool = True
) -> NDArray[np.intp]:
    """Return the places at offsets from centres; beyond the edge on the centre's other side, or else at the edge."""
    space = np.array(shape[1:])
    places = centres[..., 1:] + offsets
    if mirrored:
        outside = (places < 0) | (places >= space)
        places = np.where(outside, centres[..., 1:] - offsets, places)
    places = np.clip(places, 0, space - 1)
    return np.concatenate([np.broadcast_to(centres[..., :1], (*places.shape[:-1], 1)), places], axis=-1)


def _at(places: NDArray[np.intp], device: torch.device) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(places).to(device).unbind(-1))


METHOD = Noise2Void
