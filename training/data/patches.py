"""What an epoch is made of: each training image once, one patch of it, the same in every run of the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from training.errors import DataError, SettingError

if TYPE_CHECKING:
    from training.data.sample import Region, Sample
    from training.data.settings import Augment

MEMORY = 2**30
"""Bytes of images that are kept once they were read; of what is beyond, each patch is read from its file."""

_MOST_DRAWS = 100  # of validation patches from each image, where most are constant

Image = NDArray[np.float32]
Scaling = Callable[[Image], Image]
Batch = tuple[torch.Tensor, ...]
"""Patches of one place: noisy frames, the line of their noise where it is asked for, the clean one where all have one.

The line is (B, 2): slope and intercept of the noise variance by intensity.
"""


class Images:
    """Noisy images, and where every sample has one, clean ones on their scale: kept in memory as long as there are few.

    ``scaling`` is called once with each sample, and returns what brings its clean image, or a region of it, onto the
    noisy one's scale; ``frames`` is the number of noisy frames that are read of each sample; ``noise`` is called once
    with each sample, and returns slope and intercept of its noise variance by intensity.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        scaling: Callable[[Sample], Scaling],
        frames: int = 1,
        noise: Callable[[Sample], tuple[float, float]] | None = None,
    ) -> None:
        self._samples = samples
        self._frames = frames
        self.clean = all(sample.clean is not None for sample in samples)
        self._scaling, self._noise = scaling, noise
        self._scalings: dict[int, Scaling] = {}
        self._lines: dict[int, tuple[float, float]] = {}
        self._kept: dict[tuple[int, int | None], Image] = {}
        self._room = MEMORY

    def __len__(self) -> int:
        return len(self._samples)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the length of each axis of an image, (H, W) or (D, H, W)."""
        return self._samples[index].shape

    def read(self, index: int, region: Region, rng: np.random.Generator) -> tuple[Image, ...]:
        """Return a region of the noisy frames and of the clean image, if any, in the noisy images' units.

        Where there are more frames than are asked for, ``rng`` draws.
        """
        there = len(self._samples[index].noisy)
        drawn = rng.permutation(there) if there > self._frames > 1 else range(self._frames)
        numbers: list[int | None] = [int(number) for number in drawn[: self._frames]]
        return tuple(self._part(index, number, region) for number in numbers + [None] * self.clean)

    def with_line(self, index: int, parts: Sequence[torch.Tensor]) -> Batch:
        """Return parts of an image with the line of its noise, (2,), behind the frames, if it is asked for."""
        if self._noise is None:
            return tuple(parts)
        if index not in self._lines:
            self._lines[index] = self._noise(self._samples[index])
        return (*parts[: self._frames], torch.tensor(self._lines[index]), *parts[self._frames :])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is kept in memory: another process reads for itself."""
        return {**self.__dict__, "_scalings": {}, "_kept": {}, "_room": MEMORY}

    def _part(self, index: int, number: int | None, region: Region) -> Image:
        """Return a region of a frame, or of the clean image, and keep all of it where there is room."""
        key = index, number
        if key not in self._kept:
            nbytes = np.dtype(np.float32).itemsize * int(np.prod(self.shape(index)))
            if nbytes > self._room:
                return self._read(index, number, region)
            self._room -= nbytes
            self._kept[key] = self._read(index, number, None)
        return self._kept[key][region]

    def _read(self, index: int, number: int | None, region: Region | None) -> Image:
        sample = self._samples[index]
        if number is not None:
            return sample.frame(region, number)
        if index not in self._scalings:
            self._scalings[index] = self._scaling(sample)
        return self._scalings[index](sample.clean_frame(region))


