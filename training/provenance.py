"""How a result was made: what a run records, and what travels inside the package."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.settings import Recipe

_PACKAGES = ("bmz-fmd", "torch", "lightning", "numpy", "scikit-image", "tifffile")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkUsed(_Part):
    """The network and its constructor settings (all of them, the published ones included)."""

    name: str
    settings: dict[str, Any]


class CheckpointUsed(_Part):
    """Where the weights started from; its licence goes into every package made of the run.

    ``licence`` is in words, None where nobody stated one: a file of unknown origin.
    """

    name: str
    sha256: str
    licence: str | None
    spdx: str | None = None
    source: str
    citation: str | None = None


class TrainedOnData(_Part):
    """Intensities and noise of the noisy training images, in image units.

    ``low`` and ``high`` are the 0.1 and 99.9 percentiles over all of them, ``noise`` the median of
    :func:`training.metrics.noise_level`.
    """

    dtype: str
    low: float
    high: float
    noise: float


class IntensityFitUsed(_Part):
    """How the clean images were brought onto the noisy ones' scale: ``slope * clean + offset``.

    With ``mode`` "image" every image has its own; slope and offset here are the medians over the training set.
    """

    mode: Literal["dataset", "image", "none"]
    slope: float
    offset: float


class DataUsed(_Part):
    """The data set: its name, the sha256 of its files, the names of the pairs by split, and where it comes from."""

    name: str
    hashes: dict[str, str]
    splits: dict[str, list[str]]
    source: dict[str, Any]


class Score(_Part):
    """Mean and standard deviation over images."""

    psnr: float
    psnr_std: float
    ssim: float
    ssim_std: float


class Scores(_Part):
    """Over the test images: the noisy ones, the calibrated model before training, and the best model."""

    convention: Literal["raw", "affine"]
    data_range: float
    images: int
    noisy: Score
    start: Score
    denoised: Score


class Provenance(_Part):
    """What came of a run; the same file travels inside the package.

    ``calibration`` holds all arguments of ``Calibrated``, ``scores`` one entry a convention ("raw", "affine") once the
    test images were scored. ``created`` is ISO 8601 in UTC.
    """

    network: NetworkUsed
    calibration: dict[str, Any]
    checkpoint: CheckpointUsed | None
    trained_on: TrainedOnData
    intensity_fit: IntensityFitUsed
    data: DataUsed
    recipe: Recipe
    scores: dict[str, Scores] = Field(default_factory=dict)
    best_epoch: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int
    created: str


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
