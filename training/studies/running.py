"""Running the cells of a study, each in a process of its own, here or on a cluster: once, however often it is begun."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.errors import SettingError
from training.runs.settings import read_yaml
from training.studies.cells import Job, Plan, plan
from training.studies.plan import Study
from training.studies.worker import JOB, RESULT, RUN
from training.util.cluster import connect
from training.util.lock import run_lock
from training.util.messages import one_line
from training.util.progress import Listener
from training.util.text import counted, duration
from training.util.writing import clear_parts, write_text

STUDIES = Path("studies")
PLAN, FILE, CELLS, LOG, FAILED = "plan.json", "study.yaml", "cells", "log.txt", "failed.txt"
_LOOKS = 1.0  # seconds between two looks at how far the cells are
_STOPPED = "stopped with the study"
_cells: list[subprocess.Popen[bytes]] = []  # that this process waits for
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Ran:
    """What came of running a study.

    Attributes
    ----------
    folder : Path
        Of the study.
    finished : int
        Cells, those finished before included.
    failed : dict of str to str
        The title of each cell that failed, and why, in a line; those that wait for it are not run.
    """

    folder: Path
    finished: int
    failed: dict[str, str]

    @property
    def exit_code(self) -> int:
        """0 where every cell is finished, else 1."""
        return int(bool(self.failed))


def run_study(
    study: Study,
    folder: Path | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> Ran:
    """Run what is not finished of a study.

    Parameters
    ----------
    study : Study
        As ``read_study`` returns it.
    folder : Path, optional
        Where results are and go; ``studies/NAME`` by default. Finished cells of the same settings, images and weights
        are not run again; one that was killed goes on.
    workers : int
        Cells at once on this machine.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers run the cells instead; they reach the folder and the images under the
        same paths, and this package is installed there.
    listener : Listener, optional
        Gets notes, warnings and progress.

    Returns
    -------
    Ran

    Raises
    ------
    UserError
        Before anything is trained, for data, weights or words that do not fit; or where the study is running already.
    """
    listener = listener or Listener()
    folder = folder or STUDIES / study.name
    made = plan(study)
    cells = folder / CELLS
    cells.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        clear_parts(folder)
        _check_own(study, folder)
        _write(made, folder)
        for identity, job in made.jobs.items():
            (cells / identity).mkdir(exist_ok=True)
            write_text(cells / identity / JOB, job.model_dump_json(indent=1) + "\n")
        left = {identity: job for identity, job in made.jobs.items() if not (cells / identity / RESULT).is_file()}
        done = len(made.jobs) - len(left)
        before = f", {done} finished before" if done else ""
        listener.note(f"{study.name}: {counted(len(made.jobs), 'cell')}{before}, in {folder}")
        failed = _run(left, cells.absolute(), workers, scheduler, listener) if left else {}
    return Ran(folder, len(made.jobs) - len(failed), {made.jobs[key].title: why for key, why in failed.items()})


def _check_own(study: Study, folder: Path) -> None:
    """Refuse the folder of another study."""
    if (folder / FILE).is_file():
        there = read_yaml(folder / FILE).get("name")
        if there != study.name:
            raise SettingError(f"{folder} holds the study {there}, this one is {study.name}: choose another `out`")


def _write(made: Plan, folder: Path) -> None:
    """Write what the study is made of, and say nothing of cells that are no longer part of it: they stay."""
    write_text(folder / FILE, yaml.safe_dump(made.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    write_text(folder / PLAN, made.model_dump_json(indent=1) + "\n")


def _run(
    left: Mapping[str, Job], cells: Path, workers: int, scheduler: str | None, listener: Listener
) -> dict[str, str]:
    """Run cells as soon as those that they need are finished; return why some failed, or were not begun."""
    waiting, failed = dict(left), {}
    running: dict[Future[Any], str] = {}
    began, finished, worked = time.monotonic(), 0, 0.0
    with listener.progress("Cells", len(left)) as advance, closing(_pool(workers, scheduler)) as pool:
        submit = next(pool)
        while waiting or running:
            for identity, job in list(waiting.items()):
                lacking = [need for need in job.needs if not (cells / need / RESULT).is_file()]
                broken = [need for need in lacking if need in failed]
                if broken:
                    failed[identity] = f"not run, since it needs another that failed: {left[broken[0]].title}"
                    del waiting[identity]
                    advance(1, "")
                elif not lacking:
                    running[submit(cells / identity, job.threads)] = identity
                    del waiting[identity]
            ended, _ = wait(running, timeout=_LOOKS, return_when=FIRST_COMPLETED)
            for future in ended:
                identity = running.pop(future)
                try:
                    reason = future.result()
                except Exception as error:  # noqa: BLE001 a worker of a cluster may be lost in many ways
                    reason = one_line(f"{type(error).__name__}: {error}")
                if reason:
                    failed[identity] = reason
                    listener.warn(f"{left[identity].title}: {reason}")
                else:
                    finished += 1
                worked = time.monotonic() - began
                advance(1, "")
            if not ended and running:
                advance(0, _said(running.values(), left, cells, worked / finished if finished else None, len(waiting)))
    return failed


def _said(
    running: Any,  # noqa: ANN401
    jobs: Mapping[str, Job],
    cells: Path,
    each: float | None,
    waiting: int,
) -> str:
    """Return how far each running cell is, and how long the others may take."""
    found = []
    for identity in running:
        losses = cells / identity / RUN / "losses.csv"
        if losses.is_file():
            epochs = len(losses.read_text(encoding="utf-8").splitlines()) - 2
            found.append(f"{jobs[identity].title}: epoch {max(epochs, 0)}")
    left = "" if each is None else f"; about {duration(each * (waiting + len(running)))} left"
    return f"{'; '.join(found)}{left}"


def run_cell(folder: Path, threads: int) -> str:
    """Run a cell in a process of its own, with so many threads; return why it failed, "" where it did not."""
    environment = os.environ | dict.fromkeys(_THREADS, str(threads))
    (folder / FAILED).unlink(missing_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as log:
        position = log.tell()
        cell = subprocess.Popen(
            [sys.executable, "-m", "training.studies.worker", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C is for the study, which ends its cells
        )  # fmt: skip
        _cells.append(cell)
        code = cell.wait()
        if cell not in _cells:
            return _STOPPED
        _cells.remove(cell)
    if code == 0:
        return ""
    with (folder / LOG).open("rb") as log:
        log.seek(position)
        lines = log.read().decode("utf-8", "replace").strip().splitlines()
    killed = "killed, perhaps since memory ran out" if code < 0 else f"exit code {code}"
    reason = lines[-1] if lines else killed
    write_text(folder / FAILED, reason + "\n")
    return reason


def _pool(workers: int, scheduler: str | None) -> Generator[Callable[[Path, int], Future[Any]], None, None]:
    """Yield what submits a cell: to threads that wait for a process each, or to a cluster; end them when closed."""
    if scheduler is not None:
        yield from _cluster(scheduler)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield lambda folder, threads: pool.submit(run_cell, folder, threads)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while _cells:
            _cells.pop().kill()  # it goes on after its last whole epoch


def _cluster(address: str) -> Generator[Callable[[Path, int], Future[Any]], None, None]:
    client = connect(address)
    executor = client.get_executor(pure=False)
    try:
        yield lambda folder, threads: executor.submit(run_cell, folder, threads)
    finally:
        executor.shutdown(wait=False)
        client.close()
