"""Training: from a run folder that holds settings to one that holds a model, its scores and pictures."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from training import figures
from training.calibration import Calibrated
from training.checkpoints import load_checkpoint as load_weights
from training.crops import Crops, Planes, validation_crops
from training.datasets import Pair, PairedDataset
from training.errors import UserError
from training.estimation import Intensity, Survey, estimate, survey
from training.loop import COLUMNS, Data, Learner, Listener, Range, Record, save_best
from training.metrics import Convention, psnr, ssim
from training.networks import NETWORKS, create
from training.run import (
    CURVES,
    LOSSES,
    PANEL,
    SETTINGS,
    CheckpointUsed,
    DataUsed,
    IntensityFitUsed,
    NetworkUsed,
    Provenance,
    Run,
    Score,
    Scores,
    TrainedOnData,
    as_denoiser,
    build,
    choose_device,
    load_checkpoint,
    now,
    quick_in_half,
    versions,
    write_rows,
)
from training.settings import Recipe, Settings

if TYPE_CHECKING:
    import lightning as L  # noqa: N812

__all__ = ["Listener", "train"]

# Parts of an epoch's pixels that take at most a tenth of its time: a pass without gradients is a third of a step; on a
# GPU the scores, which stay on the CPU, take longer than that.
_VALIDATION, _VALIDATION_GPU = 0.2, 0.05
_LONG = 24 * 3600.0  # seconds from which on a smaller network is proposed
_LEAST = 8  # pixels a side: the window of SSIM is 7
_SHOWN = 3  # test images in the panel
_TIMED = 128  # pixels a side that a step is timed on, on a CPU

Plane = NDArray[np.float32]


def train(
    run: Run,
    *,
    resume: bool = False,
    device: str = "auto",
    devices: int | None = None,
    listener: Listener | None = None,
) -> Run:
    """Train the network of a run, or go on where it stopped.

    Parameters
    ----------
    run : Run
        As ``create_run`` or ``open_run`` returns it.
    resume : bool
        Go on from ``last.ckpt``; begin where there is none yet. Without it, a run that has one is an error.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    devices : int, optional
        How many; default: all GPUs with "auto" or "cuda", else one.
    listener : Listener, optional
        Who is told of progress and warnings.

    Returns
    -------
    Run
        The same, with ``best.ckpt``, ``last.ckpt``, ``losses.csv``, ``provenance.json`` and the pictures.

    Raises
    ------
    UserError
        For data, weights or settings that will not do.
    KeyboardInterrupt
        After Ctrl-C; the best weights so far, with their scores, are in the folder then.

    Notes
    -----
    On one machine's CPU a run is repeatable from its seed, also when it was killed in between. The untrained calibrated
    model counts as epoch 0: what training hands over is never worse than that on the validation crops.
    """
    listener = listener or Listener()
    told = listener
    place = choose_device(device)
    count = devices or (torch.cuda.device_count() if place == "cuda" else 1)
    if not resume and run.checkpoint("last").exists():
        raise UserError(f"{run.folder}: was trained already; go on with --resume --name {run.name}")
    try:
        dataset = run.dataset()
        for half in run.folder.glob(".*.[0-9]*"):  # of a session that was killed while it wrote
            half.unlink(missing_ok=True)
        session = _resumed(run, dataset) if run.checkpoint("last").is_file() else _begun(run, dataset, place, told)
    except UserError:
        if not resume:
            _discard(run)
        raise
    recipe = run.settings.recipe
    interrupted = False
    if session.done < recipe.epochs:
        try:
            _fit(run, session, dataset, place, told, count=count)
        except KeyboardInterrupt:
            interrupted = True
            told.warn("interrupted: scoring the best weights so far (Ctrl-C again to leave at once)")
    else:
        told.note(f"{run.name}: all {recipe.epochs} epochs are trained; --set epochs=N trains on")
    _finish(run, dataset, place, told)
    if interrupted:
        raise KeyboardInterrupt
    return run


def _discard(run: Run) -> None:
    """Remove a folder that holds nothing but settings, so that the same command works once its data are put right."""
    if [path.name for path in run.folder.iterdir()] == [SETTINGS]:
        (run.folder / SETTINGS).unlink()
        run.folder.rmdir()


@dataclass
class _Session:
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


def _begun(run: Run, dataset: PairedDataset, place: str, told: Listener) -> _Session:
    """Measure the data, calibrate the start, and write it down as epoch 0."""
    settings, recipe = run.settings, run.settings.recipe
    for warning in dataset.warnings():
        told.warn(warning)
    with told.progress("looking at the images", len(dataset.train)) as advance:
        seen = survey(dataset.train, recipe.intensity_fit, recipe.seed, lambda: advance(1, ""))
    _trainable(seen)
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
        data=DataUsed(
            name=dataset.name,
            hashes=dataset.hashes(),
            splits={part: [pair.name for pair in getattr(dataset, part)] for part in ("train", "validation", "test")},
            source=asdict(dataset.source),
        ),
        recipe=recipe,
        versions=versions(),
        seed=recipe.seed,
        created=now(),
    )
    peak = 255.0 if dataset.source.dtype == "uint8" and seen.clean_extent <= 255 else seen.clean_extent
    scores = _scores(dataset.test, model, provenance, place, told, data_range=peak)
    run.write_provenance(provenance.model_copy(update={"scores": scores}))
    return _Session(
        model,
        seen.intensity,
        _range(provenance),
        seen.shape,
        seen.uniform,
        done=0,
        best=-math.inf,
        optimizer=None,
        rows=[],
    )


def _trainable(seen: Survey) -> None:
    """Refuse images that nothing can be learned from."""
    height, width = seen.shape
    if min(seen.shape) < _LEAST:
        raise UserError(
            f"the smallest training image has {height} x {width} pixels; train on images of {_LEAST} x {_LEAST} or more"
        )
    if seen.low == seen.high:
        raise UserError(
            f"the noisy images are {seen.low:g} nearly everywhere: there is nothing to learn from; look at the files"
        )


def _start(settings: Settings, told: Listener) -> tuple[torch.nn.Module, CheckpointUsed | None]:
    """Return the bare network that training starts from, and where its weights come from."""
    torch.manual_seed(settings.recipe.seed)
    try:
        denoiser = create(settings.network, **settings.network_settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"--network {settings.network}: {error}") from None
    if settings.checkpoint is None:
        return denoiser, None
    origin = load_weights(settings.checkpoint, denoiser, progress=True)
    return denoiser, None if origin is None else CheckpointUsed(**asdict(origin))


def _resumed(run: Run, dataset: PairedDataset) -> _Session:
    """Return to the end of the last whole epoch."""
    provenance, content = run.provenance, load_checkpoint(run.checkpoint("last"))
    hashes = dataset.hashes()
    if hashes != provenance.data.hashes:
        changed = sorted(
            path
            for path in {**hashes, **provenance.data.hashes}
            if hashes.get(path) != provenance.data.hashes.get(path)
        )
        raise UserError(
            f"{run.folder}: the images changed since the run began ({changed[0]} and {len(changed) - 1} more); "
            "train under another --name"
        )
    model = build(provenance.network, provenance.calibration)
    try:
        model.load_state_dict(content["state_dict"])
        done, best, optimizer = int(content["epoch"]), float(content["best"]), dict(content["optimizer"])
    except (RuntimeError, KeyError, TypeError, ValueError):
        raise UserError(f"{run.checkpoint('last')}: not of this run; train under another --name") from None
    shapes = {pair.read()[0].shape for pair in dataset.train}
    return _Session(
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


def _fit(run: Run, session: _Session, dataset: PairedDataset, place: str, told: Listener, *, count: int) -> None:
    """Train what epochs are left; margins are for the shipped model, so training does without their cost."""
    import lightning as L  # noqa: N812

    recipe = run.settings.recipe
    model = session.model
    model.margin = 0
    side, batch = _crop(recipe, session, told)
    count = min(count, batch)  # the batch is over all GPUs
    share = _VALIDATION if place == "cpu" else _VALIDATION_GPU
    crops = Crops(Planes(dataset.train, session.intensity), side, recipe.augment, recipe.seed)
    area = side**2 if side is not None else session.shape[0] * session.shape[1]
    judges = validation_crops(
        Planes(dataset.validation, session.intensity), side, int(share * len(crops) * area), recipe.seed
    )
    learner = Learner(model, recipe, session.intensities, session.done).to(place).to(memory_format=torch.channels_last)
    if session.done == 0:
        _epoch_zero(run, session, learner, judges, place)
    steps = math.ceil(len(crops) / batch)
    left = recipe.epochs - session.done
    seconds = _seconds_per_pixel(learner, judges, batch, place) * len(crops) * area * left * (1 + share / 3) / count
    told.note(
        f"{run.name}: {left} epochs of {len(crops)} crops, {steps} steps each, about {_duration(seconds)} on {place}"
    )
    if seconds > _LONG and run.settings.network != "dncnn":
        told.warn(
            f"{run.settings.network} would train for {_duration(seconds)} here; --network dncnn is far quicker, "
            "or train on a machine with a GPU"
        )
    data = Data(
        run,
        session.intensity,
        side=side,
        batch=math.ceil(batch / count),
        judges=judges,
        done=session.done,
    )
    data.crops = crops
    with told.progress("training", steps * left) as advance, _quiet():
        record = Record(run, session.rows, session.best, session.optimizer, advance)
        trainer = L.Trainer(
            accelerator="gpu" if place.startswith("cuda") else place,
            devices=[int(place.partition(":")[2])] if ":" in place else count,
            strategy="ddp_spawn" if count > 1 else "auto",
            precision="bf16-mixed" if quick_in_half(place) else "32-true",
            max_epochs=left,
            callbacks=[record],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=run.folder,
        )
        _interruptible(trainer, learner, data)


def _crop(recipe: Recipe, session: _Session, told: Listener) -> tuple[int | None, int]:
    """Return the side of the crops (None: whole images) and the batch that the images allow."""
    height, width = session.shape
    if recipe.crop is not None:
        side = min(recipe.crop, height, width)
        if side < recipe.crop:
            told.note(f"crops are {side} pixels wide, as the smallest image")
        if recipe.loss == "l1ssim" and side < 7:
            raise UserError(
                f"loss=l1ssim looks at 7 x 7 pixels, and an image is {height} x {width}; use --set loss=mae"
            )
        return side, recipe.batch
    turned = "rotate" in recipe.augment and height != width
    if recipe.batch > 1 and (turned or not session.uniform):
        told.note("whole images of different shapes make no batch: one image a step")
        return None, 1
    return None, recipe.batch


def _epoch_zero(run: Run, session: _Session, learner: Learner, judges: Sequence[Any], place: str) -> None:
    """Score the calibrated start on the validation crops and write it as the best so far."""
    learner.eval()
    with torch.inference_mode(), torch.autocast(learner.device.type, torch.bfloat16, enabled=quick_in_half(place)):
        found = [learner.scores(*(image.to(learner.device) for image in judge)) for judge in judges]
    means = {key: float(np.mean([scores[key] for scores in found])) for key in found[0]}
    session.best = means["psnr"] if math.isfinite(means["psnr"]) else -math.inf
    session.rows = [{"epoch": 0, "lr": 0.0, "train_loss": math.nan, **means, "seconds": math.nan}]
    write_rows(run.folder / LOSSES, session.rows, COLUMNS)
    save_best(run, learner.model, 0, session.best)
    learner.train()


def _seconds_per_pixel(learner: Learner, judges: Sequence[Any], batch: int, place: str) -> float:
    """Return what a step costs a pixel, measured on one after a first to warm up; no weight is changed."""
    noisy, clean = (image.to(place) for image in judges[0])
    if place == "cpu":
        noisy, clean = noisy[..., :_TIMED, :_TIMED], clean[..., :_TIMED, :_TIMED]
    else:
        noisy, clean = noisy.repeat(batch, 1, 1, 1), clean.repeat(batch, 1, 1, 1)
    began = 0.0
    for _ in range(2):
        began = time.perf_counter()
        with torch.autocast(learner.device.type, torch.bfloat16, enabled=quick_in_half(place)):
            loss = learner.loss(noisy, clean)
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())  # waits for the device
        learner.zero_grad(set_to_none=True)
    return (time.perf_counter() - began) / float(noisy.numel())


def _interruptible(trainer: L.Trainer, learner: Learner, data: Data) -> None:
    """Run the trainer; it answers Ctrl-C by leaving Python, which is turned into a ``KeyboardInterrupt`` here."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        trainer.fit(learner, datamodule=data)
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    if trainer.interrupted:
        raise KeyboardInterrupt


