"""``bmz-fmd upload``: a package into the BioImage Model Zoo, for review."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_export.publishing.server import COLLECTION, SERVER
from bmz_fmd import console
from training.errors import UserError

if TYPE_CHECKING:
    from bmz_export.publishing import Plan


def command(
    package: Annotated[
        Path, typer.Argument(help="A package that was checked: its folder or its zip.", metavar="PACKAGE")
    ],
    *,
    really: Annotated[
        bool, typer.Option("--really", help="Upload it. Without this nothing leaves your machine.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what became of it.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back what is staged.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Name in the zoo. [default: an adjective and an animal, from the server]")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="What check --json wrote. [default: the one in the package]", metavar="FILE")
    ] = None,
    server: Annotated[str, typer.Option(help="Hypha's address.", metavar="URL")] = SERVER,
    collection: Annotated[str, typer.Option(help="Where to there.", metavar="ID")] = COLLECTION,
) -> None:
    """Show what would go to the BioImage Model Zoo and what reviewers will say; with --really, upload it for review.

    Nothing is published: the model is staged, and the zoo's reviewers decide. The token comes from the environment
    variable HYPHA_TOKEN or, with the extra publish, from the system's keyring (keyring set bmz-fmd URL). An upload that
    was interrupted is gone on with; PACKAGE.upload.json beside the package says how far it came.

    Exit code 0: done, or nothing stands against it; 1: something must be put right first; 2: refused, or no connection.
    """
    from bmz_export import publishing

    if really + status + withdraw > 1:
        raise UserError("choose one of --really, --status and --withdraw")
    if status:
        found = publishing.state(package, server=server)
        size = sum(found.files.values()) / 1e6
        console.say(f"{found.artifact}: {found.status}, {len(found.files)} files, {size:.1f} MB staged")
        return
    if withdraw:
        console.say(f"{publishing.withdraw(package, server=server)}: withdrawn, nothing of it is staged any more")
        return
    if not really:
        planned = publishing.plan(package, certificate=certificate)
        _show(planned)
        console.say(f"Nothing was uploaded; --really stages these files on {server} and asks for review.")
        raise typer.Exit(1 if planned.review.refused else 0)
    listener = console.listener()
    staged = publishing.upload(
        package, server=server, collection=collection, name=name, certificate=certificate, listener=listener
    )
    console.say(f"{staged.artifact}: {len(staged.files)} files are staged, {staged.status}; reviewers publish it")


def _show(planned: "Plan") -> None:
    """Print every file with its size, then what stands against an upload and what will be asked."""
    rows = [(name, f"{size:,}") for name, size in planned.files.items()]
    console.table("", ("file", "bytes"), [*rows, (), ("in all", f"{sum(planned.files.values()):,}")])
    for name in planned.left_out:
        console.say(f"left out, since rdf.yaml does not name it: {name}")
    for line in planned.review.refused:
        console.say(f"to be put right first: {line}")
    for line in planned.review.asked:
        console.say(f"reviewers will ask: {line}")
    console.say(f"the zoo's score of its description: {planned.review.completeness:.0%} of all fields are set")
