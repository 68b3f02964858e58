"""W2S: 120 fields in three channels, 400 captures of each as one ``.npy`` stack of 16 bits, 512 x 512.

Zhou R et al., ECCV Workshops 2020, arXiv:2003.05961. As distributed: ``raw/ImageNNN/wf_channelC.npy``, and in the
authors' repository their averages, normalised over all captures, ``normalized/avgN/NNN_C.npy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import SplitDataset
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder, folder_named, missing
from training.data.sample import DataSource, Region, Sample, Source
from training.errors import DataError, ImageError
from training.images.lazy import UNREADABLE

_FIELDS, _CHANNELS = range(1, 121), "012"
_TESTS = range(81, 121)  # of 360 sets of images, in the order of their names, 240 train
_CAPTURES = 400
_SINGLE = 249  # the capture that its authors call avg1; an average of N is of captures 0 to N - 1
_MEAN, _DEVIATION = 154.535390853, 66.02846351802853  # counts, of all captures: what the copies are normalised by
_CHUNK = 32  # captures that are in memory at once


class W2SOptions(DatasetOptions):
    """Which of its images."""

    data: Location | None = None
    """A folder somewhere below which ``raw``, or ``normalized``, lies."""

    channel: Literal["0", "1", "2"] | None = None
    """All three, each an image of its own, where none is named."""

    average: Literal[1, 2, 4, 8, 16] = 1
    """Captures that a noisy image is the mean of."""

    copies: Literal["raw", "normalized"] = "raw"
    """The stacks of captures, or the authors' averages, which are brought back to counts."""

    repeats: bool | None = None
    """Of stacks, all averages of different captures are frames of one sample, the published one first."""