def _finish(run: Run, dataset: PairedDataset, place: str, told: Listener) -> None:
    """Score the best weights on the test images, and draw what a person looks at first."""
    provenance = run.provenance
    model = run.model("best")
    epoch = int(load_checkpoint(run.checkpoint("best"))["epoch"])
    before = provenance.scores
    peak = before["raw"].data_range
    scores = _scores(dataset.test, model, provenance, place, told, data_range=peak, before=before)
    run.write_provenance(
        provenance.model_copy(update={"scores": scores, "best_epoch": epoch, "recipe": run.settings.recipe})
    )
    figures.curves(run.history(), run.folder / CURVES, best_epoch=epoch)
    figures.panel(list(_rows(dataset.test, model, provenance, place)), run.folder / PANEL)


def _scores(
    pairs: Sequence[Pair],
    model: Calibrated,
    provenance: Provenance,
    place: str,
    told: Listener,
    *,
    data_range: float,
    before: dict[str, Scores] | None = None,
) -> dict[str, Scores]:
    """Return raw and affine scores over the test images; without ``before``, the model is the start."""
    denoise = as_denoiser(model, provenance, place).planes()
    conventions: tuple[Convention, ...] = ("raw", "affine")
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with told.progress("scoring the test images", len(pairs)) as advance:
        for pair in pairs:
            noisy, clean = pair.read()
            images = {"denoised": denoise(noisy)} | ({"noisy": noisy} if before is None else {})
            for convention in conventions:
                for which, image in images.items():
                    figures_ = (
                        min(psnr(clean, image, data_range=data_range, convention=convention), 100.0),
                        ssim(clean, image, data_range=data_range, convention=convention),
                    )
                    found.setdefault((convention, which), []).append(figures_)
            advance(1, "")
    result: dict[str, Scores] = {}
    for convention in conventions:
        denoised = _score(found[convention, "denoised"])
        result[convention] = Scores(
            convention=convention,
            data_range=data_range,
            images=len(pairs),
            noisy=_score(found[convention, "noisy"]) if before is None else before[convention].noisy,
            start=denoised if before is None else before[convention].start,
            denoised=denoised,
        )
    return result


