"""One cell of a study, in a process of its own: ``python -m training.studies.worker FOLDER``.

The folder, ``cells/ID`` of the study's, holds ``job.json``; ``result.json`` is written once all is done. Killed, the
same command goes on from the last whole epoch. It ends with the process that started it.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from training.errors import UserError
from training.studies.cells import Job
from training.studies.results import Result, judged
from training.util.writing import clear_parts, write_text

if TYPE_CHECKING:
    from training.data import ImageDataset
    from training.evaluation.metrics import Convention
    from training.evaluation.scoring import Evaluation
    from training.inference.denoiser import Denoiser
    from training.runs.run import Run

JOB, RESULT, RUN = "job.json", "result.json", "run"
_LOOKS = 1.0  # seconds between two looks at whether the parent lives


def main(folder: Path) -> int:
    """Do the job of a folder; return the exit code."""
    _end_with_parent()
    job = Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(job.threads)
    try:
        result = _done(job, folder)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201 its last line is what the study says of the cell
        return 2
    write_text(folder / RESULT, result.model_dump_json(indent=1) + "\n")
    return 0


def _done(job: Job, folder: Path) -> Result:
    from training.runs.provenance import versions

    clear_parts(folder)
    began = time.monotonic()
    found: dict[str, Any] = {}
    if job.cell.stage == "baseline":
        found = _baseline(job)
    elif job.cell.stage == "final":
        found = _final(job, folder)
    else:
        found = _told(_trained(job, folder))
    seconds = found.pop("seconds", time.monotonic() - began)
    return Result(cell=job.cell, **found, seconds=seconds, processor_seconds=time.process_time(), versions=versions())


def _trained(job: Job, folder: Path, **changes: Any) -> Run:  # noqa: ANN401
    """Train the run of the folder, or go on with it."""
    from training.fitting.start import Request, new_run
    from training.fitting.trainer import train
    from training.runs.run import SETTINGS, open_run

    assert job.settled is not None
    place = folder / RUN
    if (place / SETTINGS).is_file():
        run, dataset = open_run(place), None
        if (place / "provenance.json").is_file() and run.finished():
            return run
    else:
        start = job.settled.checkpoint if job.start is None else str(folder.parent / job.start / RUN / "best.ckpt")
        run, dataset, _ = new_run(
            Request(
                data=job.settled.data,
                network=job.settled.network,
                network_settings=job.settled.settings,
                checkpoint=start,
                changes={**job.settled.recipe, **changes},
                method=job.settled.method,
                name=RUN,
            ),
            runs=folder,
        )
    return train(run, dataset=dataset, resume=True, device=job.device)


def _told(run: Run) -> dict[str, Any]:
    """Return what a run says of itself."""
    from training.data import Sample

    provenance, rows = run.provenance, run.history()
    dataset = run.dataset(compared=False)
    samples: list[Sample] = [*dataset.train]
    scores = provenance.validation
    return {
        "pairs": len({sample.field for sample in samples}),
        "epochs": provenance.epochs,
        "best_epoch": provenance.best_epoch,
        "validation": None if scores is None else scores.denoised,
        "history": [{key: None if math.isnan(value) else value for key, value in row.items()} for row in rows],
        "parameters": sum(numbers.numel() for numbers in run.model().denoiser.parameters()),
        "seconds": sum(row["seconds"] for row in rows if not math.isnan(row["seconds"])),
    }


def _final(job: Job, folder: Path) -> dict[str, Any]:
    """Train the best choice again on all but the test images, and test it once.

    Where pairs are counted, training and validation images are not joined: the chosen weights are tested as they are.
    """
    cells = {each: folder.parent / each for each in job.choices}
    results = {
        each: Result.model_validate_json((place / RESULT).read_text(encoding="utf-8")) for each, place in cells.items()
    }
    best = max(results, key=lambda each: judged(results[each]))
    chosen = Job.model_validate_json((cells[best] / JOB).read_text(encoding="utf-8"))
    if chosen.recipe["pairs"] is None:
        run = _trained(chosen, folder, epochs=results[best].best_epoch, validation=False)
    else:
        from training.runs.run import open_run

        run = open_run(cells[best] / RUN)
    tested = _tested(job, run.dataset(compared=False), run.denoiser(device=job.device))
    return {**_told(run), "evaluation": tested, "validation": results[best].validation}


def _baseline(job: Job) -> dict[str, Any]:
    from training.evaluation.baselines import BASELINES, best_of_pairs, denoised
    from training.inference.denoiser import of_planes
    from training.runs.run import open_images
    from training.runs.settings import Recipe

    dataset = open_images(job.data, Recipe.model_validate(job.recipe))
    chosen = BASELINES[job.cell.network]
    judges = [sample for sample in dataset.validation if sample.clean is not None]
    setting = None
    if chosen.grid and judges:
        how = {"convention": cast("Convention", job.convention), "data_range": cast(float, job.data_range)}
        setting = best_of_pairs(chosen, judges, **how)  # type: ignore[arg-type]
    denoiser = of_planes(lambda plane: denoised(chosen, plane, None, setting)[0])
    return {"evaluation": _tested(job, dataset, denoiser)}


def _tested(job: Job, dataset: ImageDataset, denoiser: Denoiser) -> Evaluation:
    from training.evaluation.scoring import evaluate

    samples = [sample for sample in dataset.test if sample.clean is not None]
    convention = cast("Convention", job.convention)
    return evaluate(samples, denoiser, convention=convention, data_range=cast(float, job.data_range))


def _end_with_parent() -> None:
    """End when the process that started this one has ended: nobody else would know of it."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
