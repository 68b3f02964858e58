"""Where training stands: at a calibrated start from measured data, or after the last whole epoch of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from training.calibration.camera import CameraProfile, camera_of
from training.calibration.intensity import Intensity, Range
from training.calibration.layer import Calibrated
from training.calibration.search import risk
from training.calibration.statistics import Statistics, measure
from training.checkpoints import Origin, load_weights
from training.data import ImageDataset, Sample
from training.errors import DataError
from training.evaluation.metrics import is_constant
from training.fitting.report import score
from training.inference.backends import convolve_channels_last
from training.inference.statistics import TrainedOn
from training.methods import METHODS, Method
from training.networks import NETWORKS, create
from training.runs.model import build
from training.runs.provenance import DataUsed, NetworkUsed, Provenance, now, versions
from training.runs.run import Run, load_checkpoint
from training.runs.settings import Settings
from training.util.devices import quick_in_half
from training.util.progress import Listener

_LEAST = 8  # pixels a side: the window of SSIM is 7


@dataclass
class State:
    """Where training stands: the model, the epochs behind it, and what the loop needs to go on."""

    model: Calibrated
    intensity: Intensity
    intensities: Range
    shape: tuple[int, ...]
    uniform: bool
    done: int
    best: float
    optimizer: dict[str, Any] | None
    rows: list[dict[str, float]]
    scoring: float = 0.0  # seconds that the test images took


def new_state(run: Run, dataset: ImageDataset, device: str, listener: Listener) -> State:
    """Measure the data, calibrate the start, and write it down as epoch 0."""
    model, provenance, measured = calibrated_start(run.settings, dataset, device, listener)
    clean = [sample.clean.dtype for sample in (*dataset.train, *dataset.test) if sample.clean is not None]
    peak = 255.0 if clean[:1] == ["uint8"] else measured.clean_extent
    began = time.monotonic()
    scores = score(dataset.test, model, provenance, device, listener, data_range=peak)
    scoring = time.monotonic() - began
    run.write_provenance(provenance.model_copy(update={"scores": scores}))
    return State(
        model,
        measured.intensity,
        _range(provenance.trained_on),
        measured.shape,
        measured.uniform,
        done=0,
        best=-math.inf,
        optimizer=None,
        rows=[],
        scoring=scoring,
    )


def calibrated_start(
    settings: Settings, dataset: ImageDataset, device: str, listener: Listener
) -> tuple[Calibrated, Provenance, Statistics]:
    """Measure the data and calibrate the start; return the model on the CPU, how it was made, and what was measured."""
    recipe, chosen = settings.recipe, METHODS[settings.method]
    for warning in dataset.warnings():
        listener.warn(warning)
    learnt = learnt_from(dataset.train, chosen)
    judges = [sample for sample in (*dataset.validation, *dataset.test) if sample.clean is not None]
    with listener.progress("measuring the images", len(learnt)) as advance:
        measured = measure(learnt, recipe.intensity_fit, recipe.seed, lambda: advance(1, ""), camera=settings.camera)
    if judges and not chosen.needs.clean:
        fitted = measure(judges, recipe.intensity_fit, recipe.seed, camera=measured.camera)
        measured = replace(measured, intensity=fitted.intensity, clean_extent=fitted.clean_extent)
    if measured.camera is not None and (apart := measured.camera.disagreement()):
        listener.warn(apart)
    if settings.camera is not None:
        first = dataset.train[0]
        for difference in settings.camera.differences(first.frame()):
            listener.warn(f"{first.name} is not of the camera that was given: {difference}")
    if measured.camera is not None and not chosen.needs.training:
        for axis in measured.camera.correlated():
            listener.warn(
                f"noise of neighbours along {axis} is correlated by {measured.camera.correlation[axis]:.2f}: a "
                "denoiser that knows independent noise alone may leave streaks; to learn from the images, "
                "bmz-fmd train `method` noise2void masks along that axis"
            )
    _trainable(measured, dataset)
    network = NETWORKS[settings.network]
    used = NetworkUsed(name=network.name, settings={**network.settings, **settings.network_settings})
    denoiser, origin = _start(settings, listener)
    method = chosen(recipe.loss, recipe.alpha, _range(measured), measured.camera)
    search = partial(
        method.constants,
        measured,
        learnt,
        network=network,
        radius=network.radius(used.settings),
        transform=recipe.transform,
        statistics=recipe.statistics,
        sigma=recipe.sigma,
        seed=recipe.seed,
    )
    expected = None
    if settings.checkpoint is not None:
        with listener.progress("calibrating", None) as advance:
            denoiser = denoiser.to(device)
            convolve_channels_last(denoiser)
            quick = quick_in_half(device)
            constants = search(denoiser, pretrained=True, quick=quick, progress=lambda what: advance(1, what))
            if not chosen.needs.clean:
                expected = risk(constants, measured, learnt, denoiser, seed=recipe.seed, quick=quick)
    else:
        constants = search(denoiser, pretrained=False)
    model = Calibrated(denoiser, constants).to("cpu")
    with listener.progress("reading every file once, for its hash", None):
        data = DataUsed.of(dataset)
    provenance = Provenance(
        network=used,
        calibration=asdict(constants),
        checkpoint=origin,
        trained_on=TrainedOn(
            dtype=dataset.source.dtype,
            low=measured.low,
            high=measured.high,
            noise=measured.noise,
            noise_range=measured.noise_range,
        ),
        camera=measured.camera,
        intensity_fit=measured.intensity,
        data=data,
        method=settings.method,
        clean="taught" if chosen.needs.clean else "judged" if judges else "none",
        expected_error=expected,
        recipe=recipe,
        versions=versions(),
        seed=recipe.seed,
        created=now(),
    )
    return model, provenance, measured


def learnt_from(samples: Sequence[Sample], method: Method | type[Method]) -> Sequence[Sample]:
    """Return what a method may look at of the training samples: no clean image where it needs none."""
    return samples if method.needs.clean else [replace(sample, clean=None) for sample in samples]


def judging(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the validation samples that choose the best epoch: those with a clean image, or without any, all."""
    return [sample for sample in samples if sample.clean is not None] or samples