def _score(values: Sequence[tuple[float, float]]) -> Score:
    (ratio, similarity), (ratio_std, similarity_std) = np.mean(values, axis=0), np.std(values, axis=0)
    return Score(psnr=ratio, psnr_std=ratio_std, ssim=similarity, ssim_std=similarity_std)


def _rows(
    pairs: Sequence[Pair], model: Calibrated, provenance: Provenance, place: str
) -> Iterator[tuple[str, Plane, Plane, Plane]]:
    """Yield name, noisy, denoised and clean (on the noisy scale) of a few test images, spread over all."""
    denoise = as_denoiser(model, provenance, place).planes()
    intensity = Intensity(**provenance.intensity_fit.model_dump())
    for index in np.unique(np.linspace(0, len(pairs) - 1, _SHOWN).round().astype(int)):
        noisy, clean = pairs[int(index)].read()
        yield pairs[int(index)].name, noisy, denoise(noisy), intensity.apply(noisy, clean)


def _range(provenance: Provenance) -> Range:
    low, high = provenance.trained_on.low, provenance.trained_on.high
    return Range(low, high - low if high > low else 1.0)


def _duration(seconds: float) -> str:
    """Return a time in words, two figures at most."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{0 if seconds >= 10 * length else 1}f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advertisements to itself: on hardware, loggers and numbers of workers."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)
