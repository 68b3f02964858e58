"""Training: from a run folder that holds settings to one that holds a model, its scores and pictures."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.calibration.layer import Calibrated
from training.data import ImageDataset
from training.data.patches import Images, Patches, validation_patches
from training.errors import DiskFullError, RunError, UserError
from training.evaluation.metrics import psnr
from training.fitting.loop import COLUMNS, Data, Learner, Record, quiet, save_best
from training.fitting.report import finish
from training.fitting.state import Session, begin, take_up
from training.runs.provenance import ValidationScores
from training.runs.run import LOSSES, SETTINGS, Run, write_rows
from training.runs.settings import Recipe
from training.util.devices import choose_devices, quick_in_half
from training.util.lock import run_lock
from training.util.progress import Listener
from training.util.text import counted, duration

if TYPE_CHECKING:
    import lightning as L  # noqa: N812

# Parts of an epoch's pixels that take at most a tenth of its time: a pass without gradients is a third of a step; on a
# GPU the scores, which stay on the CPU, take longer than that.
_VALIDATION, _VALIDATION_GPU = 0.2, 0.05
_LONG = 24 * 3600.0  # seconds from which on a smaller network is proposed
_TIMED = 128  # pixels a side that a step is timed on, on a CPU


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
    place, count = choose_devices(device, devices)
    if not resume and run.checkpoint("last").exists():
        raise RunError(f"{run.folder}: was trained already; go on with `resume` `name` {run.name}")
    try:
        with run_lock(run.folder):
            _train(run, place, count, listener or Listener())
    except DiskFullError:
        kept = "the weights of the last whole epoch" if run.checkpoint("last").is_file() else "what was written before"
        raise DiskFullError(
            f"{run.folder}: the disk is full; kept: {kept}; make room, then go on with `resume` `name` {run.name}"
        ) from None
    except UserError:
        if not resume:
            _discard(run)
        raise
    return run


def _train(run: Run, place: str, count: int, told: Listener) -> None:
    """Begin or go on, and score what came of it, also where training was interrupted or broke off."""
    dataset = run.dataset()
    session = take_up(run, dataset) if run.checkpoint("last").is_file() else begin(run, dataset, place, told)
    recipe = run.settings.recipe
    if session.done and not run.checkpoint().is_file():
        told.warn(f"{run.checkpoint()} is missing: the weights of epoch {session.done} stand in for it")
        session.best = session.rows[-1]["psnr"] if session.rows else -math.inf
        save_best(run, session.model, session.done, session.best)
    stopped: BaseException | None = None
    if session.done < recipe.epochs:
        try:
            _fit(run, session, dataset, place, told, count=count)
        except KeyboardInterrupt as error:
            if not run.checkpoint().is_file():
                raise
            stopped = error
            told.warn("interrupted: scoring the best weights so far (Ctrl-C again to leave at once)")
        except DiskFullError:
            raise
        except UserError as error:
            if not run.checkpoint().is_file():
                raise
            stopped = error
    else:
        told.note(f"{run.name}: all {recipe.epochs} epochs are trained; `epochs`=N trains on")
    finish(run, dataset, place, told)
    if stopped is not None:
        raise stopped


def _discard(run: Run) -> None:
    """Remove a folder that holds nothing but settings, so that the same command works once its data are put right."""
    if [path.name for path in run.folder.iterdir()] == [SETTINGS]:
        (run.folder / SETTINGS).unlink()
        run.folder.rmdir()


def _fit(run: Run, session: Session, dataset: ImageDataset, place: str, told: Listener, *, count: int) -> None:
    """Train what epochs are left; margins are for the shipped model, so training does without their cost."""
    import lightning as L  # noqa: N812
    from lightning.fabric.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

    recipe = run.settings.recipe
    model = Calibrated(session.model.denoiser, replace(session.model.constants, margin=0))
    side, batch = _crop(recipe, session, told)
    count = min(count, batch)  # the batch is over all GPUs
    share = _VALIDATION if place == "cpu" else _VALIDATION_GPU
    size = None if side is None else (side, side)
    scaling = session.intensity.scaling
    crops = Patches(Images(dataset.train, scaling), size, recipe.augment, recipe.seed)
    area = side**2 if side is not None else session.shape[0] * session.shape[1]
    judges = validation_patches(Images(dataset.validation, scaling), size, int(share * len(crops) * area), recipe.seed)
    learner = Learner(model, recipe, session.intensities, session.done).to(place).to(memory_format=torch.channels_last)
    if session.done == 0:
        _epoch_zero(run, session, learner, judges, place)
    steps = math.ceil(len(crops) / batch)
    left = recipe.epochs - session.done
    seconds = _seconds_per_pixel(learner, judges, batch, place) * len(crops) * area * left * (1 + share / 3) / count
    scoring = f" and {duration(session.scoring)} for the test images" if session.scoring else ""
    told.note(
        f"{run.name}: {counted(left, 'epoch')} of {counted(len(crops), 'crop')}, {counted(steps, 'step')} each, "
        f"about {duration(seconds)} on {place}{scoring}"
    )
    if seconds > _LONG and run.settings.network != "dncnn":
        told.warn(
            f"{run.settings.network} would train for {duration(seconds)} here; `network` dncnn is far quicker, "
            "or train on a machine with a GPU"
        )
    data = Data(
        run,
        session.intensity,
        size=size,
        batch=math.ceil(batch / count),
        judges=judges,
        done=session.done,
    )
    data.crops = crops
    with told.progress("training", steps * left) as advance, quiet():
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
            plugins=[LightningEnvironment()],  # not that of a job scheduler: this process alone starts the others
        )
        # from here on best.ckpt may be another than the scores are of
        run.write_provenance(run.provenance.model_copy(update={"scored": False}))
        _interruptible(trainer, learner, data)


def _crop(recipe: Recipe, session: Session, told: Listener) -> tuple[int | None, int]:
    """Return the side of the crops (None: whole images) and the batch that the images allow."""
    height, width = session.shape
    if recipe.crop is not None:
        side = min(recipe.crop, height, width)
        if side < recipe.crop:
            told.note(f"crops are {side} pixels wide, as the smallest image")
        return side, recipe.batch
    turned = "rotate" in recipe.augment and height != width
    if recipe.batch > 1 and (turned or not session.uniform):
        told.note("whole images of different shapes make no batch: one image a step")
        return None, 1
    return None, recipe.batch


def _epoch_zero(run: Run, session: Session, learner: Learner, judges: Sequence[Any], place: str) -> None:
    """Score the calibrated start on the validation crops and write it as the best so far."""
    learner.eval()
    with torch.inference_mode(), torch.autocast(learner.device.type, torch.bfloat16, enabled=quick_in_half(place)):
        found = [learner.scores(*(image.to(learner.device) for image in judge)) for judge in judges]
    means = {key: float(np.mean([scores[key] for scores in found])) for key in found[0]}
    extent = session.intensities.extent
    noisy = [psnr(clean[0, 0].numpy(), image[0, 0].numpy(), data_range=extent) for image, clean in judges]
    validation = ValidationScores(noisy=float(np.mean(noisy)), denoised=means["psnr"])
    run.write_provenance(run.provenance.model_copy(update={"validation": validation}))
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
    """Run the trainer; it answers Ctrl-C by leaving Python, which is turned into a ``KeyboardInterrupt`` here.

    A process of its own, one a GPU, hands an error over as the text of its traceback.
    """
    from torch.multiprocessing.spawn import ProcessRaisedException

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        trainer.fit(learner, datamodule=data)
    except SystemExit:
        raise KeyboardInterrupt from None
    except ProcessRaisedException as error:
        said = re.search(rf"^{UserError.__module__}\.\w+Error: (.+)$", str(error), re.MULTILINE)
        if said is None:
            raise
        raise RunError(said[1]) from None
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    if trainer.interrupted:
        raise KeyboardInterrupt
