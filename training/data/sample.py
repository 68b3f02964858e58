"""What every data set gives: samples, which are images of one place, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

Region = tuple[slice, ...]
"""One slice with a start and a stop an axis."""


class Source(Protocol):
    """Pixels that are read when asked for, in their own type and units."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis in pixels, known without reading."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, known without reading."""

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the pixels of a region, or all of them.

        Raises
        ------
        UserError
            Where a file cannot be read, or holds NaN or infinite values.
        """


class ArraySource:
    """An array in memory.

    Examples
    --------
    >>> ArraySource(np.arange(6).reshape(2, 3)).read((slice(0, 2), slice(1, 2))).ravel().tolist()
    [1, 4]
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the array, or a view of a part of it."""
        return self.array if region is None else self.array[region]


class Crop:
    """A part of another source."""

    def __init__(self, source: Source, region: Region) -> None:
        self.source, self.region, self.dtype = source, region, source.dtype
        self.shape = tuple(part.stop - part.start for part in region)

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the part, or a region of it."""
        if region is None:
            return self.source.read(self.region)
        within = zip(self.region, region, strict=True)
        return self.source.read(tuple(slice(part.start + one.start, part.start + one.stop) for part, one in within))


@dataclass(frozen=True)
class Sample:
    """Images of one place: noisy frames, and a clean image of it where there is one.

    Examples
    --------
    >>> sample = Sample.of_arrays("fov_001", np.ones((2, 3)), np.zeros((2, 3)))
    >>> sample.shape, [image.dtype.name for image in sample.pair()]
    ((2, 3), ['float32', 'float32'])
    """

    name: str
    """Unique in its data set, and fit for a file name."""

    field: str
    """The field of view: samples of one field are never divided between training, validation and test."""

    axes: str
    """``YX`` or ``ZYX``."""

    shape: tuple[int, ...]
    """Of each image, in pixels, one number an axis."""

    noisy: tuple[Source, ...]
    """One frame or several, of the same place and shape."""

    clean: Source | None = None
    """The ground truth, of the same place and shape."""

    @classmethod
    def of_arrays(cls, name: str, noisy: NDArray[Any], clean: NDArray[Any] | None = None) -> Sample:
        """Return a sample of images in memory, (H, W) or (D, H, W), which is a field of view of its own."""
        truth = None if clean is None else ArraySource(clean)
        return cls(name, name, "ZYX"[-noisy.ndim :], noisy.shape, (ArraySource(noisy),), truth)

    def pair(self, region: Region | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the first noisy frame and the clean image, or a region of both: float32, in the files' own units.

        ``UserError`` where there is no clean image, the two differ in shape, or a file cannot be read.
        """
        return self.frame(region), self.clean_frame(region)

    def frame(self, region: Region | None = None, number: int = 0) -> NDArray[np.float32]:
        """Return a noisy frame, or a region of it: float32, in the file's own units."""
        return self.noisy[number].read(region).astype(np.float32)

    def clean_frame(self, region: Region | None = None) -> NDArray[np.float32]:
        """Return the clean image, or a region of it, as ``pair`` does."""
        noisy, clean = self.noisy[0], self.truth
        if noisy.shape != clean.shape:
            raise DataError(f"{self.name}: the noisy image is {noisy.shape}, the clean {clean.shape}; make them alike")
        return clean.read(region).astype(np.float32)

    @property
    def truth(self) -> Source:
        """The clean image; ``UserError`` where there is none."""
        if self.clean is None:
            raise DataError(f"{self.name} has no clean image, and what was asked for needs one: give `clean`")
        return self.clean

    def crop(self, name: str, region: Region) -> Sample:
        """Return a part of every image as a sample of the same field of view."""
        noisy = tuple(Crop(source, region) for source in self.noisy)
        clean = None if self.clean is None else Crop(self.clean, region)
        return replace(self, name=name, shape=noisy[0].shape, noisy=noisy, clean=clean)


@dataclass(frozen=True)
class DataSource:
    """Where the images come from, as far as it is known, and what they are."""

    dtype: str
    """Type of the noisy files, such as ``uint16``."""

    axes: str = "YX"
    """Axes of the noisy files as they lie on disk."""

    pixel_size: tuple[float, float, str] | None = None
    """Height and width of a pixel, and their unit."""

    title: str | None = None
    citation: str | None = None
    doi: str | None = None
    licence: str | None = None
    """SPDX identifier of the data's licence."""

    address: str | None = None


class ImageDataset(Protocol):
    """Samples, split once for training, validation and test."""

    name: str
    """Fit for a file name."""

    source: DataSource
    train: Sequence[Sample]
    validation: Sequence[Sample]
    """What chooses the best epoch."""

    test: Sequence[Sample]
    """What nothing is chosen by."""

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that is read, by its path relative to the root of the data."""

    def warnings(self) -> list[str]:
        """Return what a user should know before training, a line each, with the figure."""
