"""A user's own images: two folders, or two files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.data.dataset import SplitDataset, check_alike, check_values, source_of
from training.data.matching import Match, match, stem
from training.data.options import FOLDERS, DatasetOptions, Location
from training.data.sample import DataSource, Sample
from training.data.splits import field_of, natural, place_of
from training.errors import DataError
from training.images import FileSource, channel_names, channel_number, open_image, source_in
from training.util.text import composed, counted

if TYPE_CHECKING:
    import xarray

# time, depth, channel, sample, lifetime, angle, exposure, wavelength, event; others are positions
_OF_ONE_FIELD = "TZCSHALEV"


class FolderOptions(DatasetOptions):
    """Which images: two folders, or two files of several planes."""

    noisy: Location | None = None
    clean: Location | None = None
    """Without it, samples have no clean image."""

    pattern: str | None = None
    """``NOISY=CLEAN``: how the names of a pair differ, where ``{}`` is what they share (``{}_low.tif={}_high.tif``)."""

    channel: str | None = None
    """The channel to take, by its name or its number (from 0), where the files hold several."""

    repeats: bool | None = None
    """Time points and repeats of a place, by name, subfolder or the axis T, are frames of one sample."""

    unpaired: bool | None = None
    """Noisy images without a clean one are kept: they train, and those with one judge."""


@dataclass(frozen=True)
class Found:
    """All samples of the images, not split."""

    samples: tuple[Sample, ...]
    source: DataSource
    files: dict[str, Path]
    """Every file that is read, as ``noisy/NAME`` or ``clean/NAME``."""

    notes: tuple[str, ...]
    """What a user should know of the matching, a line each."""


class Folders(SplitDataset):
    """Noisy and clean images under a user's own names, plane by plane; called as the folder of the noisy ones.

    Time points, depths and repeats of one field of view, by name or axis, stay together.
    """

    options = FolderOptions

    def __init__(self, name: str, options: FolderOptions, *, test_fraction: float, seed: int) -> None:
        found = read_folders(options)
        folder = options.noisy or Path()
        super().__init__(
            _friendly(folder.name if folder.is_dir() else stem(folder)),
            found.source,
            found.samples,
            found.files,
            notes=found.notes,
            test_fraction=test_fraction,
            seed=seed,
        )


def read_folders(options: FolderOptions) -> Found:
    """Match, open and check a user's own files; ``UserError`` where they do not make pairs."""
    if options.noisy is None:
        raise DataError("`clean` is given without `noisy`: pairs need both")
    matches, left = match(options.noisy, options.clean, options.pattern)
    samples: list[Sample] = []
    files: dict[str, Path] = {}
    sources: list[DataSource] = []
    if options.unpaired and options.noisy.is_dir():
        kept = [path for path in left if options.noisy != options.clean and path.parent == options.noisy]
        matches = [*matches, *(Match(stem(path), path, None) for path in kept)]
        matches.sort(key=lambda found: natural(found.noisy.name))
        left = [path for path in left if path not in kept]
    for found in matches:
        images = _opened(found, options.channel)
        samples.extend(_samples(found, images, repeats=bool(options.repeats)))
        named = zip(("noisy", "clean"), (found.noisy, found.clean), strict=True)
        within = "" if found.folder is None else f"{found.folder}/"
        files |= {f"{side}/{within}{composed(path.name)}": path for side, path in named if path is not None}
        sources.append(source_of(images[0]))
    notes = []
    if left:
        names = ", ".join([*(composed(path.name) for path in left[:3]), *(["..."] if left[3:] else [])])
        notes.append(f"{counted(len(left), 'file')} without a partner left out: {names}")
    kinds = sorted({source.dtype for source in sources})
    if len(kinds) > 1:
        notes.append(f"the noisy files are of different types ({', '.join(kinds)}): are they on one intensity scale?")
    merged = _frames(samples) if options.repeats else samples
    return Found(tuple(_numbered(merged)), sources[0], files, tuple(notes))


