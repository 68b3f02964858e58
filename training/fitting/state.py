"""Where training stands: begun with measured data and a calibrated start, or taken up after the last whole epoch."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from training.calibration.intensity import Intensity, Range
from training.calibration.layer import Calibrated
from training.calibration.search import estimate
from training.calibration.statistics import Survey, survey
from training.checkpoints import load_weights
from training.data import ImageDataset
from training.errors import DataError
from training.fitting.report import score
from training.networks import NETWORKS, create
from training.runs.model import build
from training.runs.provenance import (
    CheckpointUsed,
    DataUsed,
    IntensityFitUsed,
    NetworkUsed,
    Provenance,
    TrainedOnData,
    now,
    versions,
)
from training.runs.run import Run, load_checkpoint
from training.runs.settings import Settings
from training.util.devices import quick_in_half
from training.util.progress import Listener

_LEAST = 8  # pixels a side: the window of SSIM is 7


@dataclass
class Session:
    """Where training stands: the model, the epochs behind it, and what the loop needs to go on."""

    model: Calibrated
    intensity: Intensity
    intensities: Range
    shape: tuple[int, int]
    uniform: bool
    done: int
    best: float
    optimizer: dict[str, Any] | None
    rows: list[dict[str, float]]
    scoring: float = 0.0  # seconds that the test images took


def begin(run: Run, dataset: ImageDataset, place: str, told: Listener) -> Session:
    """Measure the data, calibrate the start, and write it down as epoch 0."""
    settings, recipe = run.settings, run.settings.recipe
    for warning in dataset.warnings():
        told.warn(warning)
    with told.progress("looking at the images", len(dataset.train)) as advance:
        seen = survey(dataset.train, recipe.intensity_fit, recipe.seed, lambda: advance(1, ""))
    _trainable(seen, dataset)
    network = NETWORKS[settings.network]
    used = NetworkUsed(name=network.name, settings={**network.settings, **settings.network_settings})
    denoiser, origin = _start(settings, told)
    radius = network.radius(used.settings)
    if settings.checkpoint is not None:
        with told.progress("calibrating", None) as advance:
            constants = estimate(
                seen,
                dataset.train,
                denoiser.to(place).to(memory_format=torch.channels_last),
                network,
                recipe,
                pretrained=True,
                radius=radius,
                quick=quick_in_half(place),
                progress=lambda what: advance(1, what),
            )
    else:
        constants = estimate(seen, dataset.train, denoiser, network, recipe, pretrained=False, radius=radius)
    model = Calibrated(denoiser, **constants.arguments()).to("cpu")
    provenance = Provenance(
        network=used,
        calibration=constants.arguments(),
        checkpoint=origin,
        trained_on=TrainedOnData(dtype=dataset.source.dtype, low=seen.low, high=seen.high, noise=seen.noise),
        intensity_fit=IntensityFitUsed(**asdict(seen.intensity)),
        data=DataUsed.of(dataset),
        recipe=recipe,
        versions=versions(),
        seed=recipe.seed,
        created=now(),
    )
    peak = 255.0 if dataset.train[0].truth.dtype == "uint8" else seen.clean_extent
    began = time.monotonic()
    scores = score(dataset.test, model, provenance, place, told, data_range=peak)
    scoring = time.monotonic() - began
    run.write_provenance(provenance.model_copy(update={"scores": scores}))
    return Session(
        model,
        seen.intensity,
        _range(provenance),
        seen.shape,
        seen.uniform,
        done=0,
        best=-math.inf,
        optimizer=None,
        rows=[],
        scoring=scoring,
    )


def _trainable(seen: Survey, dataset: ImageDataset) -> None:
    """Refuse images that nothing can be learned from, or that cannot judge what was."""
    judges = [sample.shape for sample in (*dataset.validation, *dataset.test)]
    height, width = min(seen.shape, *judges, key=min)
    if min(height, width) < _LEAST:
        raise DataError(
            f"{dataset.name}: the smallest image has {height} x {width} pixels; "
            f"train on images of {_LEAST} x {_LEAST} or more"
        )
    if seen.low == seen.high:
        raise DataError(
            f"{dataset.name}: the noisy images are {seen.low:g} nearly everywhere: nothing to learn from; "
            "look at the files"
        )
    if seen.clean_extent == 0:
        raise DataError(
            f"{dataset.name}: the clean images are the same value nearly everywhere: nothing to learn from; "
            "look at the files"
        )


def _start(settings: Settings, told: Listener) -> tuple[torch.nn.Module, CheckpointUsed | None]:
    """Return the bare network that training starts from, and where its weights come from."""
    torch.manual_seed(settings.recipe.seed)
    try:
        denoiser = create(settings.network, **settings.network_settings)
    except ValueError as error:
        raise DataError(f"`network` {settings.network}: {error}") from None
    if settings.checkpoint is None:
        return denoiser, None
    origin = load_weights(settings.checkpoint, denoiser, progress=True)
    return denoiser, None if origin is None else CheckpointUsed(**asdict(origin))


def take_up(run: Run, dataset: ImageDataset) -> Session:
    """Return to the end of the last whole epoch."""
    provenance, content = run.provenance, load_checkpoint(run.checkpoint("last"))
    model = build(provenance.network, provenance.calibration)
    try:
        model.load_state_dict(content["state_dict"])
        done, best, optimizer = int(content["epoch"]), float(content["best"]), dict(content["optimizer"])
    except (RuntimeError, KeyError, TypeError, ValueError):
        raise DataError(f"{run.checkpoint('last')}: not of this run; train under another `name`") from None
    shapes = {sample.shape for sample in dataset.train}
    return Session(
        model,
        Intensity(**provenance.intensity_fit.model_dump()),
        _range(provenance),
        (min(shape[0] for shape in shapes), min(shape[1] for shape in shapes)),
        len(shapes) == 1,
        done=done,
        best=best,
        optimizer=optimizer,
        rows=[row for row in run.history() if row["epoch"] <= done],
    )


def _range(provenance: Provenance) -> Range:
    low, high = provenance.trained_on.low, provenance.trained_on.high
    return Range(low, high - low if high > low else 1.0)
