"""What came of a study, as its report reads it: a file a cell, and the rows that cells make together."""

from __future__ import annotations

from math import inf
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from training.evaluation.scoring import Evaluation

Stage = Literal["pretraining", "choice", "final", "baseline"]
"""What a cell is for.

``pretraining``: weights that other cells start from; ``choice``: trained, and scored on the validation images alone;
``final``: the chosen settings, trained again on training and validation images and tested once; ``baseline``: a
classical denoiser on the same test images.
"""


class Cell(BaseModel):
    """One training, or one classical denoiser on the test images of a data set.

    Attributes
    ----------
    id : str
        Of all that decides its figures: cells of the same id are one, and run once.
    stage : str
        See ``Stage``.
    data, network : str
        By their names in the study; ``network`` is the baseline's name where the stage is ``baseline``.
    factors : dict
        What is compared and what is searched for in this cell, such as ``{"start": "scratch", "lr": 1e-4}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    stage: Stage
    data: str
    network: str
    factors: dict[str, Any] = {}


class Result(BaseModel):
    """What came of a cell: ``cells/ID/result.json`` in the study's folder, beside the run in ``cells/ID/run``.

    Attributes
    ----------
    cell : Cell
    pairs : int
        Training fields that were learned from.
    epochs, best_epoch : int
        Trained, and the one whose weights count.
    validation : float or None
        PSNR in dB on the validation crops at ``best_epoch``; None where no validation image judges.
    history : list of dict
        The rows of ``losses.csv``.
    evaluation : Evaluation or None
        Of the test images; None for the stages ``pretraining`` and ``choice``.
    parameters : int
        Numbers that the network learns.
    seconds, processor_seconds : float
        What the cell took.
    versions : dict
        Of the software.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    pairs: int = 0
    epochs: int = 0
    best_epoch: int = 0
    validation: float | None = None
    history: list[dict[str, float | None]] = []
    evaluation: Evaluation | None = None
    parameters: int = 0
    seconds: float
    processor_seconds: float
    versions: dict[str, str] = {}


class Row(BaseModel):
    """A row of an experiment's table: one data set, one network, one value of each factor that is compared.

    Attributes
    ----------
    experiment : str
        Its title.
    data, network : str
    compared : dict
        The factors that are compared, and their values in this row.
    choices : list of Result
        The cells among which the validation images chose, the best first; one where nothing was searched for.
    final : Result or None
        The chosen one, trained again and tested; None while it is missing.
    """

    experiment: str
    data: str
    network: str
    compared: dict[str, Any]
    choices: list[Result]
    final: Result | None


def judged(result: Result) -> float:
    """Return what choices are compared by: PSNR on validation images, or minus the loss where no clean one is there."""
    if result.validation is not None:
        return result.validation
    losses = [row["validation_loss"] for row in result.history if row["epoch"] == result.best_epoch]
    return -losses[0] if losses and losses[0] is not None else -inf