def _opened(found: Match, channel: str | None) -> list[xarray.DataArray]:
    """Return one channel of the noisy image, and of the clean one where there is one."""
    images = [open_image(path) for path in (found.noisy, found.clean) if path is not None]
    if channel not in (None, "0") and not any("C" in image.dims for image in images):
        raise DataError(f"`channel` {channel} is not in {found.noisy}: it has one channel, leave the option out")
    for position, image in enumerate(images):
        if "C" not in image.dims:
            continue
        count, names = image.sizes["C"], channel_names(image)
        if channel is None and count > 1:
            held = ", ".join(f"{number} {name}" for number, name in enumerate(names)) or f"0 to {count - 1}"
            raise DataError(f"{image.attrs['path']} holds {count} channels ({held}): choose one with `channel`")
        number = 0 if channel is None else channel_number(image, channel)
        images[position] = image.isel(C=number, drop=True).assign_attrs(channel=number)
    if found.clean is not None:
        check_alike(*images)
    for image in images:
        check_values(image)
    return images


def _samples(found: Match, images: Sequence[xarray.DataArray], *, repeats: bool) -> Iterator[Sample]:
    """Yield a sample of each plane; with ``repeats``, those that are frames of one place are called alike."""
    name, field = found.shared, found.folder or field_of(found.shared)
    if repeats:
        name = found.folder or place_of(found.shared)
    for (index, noisy), *clean in zip(*map(_planes, images), strict=True):
        parts = {
            dim: f"{dim.lower()}{at:0{len(str(images[0].sizes[dim] - 1))}}"
            for dim, at in index.items()
            if not (repeats and dim == "T")
        }
        apart = [part for dim, part in parts.items() if dim not in _OF_ONE_FIELD]
        truth = clean[0][1] if clean else None
        called = "_".join([name if repeats else _friendly(name), *parts.values()])
        yield Sample(called, "_".join([field, *apart]), "YX", noisy.shape, (noisy,), truth)


def _frames(samples: Sequence[Sample]) -> list[Sample]:
    """Return one sample of all that are called alike, with their frames and the first clean image that there is."""
    places: dict[str, list[Sample]] = {}
    for sample in samples:
        places.setdefault(sample.name, []).append(sample)
    merged = []
    for name, parts in places.items():
        other = next((part for part in parts if part.shape != parts[0].shape), None)
        if other is not None:
            raise DataError(
                f"{name}: its frames differ in size, {parts[0].shape} and {other.shape} pixels: leave out what does "
                "not belong, or choose a `method` that takes one frame"
            )
        clean = next((part.clean for part in parts if part.clean is not None), None)
        merged.append(
            replace(
                parts[0],
                name=_friendly(name),
                noisy=tuple(frame for part in parts for frame in part.noisy),
                clean=clean,
            )
        )
    return merged


def _planes(image: xarray.DataArray) -> Iterator[tuple[dict[str, int], FileSource]]:
    """Yield each plane, and its number along every axis that has several."""
    dims = [str(dim) for dim in image.dims[:-2] if image.sizes[dim] > 1]
    for numbers in np.ndindex(*(image.sizes[dim] for dim in dims)):
        index = dict(zip(dims, numbers, strict=True))
        yield index, source_in(image, "YX", C=image.attrs.get("channel", 0), **index)


def _numbered(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Number what is called alike once names are friendly (``a b.tif`` and ``a_b.tif``), in the order of the files."""
    taken = {sample.name for sample in samples}
    seen: set[str] = set()
    for sample in samples:
        name = sample.name
        if name in seen:
            name = next(one for n in itertools.count(2) if (one := f"{sample.name}_{n}") not in taken)
            taken.add(name)
        seen.add(name)
        yield replace(sample, name=name)


def _friendly(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


DATASETS = {FOLDERS: Folders}
