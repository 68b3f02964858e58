"""``bmz-fmd export``: a run becomes a model package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.options import Engines, engine_names

if TYPE_CHECKING:
    from bmz_export.checking.certificate import Certificate
    from bmz_export.exporting import ExportOptions
    from bmz_export.package.builder import Addition
    from training.runs.run import Run


def command(
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Export the newest run that was trained on this data set.", show_default=False),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Export this run folder, such as runs/NAME.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the package; default: that of the run.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the package and its zip.")] = Path("packages"),
    author: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME; AFFILIATION; ORCID'",
            help="An author; again for each further one. Affiliation and ORCID may be left out.",
            show_default=False,
        ),
    ] = None,
    cite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'TEXT | DOI or address'",
            help="How to cite the model; again for each further citation. The network's paper is added.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license", metavar="SPDX", help="Such as CC-BY-4.0; default: the checkpoint's.", show_default=False
        ),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="The same and more as YAML: title, description, authors, cite, license, tags, version.",
            show_default=False,
        ),
    ] = None,
    example: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The image that becomes the public example; default: a test image.", show_default=False
        ),
    ] = None,
    engines: Engines = "all",
) -> None:
    """Export a run as a bioimage.io model package for Fiji, QuPath, ilastik, Python and the browser.

    Writes NAME/ and NAME.zip; a package of that name from an earlier export is replaced when the new one is whole.
    """
    from bmz_export.exporting import ExportOptions
    from bmz_export.package.about import read_about
    from training.errors import UserError
    from training.runs.run import newest_run, open_run

    words = read_about(about, authors=author or (), cite=cite or (), license=licence)
    if dataset is not None and run is None:
        source = newest_run(dataset)
    elif run is not None and dataset is None:
        source = open_run(run)
    else:
        raise UserError("say what to export: either --dataset NAME or --run DIR")
    hand_over(source, ExportOptions(name=name, out=out, about=words, example=example), engine_names(engines))


def hand_over(source: Run, options: ExportOptions, engines: list[str] | None = None) -> None:
    """Export a run, certify the package while it is built with these engines (None: all), and show the certificate.

    Raises
    ------
    typer.Exit
        With code 1 when a tool would fail or show other pixels; the package and its certificate are there all the same.
    """
    from bmz_export.checking.check import certify
    from bmz_export.checking.runner import CheckOptions
    from bmz_export.exporting import export
    from bmz_fmd.verbs.check import show

    found: list[Certificate] = []

    def certified(folder: Path) -> Addition:
        certificate, addition = certify(
            folder, CheckOptions(engines=engines), told=lambda line: console.note(f"  {line}")
        )
        found.append(certificate)
        return addition

    console.note(f"Exporting {source.folder}: three weights formats, then the engine of every tool that is installed")
    exported = export(source, options, certify=certified, told=console.note)
    show(found[0])
    console.say(f"{exported.archive} (unpacked: {exported.folder})")
    for what in exported.missing:
        console.note(f"To be filled in before you publish: {what}")
    if found[0].exit_code:
        raise typer.Exit(found[0].exit_code)
