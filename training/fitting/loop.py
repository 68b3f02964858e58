"""The loop itself, in Lightning's terms: a step, an epoch's validation, and what is written after it."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L  # noqa: N812  (as its authors write it)
import numpy as np
import torch
from torch.utils.data import DataLoader

from training.calibration.layer import Calibrated
from training.data.patches import Batch, Patches
from training.errors import RunError
from training.methods import Method
from training.runs.run import LOSSES, Run, write_rows
from training.runs.settings import Recipe
from training.util.writing import replacing

COLUMNS = ("epoch", "lr", "train_loss", "validation_loss", "psnr", "ssim", "seconds")
"""Of ``losses.csv``. Losses and scores are in units of the intensity range, so they mean the same for 8 and 16 bits."""

_FAR_WORSE, _FAR_ABOVE = 20.0, 100.0  # dB of PSNR, times the loss: no training comes back from there
_LOGGERS = tuple(map(logging.getLogger, ("lightning.pytorch", "lightning.fabric")))


class Learner(L.LightningModule):
    """The calibrated network, the method that it learns by, its optimiser, and the patches that it learns from.

    Parameters
    ----------
    model : Calibrated
        Trained in place.
    recipe : Recipe
        Learning rate and seed.
    method : Method
        Makes batches, and says what is made small and what an epoch is judged by.
    patches : Patches
        Of the training images; a process of its own reads them anew.
    validation : sequence of Batch
        The validation patches.
    batch : int
        Patches in a step of one device.
    done : int
        Epochs trained before.
    """

    def __init__(
        self,
        model: Calibrated,
        recipe: Recipe,
        method: Method,
        *,
        patches: Patches,
        validation: Sequence[Batch],
        batch: int,
        done: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.method = method
        self.patches = patches
        self.validation = validation
        self.batch = batch
        self.done = done

    @property
    def epoch(self) -> int:
        """The epoch that is trained, counted from 1 over all sessions."""
        return self.done + self.current_epoch + 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam with its published constants."""
        return torch.optim.Adam(self.model.parameters(), lr=self.recipe.lr)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the patches of the present epoch: the trainer asks anew for each."""
        self.patches.set_epoch(self.epoch)
        return DataLoader(self.patches, batch_size=self.batch)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation patches, one by one, for they may differ in size."""
        return DataLoader(self.validation, batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        """Set this epoch's learning rate."""
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = self.recipe.learning_rate(self.epoch)

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        rng = np.random.default_rng([self.recipe.seed, 5, self.epoch, index, self.global_rank])
        loss = self.method.loss(self.model, self.method.batch(tuple(batch), rng))
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Score one patch."""
        self.log_dict(self.method.score(self.model, tuple(batch)), sync_dist=True, batch_size=1)


class Recorder(L.Callback):
    """Writes the table, the best and the last weights after each epoch, each file whole or not at all.

    The order counts: whatever moment a run is killed at, what ``last.ckpt`` says is true of the other files after the
    rows beyond it are cut, and every epoch after it is trained again the same way.

    Parameters
    ----------
    run : Run
        Where to.
    rows : sequence of dict
        Of ``losses.csv``, up to the epoch that training goes on from.
    best : float
        Of ``best.ckpt``, as ``figure`` gives it.
    optimizer : dict or None
        Adam's state to go on with.
    progress : callable
        ``advance(steps, what)``.
    """

    def __init__(
        self,
        run: Run,
        rows: Sequence[dict[str, float]],
        best: float,
        optimizer: dict[str, Any] | None,
        progress: Callable[[float, str], object],
    ) -> None:
        self.run = run
        self.rows = list(rows)
        self.best = best
        self.optimizer = optimizer
        self.progress = progress
        self.began = 0.0
        self.said = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on with Adam's state where the last session ended."""
        if self.optimizer is not None:
            trainer.optimizers[0].load_state_dict(self.optimizer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Report how far it is; an epoch's last step is reported with its score."""
        if trainer.is_global_zero and batch_idx + 1 < trainer.num_training_batches:
            self.progress(1, self.said)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the table, the best weights if this epoch's are, and the last."""
        assert isinstance(pl_module, Learner)
        metrics = trainer.callback_metrics
        found = {key: float(metrics[key]) for key in COLUMNS[2:6] if key in metrics}
        epoch = pl_module.epoch
        if _diverged(found, self.rows[0]):
            raise RunError(
                f"the loss diverged at epoch {epoch}: lower `lr` (now {pl_module.recipe.lr:g}) and train anew; "
                "the best weights so far are kept"
            )
        row = {"epoch": epoch, "lr": pl_module.recipe.learning_rate(epoch), **found}
        self.rows.append({**row, "seconds": time.monotonic() - self.began})
        score = figure(found)
        self.said = f"epoch {epoch}: " + (f"{score:.2f} dB" if "psnr" in found else f"validation loss {-score:.4g}")
        judged = pl_module.recipe.validation  # else the last epoch counts
        improved = score > self.best or not judged
        self.best = max(self.best, score) if judged else score
        if not trainer.is_global_zero:
            return
        write_rows(self.run.folder / LOSSES, self.rows, COLUMNS)
        if improved:
            save_best(self.run, pl_module.model, epoch, self.best)
        content = {
            "state_dict": _on_cpu(pl_module.model.state_dict()),
            "optimizer": _on_cpu(trainer.optimizers[0].state_dict()),
            "epoch": epoch,
            "best": self.best,
        }
        with replacing(self.run.checkpoint("last")) as beside:
            torch.save(content, beside)
        self.progress(1, self.said)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the progress bar, which belongs to the first process."""
        return {**self.__dict__, "progress": _advance_silently}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be as quiet in another process as in the first."""
        self.__dict__.update(state)
        _hush()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advertisements to itself: on hardware, loggers and numbers of workers."""
    levels = {logger: logger.level for logger in _LOGGERS}
    try:
        with warnings.catch_warnings():
            _hush()
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _hush() -> None:
    for logger in _LOGGERS:
        logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def figure(scores: Mapping[str, float]) -> float:
    """Return what epochs are chosen by, the higher the better: PSNR, or where there is none, minus the loss."""
    ratio = scores.get("psnr", math.nan)
    return -scores["validation_loss"] if math.isnan(ratio) else ratio


def save_best(run: Run, model: Calibrated, epoch: int, score: float) -> None:
    """Write ``best.ckpt``: weights and constants, the epoch, and its ``figure``."""
    with replacing(run.checkpoint("best")) as beside:
        torch.save({"state_dict": _on_cpu(model.state_dict()), "epoch": epoch, "score": score}, beside)


def _advance_silently(steps: float, what: str) -> None:
    """Show nothing."""


def _diverged(found: dict[str, float], start: dict[str, float]) -> bool:
    """Return whether an epoch's losses and scores are not finite, or far worse than those of the untrained start."""
    if not all(map(math.isfinite, found.values())):
        return True
    if "psnr" in found and found["psnr"] < start["psnr"] - _FAR_WORSE:
        return True
    return found["train_loss"] > _FAR_ABOVE * abs(start["validation_loss"])


def _on_cpu(state: Any) -> Any:  # noqa: ANN401  (a tree of whatever an optimiser keeps)
    if isinstance(state, torch.Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_on_cpu(value) for value in state]
    return state
