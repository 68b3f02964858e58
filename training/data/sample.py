"""What every data set gives: pairs of planes, and where they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError


@dataclass(frozen=True)
class Pair:
    """One noisy and one clean plane of the same place, read when asked for.

    Examples
    --------
    >>> pair = Pair("fov_001", "fov_001", noisy=lambda: np.ones((2, 3)), clean=lambda: np.zeros((2, 3)))
    >>> [plane.shape for plane in pair.read()]
    [(2, 3), (2, 3)]
    """

    name: str
    """Unique in its data set, and fit for a file name."""

    field: str
    """The field of view: planes of one field are never split between training, validation and test."""

    noisy: Callable[[], NDArray[np.generic]]
    """Reads the noisy plane, (H, W) in the file's own units and type."""

    clean: Callable[[], NDArray[np.generic]]
    """Reads the clean plane, (H, W) in the file's own units and type."""

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the noisy and the clean plane, (H, W) each, float32, in the files' own units.

        Raises
        ------
        UserError
            Where a file cannot be read, or holds NaN or infinite values.
        """
        noisy, clean = self.noisy().astype(np.float32), self.clean().astype(np.float32)
        if noisy.shape != clean.shape:
            raise DataError(
                f"{self.name}: the noisy image is {noisy.shape}, the clean one {clean.shape}; make them alike"
            )
        return noisy, clean


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


class PairedDataset(Protocol):
    """Noisy and clean images, split once for training, validation and test."""

    @property
    def name(self) -> str:
        """The data set's name, fit for a file name."""

    @property
    def train(self) -> Sequence[Pair]:
        """What the network learns from."""

    @property
    def validation(self) -> Sequence[Pair]:
        """What chooses the best epoch."""

    @property
    def test(self) -> Sequence[Pair]:
        """What nothing is chosen by."""

    @property
    def source(self) -> DataSource:
        """Where the images come from."""

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that is read, by its path relative to the root of the data."""

    def warnings(self) -> list[str]:
        """Return what a user should know before training, a line each, with the figure."""
