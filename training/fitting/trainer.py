"""Training: from a run folder that holds settings to one that holds a model, its scores and pictures."""

from __future__ import annotations

import math
import re
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.calibration.layer import Calibrated
from training.data import ImageDataset, Sample
from training.data.patches import Batch, Images, Patches, patch_size, validation_patches
from training.errors import DiskFullError, RunError, UserError
from training.fitting import timing
from training.fitting.loop import COLUMNS, Learner, Recorder, figure, quiet, save_best
from training.fitting.report import finish
from training.fitting.state import State, judging, learnt_from, line_of_noise, new_state, resumed_state
from training.inference.backends import convolve_channels_last
from training.methods import METHODS, Method
from training.runs.provenance import ValidationScores
from training.runs.run import LOSSES, SETTINGS, Run, write_rows
from training.runs.settings import Recipe
from training.util.allocator import keep_freed_memory
from training.util.devices import choose_devices, quick_in_half
from training.util.lock import run_lock
from training.util.progress import Listener
from training.util.text import counted, duration

if TYPE_CHECKING:
    import lightning as L  # noqa: N812

    from training.calibration.camera import CameraProfile

_JUDGED_BY = 40  # patches in an epoch, at least, that the share for validation counts: few pairs are judged by more
_LONG = 24 * 3600.0  # seconds from which on a smaller network is proposed


