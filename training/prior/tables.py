"""The table that a calibration writes and the transfer reads: scores of the whole grid on each calibration image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.errors import DataError
from training.prior.configuration import Configuration
from training.prior.published import configuration_of
from training.util.writing import replacing, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = ("image", "microscope", "specimen", "depth", "width", "skip", "iterations", "psnr", "lpips")
_PREFIX = "image "  # of the names in that file, some of which NumPy would take for its own words
IMAGES = "images.npz"
"""The noisy calibration images, float16 from 0 to 1, in the folder of the table's name."""


@dataclass(frozen=True)
class Row:
    """What one configuration scored on one image; a score that was not asked for, or cannot be computed, is None."""

    image: str
    microscope: str
    specimen: str
    configuration: Configuration
    psnr: float | None
    lpips: float | None = None


@dataclass(frozen=True)
class CalibrationTable:
    """The rows, and the noisy images by their names."""

    rows: tuple[Row, ...]
    images: dict[str, NDArray[np.float32]]

    def names(self, microscope: str = "", specimen: str = "") -> list[str]:
        """Return the images of a microscope and a specimen, in the table's order; "" stands for any."""
        wanted = (
            row.image for row in self.rows if microscope in ("", row.microscope) and specimen in ("", row.specimen)
        )
        return list(dict.fromkeys(wanted))

    def best(self, names: Iterable[str]) -> Configuration:
        """Return the configuration of the best mean rank over images, by the scores that the table has."""
        from scipy.stats import rankdata

        summed: dict[Configuration, float] = {}
        counts: dict[Configuration, int] = {}
        for name in set(names):
            rows = [row for row in self.rows if row.image == name]
            scores = ([None if row.psnr is None else -row.psnr for row in rows], [row.lpips for row in rows])
            ranks = np.sum([rankdata(each) for each in scores if None not in each], axis=0)
            for row, rank in zip(rows, ranks, strict=True):
                summed[row.configuration] = summed.get(row.configuration, 0.0) + float(rank)
                counts[row.configuration] = counts.get(row.configuration, 0) + 1
        most = max(counts.values())  # a configuration too deep for some of the images is judged by none
        return min((each for each in summed if counts[each] == most), key=lambda each: (summed[each], str(each)))


def read_table(path: Path) -> CalibrationTable:
    """Read what ``write_table`` wrote.

    Raises
    ------
    UserError
        Where it is no such table, or its images are missing.
    """
    try:
        found = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = tuple(_row(each) for each in found)
        with np.load(path.with_suffix("") / IMAGES) as stored:
            images = {name.removeprefix(_PREFIX): stored[name].astype(np.float32) for name in stored.files}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no table of `calibrate` with its folder of images beside it ({error})") from None
    if not rows or {row.image for row in rows} - images.keys():
        raise DataError(f"{path} holds no scores, or not those of its images: calibrate again")
    return CalibrationTable(rows, images)


def is_table(path: Path) -> bool:
    """Return whether a file that exists is a table of a calibration."""
    try:
        return path.read_text(encoding="utf-8").startswith(",".join(_COLUMNS))
    except (OSError, ValueError):
        return False


def write_table(path: Path, rows: Sequence[Row], images: dict[str, NDArray[np.float32]]) -> None:
    """Write the table, its rows in their order of image and configuration, and its images in a folder of its name."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / IMAGES) as part, part.open("wb") as file:
        named = {_PREFIX + name: image.astype(np.float16) for name, image in images.items()}
        np.savez_compressed(file, **named)  # type: ignore[arg-type]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in sorted(rows, key=lambda row: (row.image, *_order(row.configuration))):
        setting = row.configuration
        scores = ("" if score is None else f"{score:.5f}" for score in (row.psnr, row.lpips))
        numbers = (setting.depth, setting.width, setting.skip, setting.iterations)
        writer.writerow((row.image, row.microscope, row.specimen, *numbers, *scores))
    write_text(path, text.getvalue())


def _row(cells: dict[str, str]) -> Row:
    ratio, alike = (float(cells[score]) if cells[score] else None for score in ("psnr", "lpips"))
    return Row(cells["image"], cells["microscope"], cells["specimen"], configuration_of(cells), ratio, alike)


def _order(configuration: Configuration) -> tuple[int, str, int, int]:
    return configuration.depth, f"{configuration.width:>9}", configuration.skip, configuration.iterations
