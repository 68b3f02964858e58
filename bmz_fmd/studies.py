"""Studies, in Python: many trainings that answer a question, and the report of what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bmz_fmd.paths import StrPath, as_path

if TYPE_CHECKING:
    from training.studies.running import Ran
    from training.util.progress import Listener


def study(
    source: StrPath,
    *,
    values: dict[str, str] | None = None,
    out: StrPath | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> Ran:
    """Train and test what a study's file compares, or go on where it was stopped; see docs/studies.md.

    Parameters
    ----------
    source : path or str
        A YAML file, or ``"few-shot"``, ``"thesis"`` or ``"leave-one-out"``.
    values : dict, optional
        What the file calls ``{KEY}``.
    out : path, optional
        The study's folder; ``studies/NAME`` by default.
    workers : int
        Cells at once on this machine.
    scheduler : str, optional
        Address of a Dask scheduler whose workers run the cells instead.
    listener : Listener, optional
        As for ``train``.

    Returns
    -------
    Ran
        ``folder``, for ``study_report``, how many cells are ``finished``, and which ``failed``.

    Raises
    ------
    UserError
        Before anything is trained, for what does not fit.
    """
    from training.studies.plan import read_study
    from training.studies.running import run_study
    from training.util.progress import logged

    read = read_study(str(source), values)
    folder = None if out is None else as_path("out", out)
    return run_study(read, folder, workers=workers, scheduler=scheduler, listener=listener or logged())


def study_report(folder: StrPath, *, images: bool = True) -> Path:
    """Write tables, figures and one HTML page of a study, finished or not, and return the page's path.

    Parameters
    ----------
    folder : path
        The study's.
    images : bool
        Whether test images are shown; without, no pixel of the data is in the report.

    Raises
    ------
    UserError
        Where it is no study's folder, or nothing of it is finished.
    """
    from training.studies.report import write_report

    return write_report(as_path("folder", folder), images=images)
