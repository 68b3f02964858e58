"""The run folder: what training hands over. Written whole or not at all, opened again, and read by a person."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from training.errors import RunError, UserError
from training.runs.model import as_denoiser, build
from training.runs.provenance import DataUsed, Provenance
from training.runs.settings import Recipe, Settings, check_name, load_settings, save_settings
from training.util.devices import choose_device
from training.util.writing import clear_parts, new_folder, replacing, write_text

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated
    from training.data import DataSettings, ImageDataset
    from training.inference.denoiser import Denoiser

RUNS = Path("runs")
"""Where runs are written and looked for, below the working directory."""

SETTINGS, PROVENANCE, LOSSES = "settings.yaml", "provenance.json", "losses.csv"
CURVES, PANEL = "curves.png", "panel.png"


@dataclass(frozen=True)
class Run:
    """A run folder and the settings that made it.

    Attributes
    ----------
    folder : Path
        ``runs/NAME``.
    settings : Settings
        As read from ``settings.yaml``.
    """

    folder: Path
    settings: Settings

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.absolute().name

    @property
    def provenance(self) -> Provenance:
        """What came of the run so far, read from ``provenance.json``."""
        path = self.folder / PROVENANCE
        if not path.is_file():
            raise RunError(f"{self.folder}: nothing was trained here yet; go on with `resume` `name` {self.name}")
        try:
            return Provenance.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: damaged ({_first_line(error)}); train again under another name") from None

    def checkpoint(self, which: Literal["best", "last"] = "best") -> Path:
        """Return the path of a checkpoint of this run, there or not."""
        return self.folder / f"{which}.ckpt"

    def model(self, which: Literal["best", "last"] = "best") -> Calibrated:
        """Return the trained model: image units in, image units out; eval mode, float32, on the CPU."""
        provenance = self.provenance
        state = load_checkpoint(self.checkpoint(which))["state_dict"]
        try:
            model = build(provenance.network, provenance.calibration)
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.folder / PROVENANCE}: damaged ({error}); train again under another name") from None
        try:
            model.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError):
            raise RunError(
                f"{self.checkpoint(which)}: its weights are not those of {provenance.network.name} as "
                f"{PROVENANCE} describes it; train again under another name"
            ) from None
        return model.eval()

    def dataset(self, *, compared: bool = True) -> ImageDataset:
        """Return the pairs that the run was trained on, split as then, ``compared`` by ``compare`` or not yet."""
        dataset = open_images(self.settings.data, self.settings.recipe)
        if compared:
            self.compare(dataset)
        return dataset

    def compare(self, dataset: ImageDataset) -> None:
        """Read every file once, and compare it with what it was when training began.

        Raises
        ------
        UserError
            Where a file, or a split, is not the same: a test image now may have been trained on.
        """
        if (self.folder / PROVENANCE).is_file():
            changes = self.provenance.data.changes(DataUsed.of(dataset))
            if changes:
                more = f" and {len(changes) - 1} more" if changes[1:] else ""
                raise RunError(
                    f"{self.folder}: the images changed since the run began ({changes[0]}{more}); put them back, "
                    "train under another `name`, or name images with `noisy` and `clean`"
                )

    def finished(self) -> bool:
        """Return whether scores and best epoch are those of ``best.ckpt``: not while it trains or after a kill.

        A run that is not finished becomes so with ``bmz-fmd train --resume``.
        """
        return self.provenance.scored

    def history(self) -> list[dict[str, float]]:
        """Return the rows of ``losses.csv``: epoch 0 is the calibrated model before training, NaN is no value."""
        path = self.folder / LOSSES
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        try:
            return [{key: float(value) if value else math.nan for key, value in row.items()} for row in rows]
        except (TypeError, ValueError):
            raise RunError(f"{path}: not a table of numbers; delete it, it is only a record") from None

    def denoiser(self, which: Literal["best", "last"] = "best", device: str = "auto") -> Denoiser:
        """Return the trained model as a callable over arrays, with what its tiling needs; "auto" takes a GPU."""
        from training.inference.backends import convolve_channels_last

        model = self.model(which)
        denoiser = as_denoiser(model, self.provenance, choose_device(device))
        if denoiser.device == "cpu" and denoiser.local:
            convolve_channels_last(model)
        return denoiser

    def write_settings(self) -> None:
        """Write ``settings.yaml``."""
        write_text(self.folder / SETTINGS, save_settings(self.settings))

    def write_provenance(self, provenance: Provenance) -> None:
        """Write ``provenance.json``, replacing an older one at once."""
        write_text(self.folder / PROVENANCE, provenance.model_dump_json(indent=2) + "\n")


def open_images(data: DataSettings, recipe: Recipe) -> ImageDataset:
    """Open the data set that a run learns from, split and chosen as its recipe says."""
    from training.data import open_dataset
    from training.data.chosen import choose

    dataset = open_dataset(data, test_fraction=recipe.test_fraction, seed=recipe.seed)
    return choose(dataset, pairs=recipe.pairs, validation=recipe.validation, seed=recipe.seed)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a ``best.ckpt`` or ``last.ckpt`` holds, on the CPU, loaded as weights only."""
    import pickle

    import torch

    if not path.is_file():
        raise RunError(f"{path}: missing; go on training with `resume` `name` {path.parent.name}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError):
        raise RunError(
            f"{path}: not a checkpoint of this program, or damaged; delete it and go on with `resume`"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise RunError(f"{path}: not a checkpoint of this program; delete it and go on with `resume`")
    return content


def create_run(settings: Settings, folder: Path) -> Run:
    """Make a new run folder that holds the settings; one that exists is left alone and is an error."""
    folder = Path(folder)
    if folder.exists():
        raise RunError(
            f"{folder}: exists and is not overwritten; choose another `name`, "
            f"or go on with `resume` `name` {folder.name}"
        )
    try:
        clear_parts(folder.parent, folder.name)
        with new_folder(folder) as part:
            Run(part, settings).write_settings()
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); run in a folder that you may write to") from None
    return Run(folder, settings)


def open_run(folder: Path) -> Run:
    """Return the run of a folder; a folder without settings is an error."""
    folder = Path(folder)
    if not folder.is_dir():
        known = run_names(folder.parent)
        hint = f"; there are {', '.join(known)}" if known else ""
        raise RunError(f"{folder}: no such run{hint}; start one with bmz-fmd train")
    if not (folder / SETTINGS).is_file():
        raise RunError(f"{folder}: not a run folder, it has no {SETTINGS}; name one that bmz-fmd train wrote")
    return Run(folder, load_settings(folder / SETTINGS))


def newest_run(dataset: str, runs: Path = RUNS) -> Run:
    """Return the newest run trained on the named data set (by its provenance, not by its folder's name)."""
    found: list[tuple[str, Run]] = []
    others: set[str] = set()
    for name in run_names(runs):
        try:
            run = open_run(runs / name)
            provenance = run.provenance
        except UserError:
            continue
        if not run.checkpoint().is_file():
            continue
        if provenance.data.name.casefold() == dataset.casefold():
            found.append((provenance.created, run))
        else:
            others.add(provenance.data.name)
    if not found:
        hint = f"there are runs on {', '.join(sorted(others))}; " if others else ""
        raise RunError(f"`dataset` {dataset}: no trained run below {runs}; {hint}start one with bmz-fmd train")
    return max(found, key=lambda entry: entry[0])[1]


def free_name(dataset: str, network: str, runs: Path = RUNS) -> str:
    """Return ``<dataset>-<network>-<date>``, with a number behind where that run exists."""
    stem = "".join(c if c.isalnum() or c in "._-+" else "-" for c in dataset).strip(".-")[:60] or "data"
    name = check_name(f"{stem}-{network}-{datetime.now(UTC).date().isoformat()}")
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(name for name in names if not (runs / name).exists())


def write_rows(path: Path, rows: Sequence[dict[str, float]], columns: Sequence[str]) -> None:
    """Write a table of numbers as CSV; NaN becomes an empty cell."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            values = {key: row.get(key, math.nan) for key in columns}
            writer.writerow({key: "" if math.isnan(value) else f"{value:.8g}" for key, value in values.items()})


def run_names(runs: Path = RUNS) -> list[str]:
    """Return the names of the runs in a folder; hidden ones are left out."""
    if not runs.is_dir():
        return []
    return sorted(
        entry.name for entry in runs.iterdir() if (entry / SETTINGS).is_file() and not entry.name.startswith(".")
    )


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    return type(error).__name__
