"""BioSR: raw frames of structured illumination at rising exposure, in MRC files of 512 x 512 pixels.

Qiao C et al., Nature Methods 18, 194 (2021), doi 10.1038/s41592-020-01048-5. As distributed:
``SPECIMEN/Cell_NNN/RawSIMData_level_NN.mrc`` with ``RawSIMData_gt.mrc``; of ER
``ER/Cell_NNN/{RawSIMData,RawGTSIMData}/*_level_NN.mrc``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.data.dataset import SplitDataset
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder, folder_named
from training.data.sample import DataSource, Region, Sample
from training.data.splits import natural
from training.errors import DataError, ImageError
from training.images.lazy import UNREADABLE, damaged

Specimen = Literal["CCPs", "ER", "F-actin", "F-actin_Nonlinear", "Microtubules"]
SPECIMENS: tuple[str, ...] = Specimen.__args__  # type: ignore[attr-defined]
_HEADER = 1024  # bytes
_NUMBERED = re.compile(r"_level_(\d+)\.mrc", re.IGNORECASE)


class BioSROptions(DatasetOptions):
    """Which of its images."""

    data: Location | None = None
    """A folder somewhere below which the folders of the specimens lie."""

    specimen: Specimen | None = None
    """All that are there, where none is named."""

    level: int = Field(default=1, ge=1, le=12)
    """Of the exposure: 1 is the noisiest."""

    clean_level: int | None = Field(default=None, ge=2, le=12)
    """A level that is taken for clean, as AUTO-DIP takes 9, of ER 6; else the files called gt."""

    frame: int | None = Field(default=None, ge=0, le=24)
    """One raw frame, by its number from 0; else all, each lit in its own way, so none repeats another."""


class BioSR(SplitDataset):
    """Raw frames of the level that is asked for, and the same ones of the long exposure; a cell is a field."""

    options = BioSROptions
    published = Published(
        title="BioSR",
        citation="Qiao C, Li D, Guo Y, Liu C, Jiang T, Dai Q, Li D. Evaluation and development of deep neural networks "
        "for image super-resolution in optical microscopy. Nature Methods 18, 194-202 (2021)",
        doi="10.1038/s41592-020-01048-5",
        address="https://doi.org/10.6084/m9.figshare.13264793",
        images="5 specimens, cells at up to 12 exposures, 9 raw frames of 512 x 512 and more",
        layout="CCPs/Cell_001/RawSIMData_level_01.mrc and RawSIMData_gt.mrc, ...; ER/Cell_001/RawSIMData/..., ...",
    )

    def __init__(self, name: str, options: BioSROptions, *, test_fraction: float, seed: int) -> None:
        root = data_folder(name, options.data, self.published)
        wanted = [options.specimen] if options.specimen else SPECIMENS
        places = {specimen: place for specimen in wanted if (place := folder_named(root, specimen))}
        if not places:
            which = options.specimen or "of any of its specimens, such as CCPs"
            raise DataError(f"{root} holds no folder {which}: unpack what {self.published.address} gives into it")
        samples: list[Sample] = []
        files: list[Path] = []
        for specimen, place in places.items():
            cells = sorted(place.glob("Cell_*"), key=lambda path: natural(path.name))
            if not cells:
                raise DataError(f"{place} holds no cells (Cell_001, ...): unpack {specimen} anew")
            for cell in cells:
                pair = _pair(cell, options)
                files += pair
                samples += _frames(f"{specimen}_{cell.name}", *pair, options.frame)
        super().__init__(
            name if options.specimen is None else f"{name}_{options.specimen}",
            DataSource(dtype=str(samples[0].noisy[0].dtype), axes="ZYX", **self.published.origin(options.specimen)),
            samples,
            {path.relative_to(root).as_posix(): path for path in files},
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return how many cells of each specimen are there, and how many of them have a clean file."""
        parts = []
        for specimen in SPECIMENS:
            place = folder_named(folder, specimen)
            cells = list(place.glob("Cell_*")) if place else []
            clean = sum(any(cell.rglob("RawSIMData_gt.mrc")) or any(cell.rglob("RawGTSIMData/*.mrc")) for cell in cells)
            short = f"the gt of {len(cells) - clean}" if clean < len(cells) else ""
            parts.append(Part(f"{specimen}, cells", clean, max(len(cells), 1), short if cells else specimen))
        return parts


