"""``bmz-fmd study``: many trainings that answer a question, and the tables of what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bmz_fmd import console

app = typer.Typer(help="Compare networks, settings and numbers of pairs.", no_args_is_help=True)

Study = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="A study's YAML file, or one of: thesis, few-shot, leave-one-out.")
]


@app.callback()
def command() -> None:
    """Compare networks, settings and numbers of pairs, and report it in tables and figures."""


@app.command()
def run(
    study: Study,
    *,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="What the file calls {KEY}. Repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The study's folder. [default: studies/NAME]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Cells at once on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers run the cells: tcp://host:8786.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells, and run none.")] = False,
) -> None:
    """Train and test what a study compares; the same command goes on where it was stopped or killed.

    Of the settings that are searched for, those with the best PSNR on validation images are trained again on training
    and validation images, and tested once. A finished cell is not run again.

    Exit code 0: all cells are finished; 1: some failed; 2: the study cannot be run.
    """
    from training.runs.settings import parse_changes
    from training.studies.cells import plan
    from training.studies.plan import read_study
    from training.studies.running import run_study

    read = read_study(study, {key: str(value) for key, value in parse_changes(values or (), "--set").items()})
    if dry_run:
        made = plan(read)
        console.table("", ("cell", "what"), [(job.cell.stage, job.title) for job in made.jobs.values()], figures=())
        console.say(f"{len(made.jobs)} cells, none was run")
        return
    ran = run_study(read, out, workers=workers, scheduler=scheduler, listener=console.listener())
    for title, reason in ran.failed.items():
        console.say(f"failed: {title}: {reason}")
    console.say(f"{ran.finished} cells are finished; next: bmz-fmd study report {ran.folder}")
    if ran.failed:
        raise typer.Exit(ran.exit_code)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The study's folder, such as studies/thesis.")],
    *,
    images: Annotated[
        bool,
        typer.Option("--images/--no-images", help="Whether test images are shown; without, no pixel of them."),
    ] = True,
) -> None:
    """Write tables (Markdown, CSV, LaTeX), figures and one HTML page of a study, finished or not."""
    from training.studies.report import write_report

    page = write_report(folder, images=images)
    console.say(f"{page}, with tables and figures beside it")
