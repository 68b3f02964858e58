"""The ten paired data sets of Hagen et al. 2021, as published: two TIFF stacks each, found by their names.

Hagen GM et al., GigaScience 10(5), giab032 (2021), doi 10.1093/gigascience/giab032; data doi 10.5524/100888.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.data.dataset import SplitDataset, check_alike, check_values, source_of
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder
from training.data.sample import Sample, Source
from training.errors import DataError
from training.images import open_image, source_in

if TYPE_CHECKING:
    import xarray

NAMES = (
    "nucleus", "actin-confocal", "mito-confocal", "actin-60x-noise2", "mito-60x-noise2",
    "actin-60x-noise1", "mito-60x-noise1", "actin-20x-noise1", "mito-20x-noise1", "membrane",
)  # fmt: skip
"""Published names; the files are ``<name>-lowsnr.tif`` and ``<name>-highsnr.tif``."""

_PREPARATIONS = {"whole": None, "quarter": 1024, "c-quarter": 2048}  # the height and width that each takes
_SIDE = 512  # pixels of a quarter


class HagenOptions(DatasetOptions):
    """Where the two files lie, and what is cut from their frames."""

    data: Location | None = None
    """A folder somewhere below which both files lie."""

    preparation: str = "whole"
    """``whole``, ``quarter`` (of frames of 1024 x 1024) or ``c-quarter`` (quarters of the middle of 2048 x 2048)."""


class HagenStacks(SplitDataset):
    """One of the ten data sets: page i of the low-SNR stack belongs to page i of the high-SNR one.

    Of n frames those from ``int((1 - test_fraction) * n)`` on test, as published for 0.1; every frame is a field.
    """

    options = HagenOptions
    published = Published(
        title="Hagen et al. 2021",
        citation="Hagen GM, Bendesky J, Machado R, Nguyen TA, Kumar T, Ventura J. Fluorescence microscopy datasets for "
        "training deep neural networks. GigaScience 10(5), giab032 (2021)",
        doi="10.1093/gigascience/giab032",
        address="https://doi.org/10.5524/100888",
        images="79 to 104 pairs of 512 to 2048 pixels a side",
        layout="NAME-lowsnr.tif and NAME-highsnr.tif",
        licence="CC0-1.0",
    )

    def __init__(self, name: str, options: HagenOptions, *, test_fraction: float, seed: int) -> None:
        folder = data_folder(name, options.data, self.published)
        low, high = (_find(folder, file) for file in _files(name))
        noisy, clean = open_image(low), open_image(high)
        check_alike(noisy, clean)
        check_values(noisy)
        check_values(clean)
        samples: list[Sample] = []
        for number, sources in enumerate(zip(_pages(noisy), _pages(clean), strict=True)):
            frame = f"frame_{number:03d}"
            whole = Sample(f"{name}_{frame}", frame, "YX", sources[0].shape, sources[:1], sources[1])
            samples += _parts(whole, options.preparation, low.name)
        super().__init__(
            name,
            source_of(noisy, **self.published.origin(name)),
            samples,
            {path.relative_to(folder).as_posix(): path for path in (low, high)},
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return which of the two stacks are there."""
        there = {path.name.lower() for path in _below(folder)}
        return [Part(file, int(file in there), 1, "" if file in there else file) for file in _files(name)]


def _files(name: str) -> tuple[str, str]:
    return f"{name}-lowsnr.tif", f"{name}-highsnr.tif"


def _pages(image: xarray.DataArray) -> Iterator[Source]:
    for index in np.ndindex(image.shape[:-2]):
        yield source_in(image, "YX", **dict(zip(map(str, image.dims), index, strict=False)))


def _parts(sample: Sample, preparation: str, where: str) -> list[Sample]:
    """Return what is cut from a frame; the parts stay in its field of view."""
    if preparation not in _PREPARATIONS:
        raise DataError(f"`preparation` {preparation} is unknown: the names are {', '.join(_PREPARATIONS)}")
    size = _PREPARATIONS[preparation]
    if size is None:
        return [sample]
    if sample.shape != (size, size):
        held = " x ".join(map(str, sample.shape))
        raise DataError(f"`preparation` {preparation} takes images of {size} x {size}, {where} holds {held}: use whole")
    starts = [size // 2 - _SIDE, size // 2]
    regions = [(slice(y, y + _SIDE), slice(x, x + _SIDE)) for y in starts for x in starts]
    return [sample.crop(f"{sample.name}_q{number}", region) for number, region in enumerate(regions, start=1)]


def _find(folder: Path, name: str) -> Path:
    files = list(_below(folder))
    found = sorted(path for path in files if path.name.lower() == name)
    if not found:
        there = sorted({path.name for path in files if path.name.endswith("snr.tif")})
        hint = f"it has {', '.join(there[:4])}" if there else "download it from https://doi.org/10.5524/100888"
        raise DataError(f"{name} is nowhere below {folder}: {hint}")
    if len(found) > 1:
        raise DataError(f"{found[0]} and {found[1]} have the same name: name the folder of one of them as `data`")
    return found[0]


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, links to folders followed, each real folder once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name: (Path(place, name).is_symlink(), name))  # by its own path rather than by a link
        yield from (Path(place, name) for name in files)


DATASETS = dict.fromkeys(NAMES, HagenStacks)