class W2S(SplitDataset):
    """Noisy averages as published, the mean of 400 captures as truth; fields 81 to 120 test."""

    options = W2SOptions
    published = Published(
        title="W2S",
        citation="Zhou R, El Helou M, Sage D, Laroche T, Seitz A, Süsstrunk S. W2S: microscopy data with joint "
        "denoising and super-resolution for widefield to SIM mapping. ECCV Workshops (2020), arXiv:2003.05961",
        doi="10.48550/arXiv.2003.05961",
        address="https://github.com/IVRL/w2s",
        images="120 fields x 3 channels x 400 captures of 512 x 512, 16 bits",
        layout="raw/Image001/wf_channel0.npy, ...; or normalized/avg1/001_0.npy, ...",
        size="75 GB of captures, and SIM images",
        download="https://datasets.epfl.ch/w2s/W2S_raw.zip",
    )

    def __init__(self, name: str, options: W2SOptions, *, test_fraction: float, seed: int) -> None:
        root = data_folder(name, options.data, self.published)
        place = folder_named(root, options.copies)
        if place is None:
            raise DataError(
                f"{root} holds no folder {options.copies}: unpack {self.published.download} into it, or for the "
                f"normalised copies take {self.published.address}, folder data"
            )
        channels = [options.channel] if options.channel else list(_CHANNELS)
        found = _stacks(place, channels) if options.copies == "raw" else _copies(place, channels, options.average)
        if not found:
            raise DataError(
                f"{place} holds no images of channel {', '.join(channels)}: {self.published.layout} is read"
            )
        samples, files = [], []
        for (field, channel), (noisy, truth) in found.items():
            if options.copies == "raw":
                shape = _opened(noisy, 3, "u").shape
                if shape[0] != _CAPTURES:
                    raise DataError(f"{noisy} holds {shape[0]} captures, not {_CAPTURES}: copy it anew")
                frames: list[Source] = [Mean(noisy, captures, shape[1:]) for captures in _averages(options.average)]
                clean: Source = Mean(noisy, range(_CAPTURES), shape[1:])
            else:
                frames = [_Copy(noisy, _opened(noisy, 2, "f").shape)]
                clean = _Copy(truth, _opened(truth, 2, "f").shape)
                if clean.shape != frames[0].shape:
                    raise DataError(f"{noisy} and {truth} differ in size: copy them anew")
            called = f"{field:03d}_{channel}"
            kept = tuple(frames if options.repeats else frames[:1])
            samples.append(Sample(called, f"field_{field:03d}", "YX", clean.shape, kept, clean))
            files += [noisy, truth]
        lacking = [number for number in _FIELDS if number not in {field for field, _ in found}]
        super().__init__(
            name if options.channel is None else f"{name}_channel{options.channel}",
            DataSource(
                dtype="float32" if options.copies == "normalized" or options.average > 1 else "uint16",
                **self.published.origin(options.channel and f"channel {options.channel}"),
            ),
            samples,
            {path.relative_to(root).as_posix(): path for path in files},
            notes=[f"without field {missing(lacking)}: W2S has 120, of which 81 to 120 test"] if lacking else [],
            tests={f"field_{number:03d}" for number in _TESTS},
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return how many stacks of each channel, and how many normalised copies, are there."""
        expected = len(_FIELDS)
        raw, copies = folder_named(folder, "raw"), folder_named(folder, "normalized")
        parts = []
        for channel in _CHANNELS:
            fields = {field for field, _ in _stacks(raw, [channel])} if raw else set()
            lacking = [number for number in _FIELDS if number not in fields]
            parts.append(Part(f"raw, channel {channel}", len(fields), expected, (lacking and missing(lacking)) or ""))
        there = len(list(copies.glob("avg*/*.npy"))) if copies else 0
        return [*parts, Part("normalized (instead of raw)", there, 6 * 3 * expected)]


_Found = dict[tuple[int, str], tuple[Path, Path]]
"""By field and channel, the file of the noisy images and that of the truth."""


def _stacks(place: Path, channels: Sequence[str]) -> _Found:
    paths = {(field, channel): place / f"Image{field:03d}" / f"wf_channel{channel}.npy"
             for field in _FIELDS for channel in channels}  # fmt: skip
    return {key: (path, path) for key, path in paths.items() if path.is_file()}


def _copies(place: Path, channels: Sequence[str], average: int) -> _Found:
    names = {(field, channel): f"{field:03d}_{channel}.npy" for field in _FIELDS for channel in channels}
    pairs = {key: (place / f"avg{average}" / name, place / "avg400" / name) for key, name in names.items()}
    return {key: pair for key, pair in pairs.items() if pair[0].is_file()}


def _averages(average: int) -> list[range]:
    """Return the captures of each image that is the mean of so many, the published one first."""
    starts = range(0, _CAPTURES, average)
    if average == 1:
        starts = [_SINGLE, *(start for start in starts if start != _SINGLE)]  # type: ignore[assignment]
    return [range(start, start + average) for start in starts]


def _opened(path: Path, axes: int, kind: str) -> NDArray[Any]:
    """Return a ``.npy`` file as an array that is read where it is asked for, its shape and type checked."""
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise ImageError(f"{path} is missing: copy it anew") from None
    except UNREADABLE as error:
        brief = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise ImageError(
            f"{path} cannot be read as .npy, it is another file or cut off: copy it anew ({brief})"
        ) from None
    if array.ndim != axes or array.dtype.kind != kind or min(array.shape) < 1:
        held = " x ".join(map(str, array.shape)) + f" of {array.dtype}"
        wanted = {3: "captures x rows x columns of uint16", 2: "rows x columns of floats"}[axes]
        raise ImageError(f"{path} holds {held}, not {wanted}: is it a file of W2S?")
    return array


@dataclass(frozen=True)
class Mean:
    """The mean of some captures of a stack on disk, or one of them; see ``training.data.sample.Source``.

    The file is mapped anew for each few captures, so that no more of it counts as memory of this process.
    """

    path: Path
    captures: range
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """``uint16`` for one capture, ``float32`` for a mean."""
        return np.dtype(np.uint16 if len(self.captures) == 1 else np.float32)

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the counts."""
        rows, columns = region or (slice(None), slice(None))
        first, last = self.captures.start, self.captures.stop
        if len(self.captures) == 1:
            return np.array(_opened(self.path, 3, "u")[first, rows, columns], dtype=self.dtype)
        parts = (slice(start, min(start + _CHUNK, last)) for start in range(first, last, _CHUNK))
        total = sum(_opened(self.path, 3, "u")[part, rows, columns].sum(0, dtype=np.float64) for part in parts)
        return np.asarray(total / len(self.captures), dtype=self.dtype)


@dataclass(frozen=True)
class _Copy:
    """A normalised copy in counts; see ``training.data.sample.Source``."""

    path: Path
    shape: tuple[int, ...]
    dtype = np.dtype(np.float32)

    def read(self, region: Region | None = None) -> NDArray[np.float32]:
        """Return the counts."""
        values = _opened(self.path, 2, "f")[region or ...]
        if not np.isfinite(values).all():
            raise ImageError(f"{self.path} holds NaN or infinite pixels: copy it anew")
        return (values * _DEVIATION + _MEAN).astype(np.float32)


DATASETS = {"w2s": W2S}