def _pair(cell: Path, options: BioSROptions) -> tuple[Path, Path]:
    """Return the noisy file of a cell and its clean one."""
    apart = (cell / "RawSIMData").is_dir()  # ER
    noisy = _levels(cell / "RawSIMData" if apart else cell)
    if options.level not in noisy:
        held = ", ".join(map(str, noisy)) or "none"
        raise DataError(f"{cell} has no level {options.level} (it has {held}): choose another `option` level")
    if options.clean_level is not None:
        if options.clean_level not in noisy:
            raise DataError(f"{cell} has no level {options.clean_level}: choose another `option` clean_level")
        return noisy[options.level], noisy[options.clean_level]
    if not apart:
        return noisy[options.level], cell / "RawSIMData_gt.mrc"
    clean = _levels(cell / "RawGTSIMData")
    if not clean:
        raise DataError(f"{cell} has no clean images in RawGTSIMData: unpack ER anew")
    return noisy[options.level], clean.get(options.level, clean[max(clean)])


def _levels(folder: Path) -> dict[int, Path]:
    """Return the files of a folder by their level."""
    found = {int(level[1]): path for path in folder.glob("*.mrc") if (level := _NUMBERED.search(path.name))}
    return dict(sorted(found.items()))


def _frames(cell: str, noisy: Path, clean: Path, frame: int | None) -> list[Sample]:
    stacks = [_opened(path) for path in (noisy, clean)]
    if stacks[0].shape != stacks[1].shape:
        held = " and ".join(" x ".join(map(str, stack.shape)) for stack in stacks)
        raise DataError(f"{noisy} and {clean} differ in size ({held}): unpack them anew")
    count, *shape = stacks[0].shape
    if frame is not None and frame >= count:
        raise DataError(f"`option` frame={frame}: {noisy} holds {count} frames, 0 to {count - 1}")
    samples = []
    for number in range(count) if frame is None else [frame]:
        sources = [_Frame(path, number, (shape[1], shape[0]), stack.dtype.newbyteorder("="))
                   for path, stack in zip((noisy, clean), stacks, strict=True)]  # fmt: skip
        samples.append(Sample(f"{cell}_{number}", cell, "YX", sources[0].shape, (sources[0],), sources[1]))
    return samples


def _opened(path: Path) -> NDArray[Any]:
    """Return the frames of an MRC file (N, rows, columns), its headers skipped, read where they are asked for."""
    import mrcfile

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            header = file.read(_HEADER)
            extended = int.from_bytes(header[92:96], "big" if header[212:214] == b"\x11\x11" else "little", signed=True)
            if len(header) < _HEADER or not 0 <= extended <= path.stat().st_size - _HEADER:
                raise ImageError(f"{path} is no MRC file or cut off: unpack it anew")
            warnings.simplefilter("ignore", RuntimeWarning)  # what it finds odd is judged below
            with mrcfile.mmap(path, mode="r", permissive=True) as opened:
                frames: NDArray[Any] | None = opened.data
    except FileNotFoundError:
        raise ImageError(f"{path} is missing: unpack it anew") from None
    except UNREADABLE as error:
        raise damaged(str(path), error) from error
    if frames is None or frames.ndim not in (2, 3) or not frames.size:
        raise ImageError(f"{path} is no MRC file or cut off: unpack it anew")
    if frames.dtype.kind not in "uif":
        raise ImageError(f"{path} holds {frames.dtype}, not gray values: is it a file of BioSR?")
    return frames.reshape(-1, *frames.shape[-2:])


@dataclass(frozen=True)
class _Frame:
    """A frame of an MRC file, its first axis along the file's rows of pixels; see ``training.data.sample.Source``."""

    path: Path
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the counts: the file's columns as rows, as its authors' reader has them."""
        values: NDArray[Any] = _opened(self.path)[self.number].T[region or ...].astype(self.dtype)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ImageError(f"{self.path} holds NaN or infinite pixels: unpack it anew")
        return values


DATASETS = {"biosr": BioSR}
