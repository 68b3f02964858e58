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


@dataclass(frozen=True)
class ArraySource:
    """An array in memory.

    Examples
    --------
    >>> ArraySource(np.arange(6).reshape(2, 3)).read((slice(0, 2), slice(1, 2))).ravel().tolist()
    [1, 4]
    """

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the array."""
        return self.array.dtype

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the array, or a view of a part of it."""
        return self.array if region is None else self.array[region]


@dataclass(frozen=True)
class Crop:
    """A part of another source."""

    source: Source
    region: Region

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return tuple(part.stop - part.start for part in self.region)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the whole."""
        return self.source.dtype

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

        Raises
        ------
        UserError
            Where there is no clean image, the two differ in shape, a file cannot be read, or it holds NaN or infinite
            values.
        """
        clean = self.truth
        if self.noisy[0].shape != clean.shape:
            raise DataError(
                f"{self.name}: the noisy image is {self.noisy[0].shape}, the clean one {clean.shape}; make them alike"
            )
        noisy, truth = (source.read(region).astype(np.float32) for source in (self.noisy[0], clean))
        return noisy, truth

    @property
    def truth(self) -> Source:
        """The clean image.

        Raises
        ------
        UserError
            Where there is none.
        """
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

    @property
    def name(self) -> str:
        """The data set's name, fit for a file name."""

    @property
    def train(self) -> Sequence[Sample]:
        """What the network learns from."""

    @property
    def validation(self) -> Sequence[Sample]:
        """What chooses the best epoch."""

    @property
    def test(self) -> Sequence[Sample]:
        """What nothing is chosen by."""

    @property
    def source(self) -> DataSource:
        """Where the images come from."""

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that is read, by its path relative to the root of the data."""

    def warnings(self) -> list[str]:
        """Return what a user should know before training, a line each, with the figure."""
