"""Shah et al. 2024: tubulin under structured illumination, multi-page TIFF stacks of 512 x 512 pixels and references.

Shah ZH et al., GigaScience 13, giad109 (2024), doi 10.1093/gigascience/giad109. As distributed:
``DataSet3/{Noisy_ImageStacks,Reference_Images}/..._FOV_n_Timestamp_t_number_k.tif``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.data.dataset import SplitDataset, check_values, source_of
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder, folder_named
from training.data.sample import Region, Sample, Source
from training.data.splits import natural
from training.errors import DataError
from training.images import open_image, source_in

_NAMED = re.compile(r"_FOV_(?P<fov>\d+)_Timestamp_(?P<time>\d+)_number_(?P<number>\d+)\.tiff?$", re.IGNORECASE)
_MEAN_OF = 9  # pages: what AUTO-DIP takes for clean


class ShahOptions(DatasetOptions):
    """Which of its images."""

    data: Location | None = None
    """A folder somewhere below which ``DataSet3`` lies."""

    average: int = Field(default=1, ge=1, le=_MEAN_OF)
    """A noisy image is the mean of the first so many pages of a stack."""

    truth: Literal["reference", "mean"] = "reference"
    """The file of ``Reference_Images`` of the same field and number, or the mean of the stack's first nine pages."""


class Shah(SplitDataset):
    """A stack of pages becomes one noisy image; a field of view stays together."""

    options = ShahOptions
    published = Published(
        title="Shah et al. 2024",
        citation="Shah ZH, Müller M, Hübner W, Wang TC, Telman D, Huser T, Schenck W. Evaluation of Swin Transformer "
        "and knowledge transfer for denoising of super-resolution structured illumination microscopy data. "
        "GigaScience 13, giad109 (2024)",
        doi="10.1093/gigascience/giad109",
        address="https://doi.org/10.1093/gigascience/giad109",
        images="stacks of raw frames of 512 x 512, tubulin, at falling intensity",
        layout="DataSet3/Noisy_ImageStacks and DataSet3/Reference_Images",
    )

    def __init__(self, name: str, options: ShahOptions, *, test_fraction: float, seed: int) -> None:
        root = data_folder(name, options.data, self.published)
        stacks, references = (_named(root, folder) for folder in ("Noisy_ImageStacks", "Reference_Images"))
        if not stacks:
            raise DataError(
                f"{root} holds no DataSet3/Noisy_ImageStacks with ..._FOV_n_Timestamp_t_number_k.tif: unpack what "
                f"{self.published.address} names into it"
            )
        samples, files = [], []
        for (fov, time, number), path in stacks.items():
            noisy = _mean(path, options.average)
            clean_file = path if options.truth == "mean" else _reference(references, path, fov, time, number)
            clean = _mean(clean_file, _MEAN_OF if options.truth == "mean" else None)
            if clean.shape != noisy.shape:
                held = " and ".join(" x ".join(map(str, source.shape)) for source in (noisy, clean))
                raise DataError(f"{path} and {clean_file} differ in size ({held} pixels): take `option` truth=mean")
            called = f"FOV_{fov}_Timestamp_{time}_number_{number}"
            samples.append(Sample(called, f"FOV_{fov}", "YX", noisy.shape, (noisy,), clean))
            files += [path, clean_file]
        super().__init__(
            name,
            source_of(open_image(files[0]), **self.published.origin()),
            samples,
            {path.relative_to(root).as_posix(): path for path in files},
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return how many stacks and references are there; how many there are in all is not known."""
        found = {place: len(_named(folder, place)) for place in ("Noisy_ImageStacks", "Reference_Images")}
        return [
            Part(place, there, max(there, 1), "" if there else f"DataSet3/{place}") for place, there in found.items()
        ]


_Key = tuple[str, str, str]
"""Field, time and number, as the name of a file has them."""


def _named(root: Path, folder: str) -> dict[_Key, Path]:
    """Return the files of a folder by what their names say, in natural order."""
    place = folder_named(root, folder)
    paths = sorted(place.iterdir(), key=lambda path: natural(path.name)) if place else []
    return {(key["fov"], key["time"], key["number"]): path for path in paths if (key := _NAMED.search(path.name))}


def _reference(references: dict[_Key, Path], path: Path, fov: str, time: str, number: str) -> Path:
    """Return the reference of a stack: of the same field and number, and of the same time where there are several."""
    if (fov, time, number) in references:
        return references[fov, time, number]
    found = [file for key, file in references.items() if (key[0], key[2]) == (fov, number)]
    if len(found) != 1:
        raise DataError(
            f"{path} has {len(found) or 'no'} references of its field and number in Reference_Images: take `option` "
            "truth=mean, or unpack DataSet3 anew"
        )
    return found[0]


def _mean(path: Path, count: int | None) -> Source:
    """Return the mean of the first pages of a file, of all where no number is given; of several channels the first."""
    image = open_image(path)
    check_values(image)
    dims = [str(dim) for dim in image.dims[:-2] if dim != "C"]
    pages = tuple(
        source_in(image, "YX", **dict(zip(dims, index, strict=True)))
        for index in np.ndindex(*(image.sizes[dim] for dim in dims))
    )
    if count is not None and len(pages) < count:
        raise DataError(f"{path} holds {len(pages)} pages, {count} are wanted: choose a smaller `option` average")
    return pages[0] if count == 1 or len(pages) == 1 else _Mean(pages[:count], pages[0].shape)


@dataclass(frozen=True)
class _Mean:
    """The mean of several pages; see ``training.data.sample.Source``."""

    pages: tuple[Source, ...]
    shape: tuple[int, ...]
    dtype = np.dtype(np.float32)

    def read(self, region: Region | None = None) -> NDArray[np.float32]:
        """Return it in the units of the file."""
        total = sum(page.read(region).astype(np.float64) for page in self.pages)
        return np.asarray(total / len(self.pages), dtype=np.float32)


DATASETS = {"shah": Shah}
