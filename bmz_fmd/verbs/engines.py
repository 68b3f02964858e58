"""``bmz-fmd engines``: what runs a package here, and what installs it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bmz_export.engines import Engine, Progress

app = typer.Typer(help="List, install and remove the engines that the tools run on.")

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Engines by name, or: all")]


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the engines: installed or not, version, size, the tools that use each, the command that installs it."""
    if context.invoked_subcommand is not None:
        return
    from bmz_export.engines import ENGINES

    rows = [_row(engine) for engine in ENGINES.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


@app.command()
def install(names: Names) -> None:
    """Fetch engines into your cache, pinned by version and hash; an interrupted one leaves nothing behind."""
    for engine in _chosen(names):
        if engine.installed():
            typer.echo(f"{engine.name}: already installed ({_bytes(engine.size())})")
            continue
        with _progress() as progress:
            engine.install(progress)
        typer.echo(f"{engine.name}: installed ({_bytes(engine.size())})")


@app.command()
def remove(names: Names) -> None:
    """Delete installed engines from your cache."""
    for engine in _chosen(names):
        freed = engine.remove()
        typer.echo(f"{engine.name}: {f'removed ({_bytes(freed)} freed)' if freed else 'nothing to remove'}")


@app.command()
def view(
    package: Annotated[Path, typer.Argument(help="A package (folder or zip) with ONNX weights.")],
    image: Annotated[Path, typer.Argument(help="An image; its first plane is taken.")],
    screenshot: Annotated[Path | None, typer.Option(help="Write a picture of the page (.png) instead.")] = None,
) -> None:
    """Denoise an image in the browser and look at it before and after."""
    from bmz_export.engines.viewer import serve, write_screenshot
    from training.images import open_image, planes

    _, plane = next(iter(planes(open_image(image))))
    if screenshot is not None:
        write_screenshot(package, plane, screenshot, title=image.name)
        typer.echo(str(screenshot))
    else:
        serve(package, plane, title=image.name, ready=typer.launch)


def _chosen(names: list[str]) -> list["Engine"]:
    from bmz_export.engines import ENGINES
    from training.errors import UserError

    unknown = [name for name in names if name != "all" and name not in ENGINES]
    if unknown:
        raise UserError(f"there is no engine {unknown[0]!r}: choose from {', '.join(ENGINES)} or all")
    return [engine for name, engine in ENGINES.items() if "all" in names or name in names]


def _row(engine: "Engine") -> dict[str, Any]:
    installed = engine.installed()
    return {
        "name": engine.name,
        "title": engine.title,
        "version": engine.version,
        "weights": list(engine.weights),
        "tools": list(engine.tools),
        "installed": installed,
        "size": engine.size() if installed else 0,
        "install": engine.install_hint,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for title in ("engine", "version", "runs", "in", "size"):
        table.add_column(title, justify="right" if title == "size" else "left", overflow="fold")
    table.add_column("", overflow="fold", style="dim")
    for row in rows:
        state = "[green]installed[/]" if row["installed"] else row["install"]
        size = _bytes(row["size"]) if row["installed"] else "—"
        weights = "all formats" if len(row["weights"]) > 2 else ", ".join(row["weights"])
        table.add_row(row["name"], row["version"], weights, ", ".join(row["tools"]), size, state)
    Console().print(table)


@contextmanager
def _progress() -> Iterator["Progress"]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield _teller(bar, task)


def _teller(bar: Any, task: Any) -> Callable[[str, int, int], None]:  # noqa: ANN401 -- rich is imported late
    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)

    return tell


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
