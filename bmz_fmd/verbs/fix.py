"""``bmz-fmd fix``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.options import Engines, RunPython, Tiles, Timeout, engine_names, fetched

if TYPE_CHECKING:
    from bmz_export.repair import Mended


def command(
    package: Annotated[
        Path,
        typer.Argument(
            parser=fetched,
            help="Its folder, its zip, or bioimage.io/NAME, a DOI, an address.",
            metavar="PACKAGE",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the mended package and its zip.", metavar="DIR")],
    trust: RunPython = False,
    engines: Engines = "all",
    tiles: Tiles = False,
    timeout: Timeout = 300,
) -> None:
    """Mend a package, yours or anybody's, so that every tool opens it and shows the same pixels.

    The package itself stays as it is. Exit code 0: the mended one passes the check, or there was nothing to mend; 1: it
    does not pass; 2: it cannot be mended.
    """
    import bmz_fmd

    mended = bmz_fmd.fix(
        package,
        out=out,
        engines=engine_names(engines),
        trust=trust,
        tiles=tiles,
        timeout=timeout,
        log=lambda line: console.note(f"  {line}"),
    )
    _show(mended)
    raise typer.Exit(mended.exit_code)


def _show(mended: "Mended") -> None:
    from bmz_export.checking.report import detail_lines, summary

    if mended.folder is None:
        console.say("Nothing to mend: no rule is broken and nothing that ran failed.")
        return
    before = {tool.tool: tool.verdict for tool in mended.before.tools}
    rows = [(tool.tool, before.get(tool.tool, "-"), tool.verdict) for tool in mended.after.tools]
    console.table("", ("tool", "before", "after"), rows, figures=())
    for title, lines in (("Changed:", mended.changes), ("Not mended:", mended.left)):
        if lines:
            console.say(f"\n{title}")
            for line in lines:
                console.say(f"- {line}")
    console.say("")
    for line in (*detail_lines(mended.after), summary(mended.after)):
        console.say(line)
    console.say(f"{mended.archive} (unpacked: {mended.folder})")
    if mended.exit_code:
        console.say("The mended package does not pass the check yet: see above.")