class Patches(Dataset[Batch]):
    """The patches of one epoch after another, in an order of its own for each.

    Which patch an image gives depends on the seed, the epoch and the image alone, so a run that goes on after it was
    killed sees what it would have seen.

    Parameters
    ----------
    images : Images
        Training images.
    size : tuple of int or None
        Of the patches in pixels, one number an axis, at most the smallest image's; None for whole images.
    augment : {"none", "rotate", "flip", "rotate+flip"}
        Copies of each image: turned by quarters in the plane of Y and X, mirrored along X, or both.
    seed : int
        Of order and places.
    """

    def __init__(self, images: Images, size: tuple[int, ...] | None, augment: Augment, seed: int) -> None:
        self._images = images
        self._size = size
        self._views = views(augment)
        self._seed = seed
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Turn to an epoch; the first is 1."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, 2, epoch]).permutation(len(self))

    def __len__(self) -> int:
        return len(self._images) * len(self._views)

    def __getitem__(self, position: int) -> Batch:
        """Return the noisy frames, the line of their noise and the clean image, if any; images are (1, *size)."""
        index = int(self._order[position])
        image, view = divmod(index, len(self._views))
        shape = self._images.shape(image)
        rng = np.random.default_rng([self._seed, 3, self._epoch, index])
        turns, mirrored = self._views[view]
        place = _place(rng, shape, self._size or shape)
        turned = [np.rot90(part, turns, axes=(-2, -1)) for part in self._images.read(image, place, rng)]
        return self._images.with_line(image, [_tensor(part[..., ::-1] if mirrored else part) for part in turned])


def validation_patches(images: Images, size: tuple[int, ...] | None, pixels: int, seed: int) -> list[Batch]:
    """Return the patches that score each epoch, spread evenly over the images, of about so many pixels in all.

    They are as ``Batch`` says, (1, 1, H, W) or (1, 1, D, H, W) each image. ``size`` and ``seed`` are
    as in ``Patches``; the patches are smaller where one has more than ``pixels``. Patches whose clean image, or without
    one the noisy one, is constant are left out; ``UserError`` where all are.
    """
    rng = np.random.default_rng([seed, 4])
    patches: list[Batch] = []
    spent = drawn = 0
    order = rng.permutation(len(images))
    while (not patches or spent < pixels) and drawn < _MOST_DRAWS * len(images):
        image = int(order[drawn % len(order)])
        drawn += 1
        shape = images.shape(image)
        largest = max(16, int(pixels ** (1 / len(shape))))
        chosen = tuple(min(*sides, largest) for sides in zip(shape, size or shape, strict=True))
        area = int(np.prod(chosen))
        if patches and spent + area > pixels:
            break
        read = images.read(image, _place(rng, shape, chosen), rng)
        if np.ptp(read[-1]) > 0:
            ready = images.with_line(image, [_tensor(part) for part in read])
            patches.append(tuple(part[None] for part in ready))
            spent += area
        if size is None and drawn == len(images):
            break
    if not patches:
        which = "clean" if images.clean else "noisy"
        raise DataError(f"the {which} validation images are one value everywhere: leave such images out")
    return patches


def patch_size(crop: int | tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the sides of patches that ``crop`` of a recipe means in images of a shape; None for whole images.

    One number is the side along every axis, the same for Y and X, so that patches can be turned; ``UserError`` where
    there are several, and not one an axis.
    """
    if crop is None:
        return None
    sides = (min(crop, *shape[-2:]),) * len(shape) if isinstance(crop, int) else crop
    if len(sides) != len(shape):
        raise SettingError(f"`crop`={list(sides)}: the images have {len(shape)} axes; give one number, or one an axis")
    return tuple(map(min, sides, shape))


def views(augment: Augment) -> list[tuple[int, bool]]:
    """Return the copies of each image in an epoch: quarter turns, and whether it is mirrored after them."""
    return [
        (turns, mirrored)
        for mirrored in ((False, True) if "flip" in augment else (False,))
        for turns in range(4 if "rotate" in augment else 1)
    ]


def _place(rng: np.random.Generator, shape: tuple[int, ...], size: tuple[int, ...]) -> Region:
    """Draw where a patch lies; an axis that it fills takes a number from the generator too."""
    starts = [int(rng.integers(length - side + 1)) for length, side in zip(shape, size, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, size, strict=True))


def _tensor(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.copy())[None]
