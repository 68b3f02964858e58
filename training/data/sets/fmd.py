"""FMD: twelve kinds of images from three microscopes, twenty fields of each, fifty captures of each field, 8 bits.

Zhang Y et al., CVPR 2019, arXiv:1812.10366; data doi 10.7274/r0-ed2r-4052. As distributed:
``KIND/{raw,avg2,avg4,avg8,avg16}/FIELD/*.png``, the mean of fifty captures ``KIND/gt/FIELD/avg50.png``, and a mixed
test set ``test_mix/{raw,...,gt}/KIND_k.png``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.data.dataset import SplitDataset, source_of
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder, folder_named, missing
from training.data.sample import Region, Sample, Source
from training.data.splits import natural
from training.errors import DataError
from training.images import open_image, source_in
from training.images.lazy import UNREADABLE, damaged

Kind = Literal[
    "Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "Confocal_MICE",
    "TwoPhoton_BPAE_B", "TwoPhoton_BPAE_G", "TwoPhoton_BPAE_R", "TwoPhoton_MICE",
    "WideField_BPAE_B", "WideField_BPAE_G", "WideField_BPAE_R",
]  # fmt: skip
Level = Literal["raw", "avg2", "avg4", "avg8", "avg16"]

KINDS: tuple[str, ...] = Kind.__args__  # type: ignore[attr-defined]
LEVELS: tuple[str, ...] = Level.__args__  # type: ignore[attr-defined]
_FIELDS, _CAPTURES = range(1, 21), 50
_TEST_FIELD = "19"
_GRAY = (0.2989, 0.5870, 0.1140)  # of red, green and blue, as its authors convert


class FMDOptions(DatasetOptions):
    """Which of its images."""

    data: Location | None = None
    """A folder somewhere below which the folders of the kinds lie."""

    kind: Kind | None = None
    """All that are there, where none is named."""

    level: Level = "raw"
    """Single captures, or means of so many."""

    captures: int | None = Field(default=None, ge=1, le=_CAPTURES)
    """Of each field, the first so many by name; all, where no number is given."""

    mix: bool = False
    """The mixed test set tests, instead of the nineteenth fields."""

    repeats: bool | None = None
    """The captures of a field are frames of one sample; else each is a sample."""


class FMD(SplitDataset):
    """Field 19 of each kind tests, as published."""

    options = FMDOptions
    published = Published(
        title="FMD",
        citation="Zhang Y, Zhu Y, Nichols E, Wang Q, Zhang S, Smith C, Howard S. A Poisson-Gaussian denoising dataset "
        "with real fluorescence microscopy images. CVPR (2019), arXiv:1812.10366",
        doi="10.7274/r0-ed2r-4052",
        address="https://drive.google.com/drive/folders/1aygMzSDdoq63IqSk-ly8cMq0_owup8UM",
        images="12 kinds x 20 fields x 50 captures of 512 x 512, and their means",
        layout="the folders of its tars: Confocal_FISH, ..., and test_mix",
    )

    def __init__(self, name: str, options: FMDOptions, *, test_fraction: float, seed: int) -> None:
        root = data_folder(name, options.data, self.published)
        wanted = [options.kind] if options.kind else KINDS
        places = {kind: place for kind in wanted if (place := folder_named(root, kind))}
        if not places:
            which = options.kind or "of any of its kinds, such as Confocal_FISH"
            raise DataError(f"{root} holds no folder {which}: unpack the tars of {self.published.address} into it")
        files: list[Path] = []
        samples: list[Sample] = []
        notes = []
        for kind, place in places.items():
            fields = _fields(place, options.level)
            if lacking := [number for number in _FIELDS if str(number) not in fields]:
                notes.append(f"{kind}: without field {missing(lacking)}; each kind has twenty, of which 19 tests")
            for field, folder in fields.items():
                if not (options.mix and field == _TEST_FIELD):
                    samples += _captures(kind, field, folder, options, files)
        tests = {f"{kind}_{_TEST_FIELD}" for kind in places}
        if options.mix:
            mixed = list(_mixed(root, wanted, options.level, files))
            samples += mixed
            tests = {sample.field for sample in mixed}
        super().__init__(
            name if options.kind is None else options.kind,
            source_of(open_image(files[0]), **self.published.origin(options.kind)),
            samples,
            {path.relative_to(root).as_posix(): path for path in files},
            notes=notes,
            tests=tests,
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return how many PNG files of each kind, at all levels, and of the mixed test set are there."""
        parts = []
        whole = {level: len(_FIELDS) * _CAPTURES for level in LEVELS} | {"gt": len(_FIELDS)}
        for kind, expected in [*((kind, whole) for kind in KINDS), ("test_mix", dict.fromkeys(whole, 48))]:
            place = folder_named(folder, kind)
            there = {level: len(list((place / level).rglob("*.png"))) if place else 0 for level in whole}
            short = [level for level, count in expected.items() if there[level] < count]
            lacking = f"{kind}.tar" if not any(there.values()) else ", ".join(short)
            parts.append(Part(kind, sum(there.values()), sum(expected.values()), lacking))
        return parts


