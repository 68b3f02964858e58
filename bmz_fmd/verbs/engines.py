"""``bmz-fmd engines``: what runs a package here, and what installs it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console

if TYPE_CHECKING:
    from bmz_export.engines import Engine, Progress

app = typer.Typer(help="List, install and remove the engines that the tools run on.")

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Engines by name, or: all")]


@app.callback(invoke_without_command=True)
def command(context: typer.Context) -> None:
    """List the engines: the tools that use each, the weights that it runs, its size where it is installed."""
    if context.invoked_subcommand is not None:
        return
    from bmz_export.engines import ENGINES

    console.table(
        "", ("engine", "used by", "runs", "installed"), [*map(_row, ENGINES.values())], figures=("installed",)
    )
    hints = dict.fromkeys(engine.install_hint for engine in ENGINES.values() if not engine.installed())
    for hint in hints:
        console.say(f"to install: {hint}")


@app.command()
def install(names: Names) -> None:
    """Fetch engines into your cache, pinned by version and hash; an interrupted one leaves nothing behind."""
    for engine in _chosen(names):
        if engine.installed():
            console.say(f"{engine.name}: already installed ({_bytes(engine.size())})")
            continue
        with _progress() as progress:
            engine.install(progress)
        console.say(f"{engine.name}: installed ({_bytes(engine.size())})")


@app.command()
def remove(names: Names) -> None:
    """Delete installed engines from your cache."""
    for engine in _chosen(names):
        freed = engine.remove()
        console.say(f"{engine.name}: {f'removed ({_bytes(freed)} freed)' if freed else 'nothing to remove'}")


@app.command()
def view(
    package: Annotated[Path, typer.Argument(help="A package (folder or zip) with ONNX weights.")],
    image: Annotated[Path, typer.Argument(help="An image; its first plane is taken.")],
    screenshot: Annotated[Path | None, typer.Option(help="Write a picture of the page (.png) instead.")] = None,
) -> None:
    """Denoise an image in the browser and look at it before and after."""
    from bmz_export.engines.viewer import serve, write_screenshot
    from bmz_export.inspection import Inspection
    from bmz_export.inspection.safety import check_loadable
    from bmz_export.package.archive import open_package
    from training.evaluation.pictures import is_ours
    from training.images import open_image, planes
    from training.inference.files import check_replaceable

    if screenshot is not None:
        check_replaceable(screenshot, "--screenshot", ".png", is_ours)
    _, plane = next(iter(planes(open_image(image))))
    with open_package(package) as opened:
        check_loadable(Inspection(opened), "onnx")
        if screenshot is not None:
            write_screenshot(opened, plane, screenshot, title=image.name)
            console.say(str(screenshot))
        else:
            serve(opened, plane, title=image.name, ready=typer.launch)


def _chosen(names: list[str]) -> list["Engine"]:
    from bmz_export.engines import ENGINES
    from training.errors import UserError

    unknown = [name for name in names if name != "all" and name not in ENGINES]
    if unknown:
        raise UserError(f"there is no engine {unknown[0]!r}: choose from {', '.join(ENGINES)} or all")
    return [engine for name, engine in ENGINES.items() if "all" in names or name in names]


def _row(engine: "Engine") -> Sequence[str]:
    return (
        engine.name,
        ", ".join(engine.tools),
        "all formats" if len(engine.weights) > 2 else ", ".join(engine.weights),
        _bytes(engine.size()) if engine.installed() else "no",
    )


@contextmanager
def _progress() -> Iterator["Progress"]:
    """Show each part of an installation in megabytes; a part is known by its name, with bytes done and in all."""
    with ExitStack() as stack:
        shown: tuple[str, int, Callable[[float, str], None]] | None = None

        def tell(what: str, done: int, total: int) -> None:
            nonlocal shown
            if shown is None or shown[0] != what:
                stack.close()
                shown = (what, 0, stack.enter_context(console.progress(f"{what} (MB)", round(total / 1e6, 1))))
            _, before, advance = shown
            advance((done - before) / 1e6, "")
            shown = (what, done, advance)

        yield tell


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
