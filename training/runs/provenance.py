"""How a result was made: what a run records, and what travels inside the package."""

from __future__ import annotations

import math
import platform
import re
import unicodedata
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from training.calibration.camera import CameraProfile
from training.calibration.intensity import Intensity
from training.checkpoints.loading import Origin
from training.inference.statistics import TrainedOn
from training.networks import NETWORKS, is_known
from training.runs.settings import Recipe
from training.util.text import composed, counted

if TYPE_CHECKING:
    from training.data import ImageDataset

_PACKAGES = ("bmz-fmd", "torch", "lightning", "numpy", "scikit-image", "tifffile")


_Figure = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]  # JSON has no NaN


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkUsed(_Part):
    """The network and its constructor settings (all of them, the published ones included)."""

    name: str
    settings: dict[str, Any]

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not is_known(name):
            raise ValueError(f"{name} is none of {', '.join(NETWORKS)}")
        return name


class DataUsed(_Part):
    """The data set: its name, the sha256 of its files, the names of the pairs by split, and where it comes from."""

    name: str
    hashes: dict[str, str]
    splits: dict[str, list[str]]
    source: dict[str, Any]

    @classmethod
    def of(cls, dataset: ImageDataset) -> DataUsed:
        """Return what there is to say of a data set; every file is read once."""
        return cls(
            name=dataset.name,
            hashes=dataset.hashes(),
            splits={
                part: [sample.name for sample in getattr(dataset, part)] for part in ("train", "validation", "test")
            },
            source=asdict(dataset.source),
        )

    def changes(self, later: DataUsed) -> list[str]:
        """Return the files that were added, taken away or rewritten since; without any, the splits that differ."""
        was, now = ({composed(path): digest for path, digest in used.hashes.items()} for used in (self, later))
        files = [path for path in sorted(was | now) if was.get(path) != now.get(path)]
        return files or [f"the {part} images" for part in self.splits if self._names(part) != later._names(part)]

    def _names(self, part: str) -> list[str]:
        """Return names as version 0.1 made them of decomposed ones, with "_" for an accent: those of later runs too."""
        return [re.sub(r"([^\w.-]|_)+", "_", unicodedata.normalize("NFD", name)) for name in self.splits.get(part, [])]


class Score(_Part):
    """Mean and standard deviation over images; NaN, null in the file, where no clean image varies."""

    psnr: _Figure
    psnr_std: _Figure
    ssim: _Figure
    ssim_std: _Figure


class Scores(_Part):
    """Over the test images: the noisy ones, the calibrated model before training, and the best model."""

    convention: Literal["raw", "affine"]
    data_range: float
    images: int
    noisy: Score
    start: Score
    denoised: Score


class ValidationScores(_Part):
    """PSNR in dB over the validation patches, with the range of intensities as peak: the noisy ones, and denoised."""

    noisy: _Figure
    denoised: _Figure


class Believed(_Part):
    """What was found when results of test images were judged without clean ones: see ``training.evaluation.trust``."""

    verdict: Literal["green", "amber", "red"]
    """That of the worst image."""

    images: dict[str, Literal["green", "amber", "red"]]
    """By the name of the image."""

    sentence: str


class Risk(_Part):
    """Mean loss of the method over the validation patches, at the start and of the best epoch: the lower the better."""

    start: _Figure
    best: _Figure


class Provenance(_Part):
    """What came of a run; the same file travels inside the package.

    ``camera`` and ``trust`` are None in runs of version 0.1, and where the images are too small to measure.
    ``calibration`` holds all of ``Constants``, ``scores`` one entry a convention ("raw", "affine") once the
    test images were scored, ``validation`` what chose the best epoch (None in runs of version 0.1), or ``risk``, where
    no clean image did; ``clean`` says whether clean images taught the network, judged it, or were none; ``scored`` says
    that they, ``best_epoch`` and ``epochs``, all that were trained, are those of ``best.ckpt``: while training runs, or
    after it was cut off, they may be of an earlier one. ``expected_error`` is the square error of the calibrated start
    that noisy images alone let expect, as a part of the noise's variance, which is that of the noisy image; None where
    clean images taught, or the start has no weights. ``created`` is ISO 8601 in UTC.
    """

    network: NetworkUsed
    calibration: dict[str, Any]
    checkpoint: Origin | None
    trained_on: TrainedOn
    camera: CameraProfile | None = None
    intensity_fit: Intensity
    data: DataUsed
    method: str = "supervised"
    clean: Literal["taught", "judged", "none"] = "taught"
    recipe: Recipe
    scores: dict[str, Scores] = Field(default_factory=dict)
    validation: ValidationScores | None = None
    trust: Believed | None = None
    risk: Risk | None = None
    expected_error: float | None = None
    best_epoch: int = 0
    epochs: int = 0
    scored: bool = False
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int
    created: str

    def beats_noisy(self) -> bool | None:
        """Return whether the model gives more PSNR than its noisy input has; None where nothing was scored yet.

        Over the test images, in the affine convention, and where they are known over the validation patches too.
        """
        if "affine" not in self.scores or math.isnan(self.scores["affine"].denoised.psnr):
            return None
        test = self.scores["affine"]
        chosen = self.validation
        return test.denoised.psnr > test.noisy.psnr and (chosen is None or not chosen.denoised <= chosen.noisy)

    def judgement(self) -> str | None:
        """Return in one sentence, with the figures, whether the model beats its noisy input; None if not scored yet."""
        beats = self.beats_noisy()
        if beats is None:
            return None
        test = self.scores["affine"]
        figures = (
            f"PSNR {test.denoised.psnr:.2f} dB denoised, {test.noisy.psnr:.2f} dB noisy, over "
            f"{counted(test.images, 'test image')} after a fit of intensities"
        )
        if self.validation is not None:
            patches = f"{self.validation.denoised:.2f} and {self.validation.noisy:.2f} dB over validation patches"
            figures += f"; {patches}, in the image's own units"
        only_fitted = not beats and test.denoised.psnr > test.noisy.psnr
        why = (
            " in the image's own units: it seems to shift or scale intensities, and beats it only after a fit that "
            "undoes this"
        ) * only_fitted
        return f"The model {'beats' if beats else 'does NOT beat'} its noisy input{why} ({figures})."

    @field_validator("calibration")
    @classmethod
    def _complete(cls, calibration: dict[str, Any]) -> dict[str, Any]:
        from training.calibration.layer import Constants  # imports torch

        calibration = {"knots": (), "values": (), **calibration}  # runs of version 0.1 know no spline
        wanted = {field.name for field in fields(Constants)}
        if set(calibration) != wanted:
            raise ValueError(f"its keys are not {', '.join(sorted(wanted))}")
        return {key: list(value) if isinstance(value, tuple) else value for key, value in calibration.items()}


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