def _fields(place: Path, level: str) -> dict[str, Path]:
    """Return the folders of the fields of a kind, in the order of their numbers."""
    if not (place / level).is_dir():
        raise DataError(f"{place} has no folder {level}: unpack {place.name}.tar anew, or take another `option` level")
    fields = {path.name: path for path in (place / level).iterdir() if path.name.isdecimal()}
    if not fields:
        raise DataError(f"{place / level} holds no fields (folders 1 to 20): unpack {place.name}.tar anew")
    return {field: fields[field] for field in sorted(fields, key=natural)}


def _captures(kind: str, field: str, folder: Path, options: FMDOptions, files: list[Path]) -> list[Sample]:
    """Return a sample of each capture of a field, or one of all of them; what is read is added to ``files``."""
    paths = sorted(folder.glob("*.png"))[: options.captures]
    if not paths:
        raise DataError(f"{folder} holds no PNG images: unpack {kind}.tar anew")
    truth = folder.parents[1] / "gt" / field / "avg50.png"
    clean, noisy = _gray(truth), [_gray(path) for path in paths]
    files += [*paths, truth]
    for path, source in zip(paths, noisy, strict=True):
        _check_alike(path, source, truth, clean)
    where = f"{kind}_{field}"
    if options.repeats:
        return [Sample(where, where, "YX", clean.shape, tuple(noisy), clean)]
    return [
        Sample(f"{where}_{number:02d}", where, "YX", clean.shape, (source,), clean)
        for number, source in enumerate(noisy)
    ]


def _mixed(root: Path, kinds: Sequence[str], level: str, files: list[Path]) -> Iterator[Sample]:
    """Yield the images of the mixed test set that are of some kinds."""
    place = folder_named(root, "test_mix")
    if place is None:
        raise DataError(f"{root} holds no folder test_mix: unpack test_mix.tar into it, or leave out `option` mix")
    paths = [path for path in sorted((place / level).glob("*.png")) if path.stem.rpartition("_")[0] in kinds]
    if not paths:
        raise DataError(f"{place / level} holds no images of {', '.join(kinds)}: unpack test_mix.tar anew")
    for path in paths:
        truth = place / "gt" / path.name
        noisy, clean = _gray(path), _gray(truth)
        _check_alike(path, noisy, truth, clean)
        files += [path, truth]
        yield Sample(f"mix_{path.stem}", f"mix_{path.stem}", "YX", clean.shape, (noisy,), clean)


def _gray(path: Path) -> Source:
    image = open_image(path)
    if image.ndim == 2 and image.attrs["metadata"].colour:
        return _Colour(path, image.shape, image.dtype)
    return source_in(image, "YX")


def _check_alike(path: Path, noisy: Source, truth: Path, clean: Source) -> None:
    if noisy.shape != clean.shape:
        held = " and ".join(" x ".join(map(str, source.shape)) for source in (noisy, clean))
        raise DataError(f"{path} and {truth} differ in size ({held} pixels): unpack them anew")


@dataclass(frozen=True)
class _Colour:
    """A PNG in colour as its authors make it gray; see ``training.data.sample.Source``."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the gray values, rounded, in the file's own type."""
        import imagecodecs

        try:
            colours = np.asarray(imagecodecs.png_decode(self.path.read_bytes()))[region or ...]
        except UNREADABLE as error:
            raise damaged(str(self.path), error) from error
        if colours.ndim == 2:
            return colours
        gray = colours[..., 0] if colours.shape[-1] < 3 else np.rint(colours[..., :3] @ np.array(_GRAY))
        return gray.astype(self.dtype)


DATASETS = {"fmd": FMD}