def line_of_noise(camera: CameraProfile | None, sample: Sample) -> tuple[float, float]:
    """Return slope and intercept of a sample's noise variance by intensity, by ``camera_of`` of its first frame."""
    model = camera_of(sample.frame(), camera).model
    return model.gain, model.read_noise**2 - model.gain * model.pedestal


def _trainable(measured: Statistics, dataset: ImageDataset) -> None:
    """Refuse images that nothing can be learned from, or that cannot score what was."""
    scored = [sample.shape for sample in (*dataset.validation, *dataset.test)]
    smallest = min(measured.shape, *scored, key=min)
    if min(smallest) < _LEAST:
        raise DataError(
            f"{dataset.name}: the smallest image has {' x '.join(map(str, smallest))} pixels; "
            f"train on images of {_LEAST} x {_LEAST} or more"
        )
    if measured.low == measured.high:
        raise DataError(
            f"{dataset.name}: the noisy images are {measured.low:g} nearly everywhere: nothing to learn from; "
            "look at the files"
        )
    if measured.clean_extent == 0:
        raise DataError(
            f"{dataset.name}: the clean images are the same value nearly everywhere: nothing to learn from; "
            "look at the files"
        )
    for part, samples in (("validation", dataset.validation), ("test", dataset.test)):
        clean = [sample.clean for sample in samples if sample.clean is not None]
        if clean and all(is_constant(image.read()) for image in clean):
            raise DataError(
                f"{dataset.name}: each clean {part} image has one value everywhere ({samples[0].name}): nothing can be "
                "scored by it; take it away, or add images"
            )


def _start(settings: Settings, listener: Listener) -> tuple[torch.nn.Module, Origin | None]:
    """Return the bare network that training starts from, and where its weights come from."""
    torch.manual_seed(settings.recipe.seed)
    try:
        denoiser = create(settings.network, **settings.network_settings)
    except ValueError as error:
        raise DataError(f"`network` {settings.network}: {error}") from None
    if settings.checkpoint is None:
        return denoiser, None
    return denoiser, load_weights(settings.checkpoint, denoiser, progress=True)


def resumed_state(run: Run, dataset: ImageDataset) -> State:
    """Return to the end of the last whole epoch."""
    provenance, content = run.provenance, load_checkpoint(run.checkpoint("last"))
    model = build(provenance.network, provenance.calibration)
    try:
        model.load_state_dict(content["state_dict"])
        done, best, optimizer = int(content["epoch"]), float(content["best"]), dict(content["optimizer"])
    except (RuntimeError, KeyError, TypeError, ValueError):
        raise DataError(f"{run.checkpoint('last')}: not of this run; train under another `name`") from None
    shapes = {sample.shape for sample in dataset.train}
    return State(
        model,
        provenance.intensity_fit,
        _range(provenance.trained_on),
        tuple(min(lengths) for lengths in zip(*shapes, strict=True)),
        len(shapes) == 1,
        done=done,
        best=best,
        optimizer=optimizer,
        rows=[row for row in run.history() if row["epoch"] <= done],
    )


def _range(images: Statistics | TrainedOn) -> Range:
    return Range(images.low, images.high - images.low if images.high > images.low else 1.0)
