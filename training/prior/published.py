"""The configurations that AUTO-DIP publishes: the best of each group of its calibration images."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import Literal, get_args

from training.errors import SettingError
from training.prior.configuration import Configuration
from training.util.text import unknown

BestFor = Literal["lpips_psnr", "lpips", "psnr", "ssim", "mse", "mae"]
"""What configurations are the best for: ranks by LPIPS and PSNR together (the paper's choice), or one score."""

_MICROSCOPES = {"confocal": "confocal", "twophoton": "twophoton", "2photon": "twophoton", "widefield": "widefield"}
_SPECIMENS = {
    "actin": "actin",
    "factin": "actin",
    "mito": "mito",
    "mitochondria": "mito",
    "nucleus": "nucleus",
    "nuclei": "nucleus",
}


def microscope_group(name: str | None) -> str:
    """Return the published group of a microscope, such as two-photon; "" for None.

    Raises
    ------
    UserError
        Where there is no such group.
    """
    if name is None:
        return ""
    group = _MICROSCOPES.get(_plain(name))
    if group is None:
        raise SettingError(f"`microscope` {name}: {unknown(name, sorted(set(_MICROSCOPES.values())))}")
    return group


def specimen_group(name: str | None) -> str:
    """Return the published group of a specimen, such as F-actin; "" for None and for one that is in no group."""
    return "" if name is None else _SPECIMENS.get(_plain(name), "")


def published(microscope: str, specimen: str, best_for: BestFor = "lpips_psnr") -> Configuration:
    """Return the configuration of a group; "" stands for any microscope or specimen.

    Examples
    --------
    >>> str(published("widefield", "actin"))
    'depth 8, width 32, skip 4, 500 iterations'
    """
    if best_for not in get_args(BestFor):
        raise SettingError(f"`best_for` {best_for}: {unknown(best_for, get_args(BestFor))}")
    text = files("training.prior").joinpath("published.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    wanted = (best_for, microscope, specimen)
    row = next(row for row in csv.DictReader(lines) if (row["best_for"], row["microscope"], row["specimen"]) == wanted)
    return configuration_of(row)


def configuration_of(row: dict[str, str]) -> Configuration:
    """Return the configuration that a row of a table names."""
    width = int(row["width"]) if row["width"].isdigit() else row["width"]
    numbers = {name: int(row[name]) for name in ("depth", "skip", "iterations")}
    return Configuration.model_validate({"width": width, **numbers})


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
