"""What an epoch is made of: each training image once, one crop of it, the same in every run of the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from training.calibration.intensity import Intensity
    from training.data import Sample
    from training.runs.settings import Augment

MEMORY = 2**30
"""Bytes of planes that are kept once they were read; what is beyond is read again in every epoch."""

_VIEWS: dict[str, tuple[tuple[int, bool], ...]] = {
    "none": ((0, False),),
    "rotate": tuple((turns, False) for turns in range(4)),
    "flip": ((0, False), (0, True)),
    "rotate+flip": tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}
"""Quarter turns, and whether the image is mirrored after them, of each copy in an epoch."""

Plane = NDArray[np.float32]
Batch = tuple[torch.Tensor, torch.Tensor]


class Planes:
    """Noisy planes, and clean ones on their scale, kept in memory as long as there are few.

    Parameters
    ----------
    samples : sequence of Sample
        What is read, when asked for.
    intensity : Intensity
        Brings the clean planes onto the noisy ones' scale.
    """

    def __init__(self, samples: Sequence[Sample], intensity: Intensity) -> None:
        self._samples = samples
        self._intensity = intensity
        self._kept: dict[int, tuple[Plane, Plane]] = {}
        self._room = MEMORY

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Plane, Plane]:
        """Return noisy and clean, (H, W) each, in the noisy image's units."""
        if index in self._kept:
            return self._kept[index]
        noisy, clean = self._samples[index].pair()
        clean = self._intensity.apply(noisy, clean)
        size = noisy.nbytes + clean.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[index] = noisy, clean
        return noisy, clean


class Crops(Dataset[Batch]):
    """The crops of one epoch after another, in an order of its own for each.

    Which crop an image gives depends on the seed, the epoch and the image alone, so a run that goes on after it was
    killed sees what it would have seen.

    Parameters
    ----------
    planes : Planes
        Training images.
    side : int or None
        Of the crops, in pixels, at most the smallest image's; None for whole images.
    augment : {"none", "rotate", "flip", "rotate+flip"}
        Copies of each image: turned by quarters, mirrored, or both.
    seed : int
        Of order and places.
    """

    def __init__(self, planes: Planes, side: int | None, augment: Augment, seed: int) -> None:
        self._planes = planes
        self._side = side
        self._views = _VIEWS[augment]
        self._seed = seed
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Turn to an epoch; the first is 1."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, 2, epoch]).permutation(len(self))

    def __len__(self) -> int:
        return len(self._planes) * len(self._views)

    def __getitem__(self, position: int) -> Batch:
        """Return noisy and clean, float32 (1, side, side) each."""
        index = int(self._order[position])
        image, view = divmod(index, len(self._views))
        noisy, clean = self._planes[image]
        rng = np.random.default_rng([self._seed, 3, self._epoch, index])
        if self._side is not None:
            top, left = (int(rng.integers(size - self._side + 1)) for size in noisy.shape)
            place = slice(top, top + self._side), slice(left, left + self._side)
            noisy, clean = noisy[place], clean[place]
        turns, mirrored = self._views[view]
        return _tensor(_turned(noisy, turns, mirrored)), _tensor(_turned(clean, turns, mirrored))


def validation_crops(planes: Planes, side: int | None, pixels: int, seed: int) -> list[Batch]:
    """Return crops that judge each epoch, spread evenly over the images, of about so many pixels in all.

    Parameters
    ----------
    planes : Planes
        Validation images.
    side : int or None
        Of the crops, at most the image's; None for whole images. Smaller where one crop has more than ``pixels``.
    pixels : int
        In all.
    seed : int
        Of the places.

    Returns
    -------
    list of tuple of torch.Tensor
        Noisy and clean, (1, 1, h, w) each.
    """
    rng = np.random.default_rng([seed, 4])
    largest = max(16, int(pixels**0.5))
    crops: list[Batch] = []
    spent = 0
    order = rng.permutation(len(planes))
    while not crops or spent < pixels:
        noisy, clean = planes[int(order[len(crops) % len(order)])]
        height, width = (min(size, side or size, largest) for size in noisy.shape)
        if crops and spent + height * width > pixels:
            break
        top, left = int(rng.integers(noisy.shape[0] - height + 1)), int(rng.integers(noisy.shape[1] - width + 1))
        place = slice(top, top + height), slice(left, left + width)
        crops.append((_tensor(noisy[place])[None], _tensor(clean[place])[None]))
        spent += height * width
        if side is None and len(crops) == len(planes):
            break
    return crops


def _turned(plane: Plane, turns: int, mirrored: bool) -> Plane:
    turned = np.rot90(plane, turns)
    return turned[:, ::-1] if mirrored else turned


def _tensor(plane: Plane) -> torch.Tensor:
    return torch.from_numpy(plane.copy())[None]
