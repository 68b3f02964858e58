"""What a user reads while a verb works: lines, warnings, tables, and a progress bar where there is a terminal.

Results go to stdout, everything about the work (progress, warnings) to stderr, so a pipe holds results only.
In a log, where there is no terminal, progress is a plain line now and then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from bmz_fmd.spelling import as_options

if TYPE_CHECKING:
    from training.util.progress import Listener

_PLAIN_PAUSE = 30.0  # seconds between progress lines in a log
_PLAIN_WIDTH = 80  # columns of a table in a log
_SHOWN = 6  # warnings of one kind

_STYLES = {
    "passed": "green", "installed": "green", "failed": "bold red", "not run": "dim", "not installed": "dim",
    "no answer in time": "yellow", "shown": "blue",
}  # fmt: skip


def say(text: str) -> None:
    """Print a result on stdout as it stands."""
    print(as_options(text), flush=True)  # noqa: T201


def note(text: str) -> None:
    """Print a word about the work on stderr."""
    print(as_options(text), file=sys.stderr, flush=True)  # noqa: T201


def warn(text: str) -> None:
    """Print a warning on stderr, in one line."""
    note(f"warning: {one_line(text)}")


def warn_some(texts: Iterable[str]) -> None:
    """Print the first few of many warnings, and how many more there are."""
    texts = list(texts)
    for text in texts[:_SHOWN]:
        warn(text)
    if len(texts) > _SHOWN:
        warn(f"and {len(texts) - _SHOWN} more like these")


def one_line(text: object) -> str:
    """Return the text with every run of white space, line breaks among them, as one blank."""
    return " ".join(str(text).split())


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, figures: Sequence[str] | None = None
) -> None:
    """Print a table on stdout.

    Parameters
    ----------
    title : str
        What the table shows; "" for none.
    columns : sequence of str
        Heads; at most six can be read in 80 characters.
    rows : sequence of sequences of str
        Cells; an empty sequence draws a line.
    figures : sequence of str, optional
        The columns that hold numbers, set to the right; all but the first by default.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    console = Console(highlight=False, markup=False, width=width)
    heads = (max(column.split("\n"), key=len) for column in columns)
    widest = sum(max(map(len, cells)) for cells in zip(heads, *filter(None, rows), strict=True))
    roomy = widest + 3 * (len(columns) - 1) <= console.width
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, int(roomy)))
    figures = columns[1:] if figures is None else figures
    for column in columns:
        drawn.add_column(column, justify="right" if column in figures else "left", overflow="fold")
    for row in rows:
        if row:
            drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        else:
            drawn.add_section()
    with console.capture() as shown:
        if title:
            console.print(title, style="bold", soft_wrap=True)
        console.print(drawn)
    lines = (line.rstrip() for line in shown.get().rstrip("\n").split("\n"))
    print("\n".join(lines), flush=True)  # noqa: T201 rich itself would end the program where a pipe has no reader


def progress(title: str, total: float | None) -> AbstractContextManager[Callable[[float, str], None]]:
    """Show how far the work is, on stderr: a bar on a terminal, a plain line every half minute in a log.

    Parameters
    ----------
    title : str
        What is being done.
    total : float or None
        Steps in all; None where that is not known.

    Returns
    -------
    context manager
        Yields ``advance(steps, what)``: so many more steps are done; ``what`` is shown beside the title ("" leaves it).
    """
    return (_bar if sys.stderr.isatty() else _lines)(title, total)


def listener() -> Listener:
    """Return what shows a work's notes, warnings and progress here."""
    from training.util.progress import Listener

    return Listener(note=note, warn=warn, progress=progress)


@contextmanager
def _bar(title: str, total: float | None) -> Iterator[Callable[[float, str], None]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(escape(title), total=total)

        def advance(steps: float = 1, what: str = "") -> None:
            shown.update(task, advance=steps, description=escape(f"{title} {what}") if what else None)

        yield advance


@contextmanager
def _lines(title: str, total: float | None) -> Iterator[Callable[[float, str], None]]:
    began = shown = time.monotonic()
    done = 0.0

    def advance(steps: float = 1, what: str = "") -> None:
        nonlocal done, shown
        before, done = done, done + steps
        now = time.monotonic()
        finished = total is not None and before < total <= done
        if finished or now - shown >= _PLAIN_PAUSE:
            shown = now
            of = "" if total is None else f" of {total:g}"
            note(f"{title}: {done:g}{of}{f', {what}' if what else ''}, {now - began:.0f} s")

    yield advance
