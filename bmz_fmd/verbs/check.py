"""``bmz-fmd check``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.options import Engines, RunPython, Tiles, Timeout, engine_names, fetched
from training.errors import UserError

if TYPE_CHECKING:
    from bmz_export.checking.certificate import Certificate


def command(
    packages: Annotated[
        list[str],
        typer.Argument(help="Its folder, its zip, or bioimage.io/NAME, a DOI, an address.", metavar="PACKAGE..."),
    ],
    *,
    rules_only: Annotated[bool, typer.Option("--rules-only", help="Read the package, run no engine on it.")] = False,
    trust: RunPython = False,
    engines: Engines = "all",
    tiles: Tiles = False,
    timeout: Timeout = 300,
    fiji: Annotated[
        Path | None,
        typer.Option(help="Your Fiji's folder: run deepImageJ's macro in it, without a window.", metavar="DIR"),
    ] = None,
    qupath: Annotated[
        Path | None, typer.Option(help="Your QuPath's program: run the script in it, without a window.", metavar="FILE")
    ] = None,
    ilastik: Annotated[
        Path | None, typer.Option(help="Your ilastik's folder: run the model in its Python.", metavar="DIR")
    ] = None,
    program: Annotated[
        list[str] | None, typer.Option(help="Run the model in a tool that you have; repeatable.", metavar="NAME=PLACE")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the certificate, or those of all packages, as JSON.", metavar="FILE")
    ] = None,
) -> None:
    """Say what Fiji, QuPath, ilastik, BioImage.IO and the browser will do with a package.

    Of several packages (check DIR/*) a table tells one line each; one that cannot be read stops no other, and files
    that are neither a zip nor an rdf.yaml are passed over.

    Exit code 0: nothing that ran failed; 1: a tool would fail or show other pixels, or one of several packages cannot
    be read; 2: there is no package to read.
    """
    from bmz_export.checking.certificate import Certificate
    from bmz_export.checking.check import CheckOptions, check
    from bmz_export.checking.many import COLUMNS, Judgements, check_each, packages_in
    from training.inference.files import check_replaceable
    from training.util.writing import write_text

    def store(result: str) -> None:
        if json is not None:
            json.parent.mkdir(parents=True, exist_ok=True)
            write_text(json, result)

    found = packages_in(packages)
    result: type[Certificate | Judgements] = Certificate if len(found) == 1 else Judgements
    if json is not None:
        check_replaceable(json, "--json", ".json", lambda path: result.read(path) is not None)
    named = {"deepimagej": fiji, "qupath": qupath, "ilastik": ilastik, **dict(map(_named, program or ()))}
    options = CheckOptions(
        engines=engine_names(engines),
        rules_only=rules_only,
        trust=trust,
        tiles=tiles,
        programs={name: place for name, place in named.items() if place is not None},
        timeout=timeout,
    )
    if len(found) == 1:
        certificate = check(fetched(found[0]), options, log=_log)
        store(certificate.to_json())
        show(certificate)
        raise typer.Exit(certificate.exit_code)
    judged = []
    listener = console.listener()
    for each in check_each(found, options, _log, listener):
        console.note(f"{each.package}: {each.verdict}")
        judged.append(each)
    every = Judgements(packages=tuple(judged))
    store(every.model_dump_json(indent=2) + "\n")
    console.table("", COLUMNS, [each.cells() for each in judged], figures=COLUMNS[2:])
    for each in judged:
        if each.reason:
            console.say(f"{each.package}: {each.reason}" if each.package not in each.reason else each.reason)
    raise typer.Exit(every.exit_code)


def _log(line: str) -> None:
    console.note(f"  {line}")


def _named(words: str) -> tuple[str, Path]:
    name, equals, place = words.partition("=")
    if not (name and equals and place):
        raise UserError(f"--program {words}: write NAME=PLACE, such as qupath=/opt/QuPath/bin/QuPath")
    return name, Path(place)


def show(certificate: "Certificate") -> None:
    """Print a certificate: a line for each tool, what ran, and what else there is to say."""
    from bmz_export.checking.report import FIGURES, detail_lines, summary, tables, verdict_lines

    for line in verdict_lines(certificate):
        console.say(line)
    for title, columns, rows in tables(certificate):
        console.say(f"\n{title}")
        console.table("", columns, rows, figures=FIGURES)
    for line in ("", *detail_lines(certificate), summary(certificate)):
        console.say(line)
