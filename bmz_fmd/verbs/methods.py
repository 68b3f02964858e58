"""``bmz-fmd methods``: what a paper says of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bmz_fmd import console


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder, or a package that came of one, folder or zip.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the files. [default: methods in the run's folder, NAME-methods]"),
    ] = None,
) -> None:
    """Write what a paper needs: the paragraph of its methods, citations, a checklist, versions and a container.

    Every figure is from the record of the run. methods.md holds the paragraph and its references, references.bib the
    same for BibTeX, checklist.md what reviewers ask (what only you know is marked TO FILL), requirements.txt the
    versions for pip, Containerfile a container that denoises or repeats the training.
    """
    import bmz_fmd

    written = bmz_fmd.methods(model, out=out)
    console.say(written.paragraph)
    console.note(f"{', '.join(file.name for file in written.files)} in {written.folder}")
