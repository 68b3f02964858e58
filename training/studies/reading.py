"""A study's folder, read: its rows with what is finished of them, finished or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.errors import RunError
from training.studies.cells import Plan
from training.studies.results import Result, Row, judged
from training.studies.running import CELLS, FAILED, PLAN
from training.studies.worker import RESULT


@dataclass(frozen=True)
class Results:
    """What came of a study so far.

    Attributes
    ----------
    name : str
    study : dict
        Its file, paths whole.
    rows : list of Row
        Of all experiments, in order.
    baselines : dict of str to list of Result
        By the name of the data.
    pretraining : list of Result
    missing : int
        Cells that are not finished.
    failed : dict of str to str
        Titles of those that failed, and why.
    """

    name: str
    study: dict[str, Any]
    rows: list[Row]
    baselines: dict[str, list[Result]] = field(default_factory=dict)
    pretraining: list[Result] = field(default_factory=list)
    missing: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def read_results(folder: Path) -> Results:
    """Return what a study's folder holds.

    Raises
    ------
    UserError
        Where it is none, or damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        raise RunError(f"{folder}: not a study's folder, it has no {PLAN}; name one that bmz-fmd study run wrote")
    try:
        made = Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise RunError(f"{path}: damaged; run the study again, what is finished is kept") from None
    found = {identity: _result(folder / CELLS / identity / RESULT) for identity in made.jobs}
    done = {identity: result for identity, result in found.items() if result is not None}
    rows = []
    for planned in made.rows:
        choices = [done[each] for each in planned.choices if each in done]
        choices.sort(key=judged, reverse=True)
        rows.append(
            Row(
                experiment=planned.experiment,
                data=planned.data,
                network=planned.network,
                compared=planned.compared,
                choices=choices,
                final=done.get(planned.final),
            )
        )
    failed = {
        job.title: (folder / CELLS / identity / FAILED).read_text(encoding="utf-8").strip()
        for identity, job in made.jobs.items()
        if identity not in done and (folder / CELLS / identity / FAILED).is_file()
    }
    return Results(
        name=made.study.name,
        study=made.study.model_dump(mode="json"),
        rows=rows,
        baselines={data: [done[each] for each in names if each in done] for data, names in made.baselines.items()},
        pretraining=[done[each] for each in made.pretraining.values() if each in done],
        missing=len(made.jobs) - len(done),
        failed=failed,
    )


def _result(path: Path) -> Result | None:
    """Return the result of a cell; None where there is none yet."""
    if not path.is_file():
        return None
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise RunError(f"{path}: damaged; delete it and run the study again") from None
