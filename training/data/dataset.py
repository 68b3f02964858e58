"""What data sets of files share: splits, hashes, warnings, and checks of the files."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack

from training.data.published import Origin
from training.data.quality import inspect
from training.data.sample import DataSource, Sample
from training.data.splits import split
from training.errors import DataError, UserError
from training.images import planes
from training.util.hashing import known_sha256

if TYPE_CHECKING:
    import xarray


class _OfFiles:
    """What is known of the samples, and of the files that they are read from: each is inspected, and has a hash."""

    _samples: Sequence[Sample]
    _files: Mapping[str, Path]
    _notes: Sequence[str] = ()

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that is read."""
        return {name: known_sha256(path) for name, path in self._files.items()}

    def warnings(self) -> list[str]:
        """Return what is known of the files, and what an inspection of some samples finds."""
        return [*self._notes, *(inspect(self._samples) if self._files else [])]


class SplitDataset(_OfFiles):
    """An ``ImageDataset`` of samples that ``splits.split`` divides.

    ``files`` is every file that is read, by its path relative to the root of the data: what is read from files is
    inspected. ``notes`` is what is known to be worth a warning already, ``tests`` the fields that test as published.
    """

    def __init__(
        self,
        name: str,
        source: DataSource,
        samples: Sequence[Sample],
        files: Mapping[str, Path] = MappingProxyType({}),
        *,
        notes: Sequence[str] = (),
        tests: Collection[str] = (),
        test_fraction: float,
        seed: int,
    ) -> None:
        first = next(iter(files.values()), name)
        try:
            parts = split(samples, where=str(first), test_fraction=test_fraction, seed=seed, tests=tests)
        except UserError as error:
            raise DataError("; ".join([str(error), *notes])) from None
        self.name, self.source, self._samples, self._files = name, source, samples, files
        self.train: Sequence[Sample] = parts.train
        self.validation: Sequence[Sample] = parts.validation
        self.test: Sequence[Sample] = parts.test
        self._notes = [*notes, *([parts.warning] if parts.warning else [])]


class Undivided(_OfFiles):
    """An ``ImageDataset`` whose samples are all there is to choose by and to show: for what is not trained."""

    def __init__(
        self, name: str, source: DataSource, samples: Sequence[Sample], files: Mapping[str, Path] = MappingProxyType({})
    ) -> None:
        self.name, self.source, self._samples, self._files = name, source, samples, files
        self.train = self.validation = self.test = samples


def check_alike(noisy: xarray.DataArray, clean: xarray.DataArray) -> None:
    """Refuse a pair of files that are not plane by plane of the same size; axes of length 1 do not count."""
    files = f"{noisy.attrs['path']} and {clean.attrs['path']}"
    held = " and ".join(" x ".join(f"{dim} {size}" for dim, size in image.sizes.items()) for image in (noisy, clean))
    if noisy.shape[-2:] != clean.shape[-2:]:
        raise DataError(f"{files} differ in height or width ({held}): both must show the same place in the same size")
    first, second = ([length for length in image.shape[:-2] if length > 1] for image in (noisy, clean))
    if first != second:
        counts = f"{math.prod(first)} and {math.prod(second)}"
        raise DataError(f"{files} hold {counts} planes ({held}): each noisy plane needs its clean one")


def check_values(image: xarray.DataArray) -> None:
    """Read once what may hold NaN or colours, so that it is found now and not after hours of training."""
    if image.dtype.kind == "f" or image.attrs["metadata"].colour:
        for _ in planes(image):
            pass


def source_of(image: xarray.DataArray, **published: Unpack[Origin]) -> DataSource:
    """Return what a noisy file says of its origin, beside what is published of it."""
    size = image.attrs["resolution"]
    return DataSource(
        dtype=image.attrs["dtype"],
        axes=image.attrs["metadata"].axes,
        pixel_size=tuple(size) if size else None,
        **published,
    )