def train(
    run: Run,
    *,
    dataset: ImageDataset | None = None,
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
    dataset : ImageDataset, optional
        That of the run, where it is open already.
    resume : bool
        Go on from ``last.ckpt``; begin where there is none yet. Without it, a run that has one is an error.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    devices : int, optional
        How many; default: all GPUs with "auto" or "cuda", else one.
    listener : Listener, optional
        Gets notes, warnings and progress; by default nothing is shown.

    Returns
    -------
    Run
        The same, with ``best.ckpt``, ``last.ckpt``, ``losses.csv``, ``provenance.json`` and the pictures.

    Raises
    ------
    UserError
        For data, weights or settings that cannot be trained with.
    KeyboardInterrupt
        After Ctrl-C; the best weights so far, with their scores, are in the folder then.

    Notes
    -----
    On one machine's CPU a run is repeatable from its seed, also when it was killed in between. The untrained calibrated
    model counts as epoch 0: what training hands over is never worse than that on the validation crops.
    """
    device, count = choose_devices(device, devices)
    if not resume and run.checkpoint("last").exists():
        raise RunError(f"{run.folder}: was trained already; go on with `resume` `name` {run.name}")
    try:
        with run_lock(run.folder):
            _train(run, dataset or run.dataset(compared=False), device, count, listener or Listener())
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


def _train(run: Run, dataset: ImageDataset, device: str, count: int, listener: Listener) -> None:
    """Begin or go on, and score what came of it, also where training was interrupted or broke off."""
    recipe = run.settings.recipe
    before = resumed_state(run, dataset) if run.checkpoint("last").is_file() else None
    left = recipe.epochs - (before.done if before else 0)
    if before and (epochs := run.provenance.recipe.epochs) != recipe.epochs:
        listener.note(f"{run.name}: {recipe.epochs} epochs in all instead of {epochs}; {before.done} trained already")
    if left:
        estimate = timing.first_estimate(run.settings, dataset, left, device, count)
        first = "compared with those it began with" if before else "measured and the start calibrated"
        listener.note(f"{run.name}: {estimate}, after the images were {first}")
    run.compare(dataset)
    state = before or new_state(run, dataset, device, listener)
    if state.done and not run.checkpoint().is_file():
        listener.warn(f"{run.checkpoint()} is missing: the weights of epoch {state.done} stand in for it")
        state.best = figure(state.rows[-1]) if state.rows else -math.inf
        save_best(run, state.model, state.done, state.best)
    stopped: BaseException | None = None
    if left or not run.checkpoint().is_file():
        try:
            _fit(run, state, dataset, device, listener, count=count)
        except KeyboardInterrupt as error:
            if not run.checkpoint().is_file():
                raise
            stopped = error
            listener.warn("interrupted: scoring the best weights so far (Ctrl-C again to leave at once)")
        except DiskFullError:
            raise
        except UserError as error:
            if not run.checkpoint().is_file():
                raise
            stopped = error
    else:
        listener.note(f"{run.name}: all {recipe.epochs} epochs are trained; `epochs`=N trains on")
    finish(run, dataset, device, listener)
    if stopped is not None:
        raise stopped


def _discard(run: Run) -> None:
    """Remove a folder that holds nothing but settings, so that the same command works once its data are put right."""
    if [path.name for path in run.folder.iterdir()] == [SETTINGS]:
        (run.folder / SETTINGS).unlink()
        run.folder.rmdir()


def _fit(run: Run, state: State, dataset: ImageDataset, device: str, listener: Listener, *, count: int) -> None:
    """Train what epochs are left; margins are for the shipped model, so training does without their cost."""
    import lightning as L  # noqa: N812
    from lightning.fabric.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

    keep_freed_memory()
    recipe = run.settings.recipe
    camera = run.provenance.camera
    method = METHODS[run.settings.method](recipe.loss, recipe.alpha, state.intensities, camera)
    size, batch = _patch_size(recipe, state, listener)
    count = min(count, batch)  # the batch is over all GPUs
    learnt = _images(learnt_from(dataset.train, method), method, state, camera)
    patches = Patches(learnt, size, recipe.augment, recipe.seed)
    area = math.prod(size or state.shape)
    share = timing.VALIDATION if device == "cpu" else timing.VALIDATION_GPU
    counted_by = len(patches) if recipe.pairs is None else max(len(patches), _JUDGED_BY)
    pixels = int(share * counted_by * area)
    judges = _images(judging(dataset.validation), method, state, camera)
    validation = validation_patches(judges, size, pixels, recipe.seed)
    model = Calibrated(state.model.denoiser, replace(state.model.constants, margin=0))
    each = math.ceil(batch / count)
    learner = Learner(model, recipe, method, patches=patches, validation=validation, batch=each, done=state.done)
    learner.to(device)
    convolve_channels_last(learner)
    if state.done == 0:
        _epoch_zero(run, state, learner, device)
    if not recipe.epochs:
        return
    left = recipe.epochs - state.done
    steps = math.ceil(len(patches) / batch)
    pixel = _seconds_per_pixel(learner, batch, device)
    seconds = timing.training_seconds(pixel, left * len(patches) * area, device, count)
    scoring = f" and {duration(state.scoring)} for the test images" if state.scoring else ""
    listener.note(
        f"{run.name}: {counted(left, 'epoch')} of {counted(len(patches), 'patch', 'patches')}, "
        f"{counted(steps, 'step')} each, about {duration(seconds)} on {device}{scoring}"
    )
    if seconds > _LONG and run.settings.network != "dncnn":
        listener.warn(
            f"{run.settings.network} would train for {duration(seconds)} here; `network` dncnn is far quicker, "
            "or train on a machine with a GPU"
        )
    with listener.progress("training", steps * left) as advance, quiet():
        recorder = Recorder(run, state.rows, state.best, state.optimizer, advance)
        trainer = L.Trainer(
            accelerator="gpu" if device.startswith("cuda") else device,
            devices=[int(device.partition(":")[2])] if ":" in device else count,
            strategy="ddp_spawn" if count > 1 else "auto",
            precision="bf16-mixed" if quick_in_half(device) else "32-true",
            max_epochs=left,
            callbacks=[recorder],
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
        _interruptible(trainer, learner)


def _images(samples: Sequence[Sample], method: Method, state: State, camera: CameraProfile | None) -> Images:
    """Return what patches are cut from, as a method needs it."""
    noise = partial(line_of_noise, camera) if method.needs.noise_model else None
    return Images(samples, state.intensity.scaling, method.needs.frames, noise)


def _patch_size(recipe: Recipe, state: State, listener: Listener) -> tuple[tuple[int, ...] | None, int]:
    """Return the size of the patches, one number an axis (None: whole images), and the batch that the images allow."""
    size = patch_size(recipe.crop, state.shape)
    if size is not None and recipe.crop not in (size, size[-1]):
        listener.note(f"patches are {' x '.join(map(str, size))} pixels, as the smallest image")
    height, width = (size or state.shape)[-2:]
    turned = "rotate" in recipe.augment and height != width
    if recipe.batch > 1 and (turned or (size is None and not state.uniform)):
        listener.note("images of different shapes make no batch: one image a step")
        return size, 1
    return size, recipe.batch


def _epoch_zero(run: Run, state: State, learner: Learner, device: str) -> None:
    """Score the noisy and the calibrated start on the validation patches, and write the start as the best so far."""
    learner.eval()
    with torch.inference_mode(), torch.autocast(learner.device.type, torch.bfloat16, enabled=quick_in_half(device)):
        found = [learner.method.score(learner.model, _to(patches, device)) for patches in learner.validation]
        noisy = [learner.method.score(torch.nn.Identity(), _to(patches, device)) for patches in learner.validation]
    means = {key: float(np.mean([scores[key] for scores in found])) for key in found[0]}
    if "psnr" in means and learner.recipe.validation:
        before = float(np.mean([scores["psnr"] for scores in noisy]))
        scores = ValidationScores(noisy=before, denoised=means["psnr"])
        run.write_provenance(run.provenance.model_copy(update={"validation": scores}))
    state.best = figure(means) if math.isfinite(figure(means)) else -math.inf
    state.rows = [{"epoch": 0, "lr": 0.0, "train_loss": math.nan, **means, "seconds": math.nan}]
    write_rows(run.folder / LOSSES, state.rows, COLUMNS)
    save_best(run, learner.model, 0, state.best)
    learner.train()


def _seconds_per_pixel(learner: Learner, batch: int, device: str) -> float:
    """Return what a step costs a pixel, measured on a validation patch."""
    patches = learner.validation[0]
    if device == "cpu":
        patches = tuple(image[..., : timing.TIMED, : timing.TIMED] for image in patches)
        batch = timing.timed_together(batch, patches[0].numel())
    patches = tuple(torch.cat([image] * batch) for image in patches)
    made = learner.method.batch(_to(patches, device), np.random.default_rng(0))
    return timing.seconds_per_pixel(lambda: learner.method.loss(learner.model, made), learner, made[0].numel(), device)


def _to(patches: Batch, device: str) -> Batch:
    return tuple(image.to(device) for image in patches)


def _interruptible(trainer: L.Trainer, learner: Learner) -> None:
    """Run the trainer; it answers Ctrl-C by leaving Python, which is turned into a ``KeyboardInterrupt`` here.

    A process of its own, one a GPU, hands an error over as the text of its traceback.
    """
    from torch.multiprocessing.spawn import ProcessRaisedException

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        trainer.fit(learner)
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
