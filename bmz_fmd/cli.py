"""The app, and what becomes of errors: whatever goes wrong below is one line on stderr and an exit code.

Exit codes: 0, done; 1, done, and what was checked failed; 2, bad input (``UserError``, a wrong option, a file that
cannot be read or written, no memory or disk left); 3, a fault of this program; 130, Ctrl-C or SIGTERM; 141, the
reader of a pipe left.
"""

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from bmz_fmd import console
from bmz_fmd.verbs import (
    autodip,
    camera,
    check,
    data,
    demo,
    denoise,
    engines,
    evaluate,
    export,
    fix,
    methods,
    study,
    train,
    trust,
    upload,
)
from training.errors import UserError
from training.inference.memory import is_out_of_memory
from training.util.writing import is_disk_full

DEBUG = "BMZ_FMD_DEBUG"
"""Environment variable: set, every failure shows its traceback and every warning is shown."""

_OURS = ("training", "bmz_export", "bmz_fmd")

app = typer.Typer(
    name="bmz-fmd",
    help="Fine-tune a published Gaussian denoiser on your images and get a model package "
    "that gives the same pixels in Fiji, QuPath, ilastik and Python.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing what draws boxes takes a third of its time
)
for verb in (train, export, check, fix, denoise, evaluate, trust, methods, upload, demo):
    app.command(name=verb.__name__.rsplit(".", 1)[-1])(verb.command)
app.add_typer(camera.app, name="camera")
app.add_typer(data.app, name="data")
app.add_typer(engines.app, name="engines")
app.add_typer(autodip.app, name="autodip")
app.add_typer(study.app, name="study")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.say(f"bmz-fmd {version('bmz-fmd')}")
        raise typer.Exit


@app.callback()
def _before_the_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks and all warnings (or {DEBUG}=1).")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``bmz-fmd``; those of this process by default.

    Raises
    ------
    SystemExit
        Always, with one of the exit codes above.
    """
    with warnings.catch_warnings(), _terminable():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM, which job schedulers send, as Ctrl-C."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(arguments: list[str]) -> int:
    try:
        result = app(args=arguments, prog_name="bmz-fmd", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        result = 130
    except BrokenPipeError:
        # what is still buffered has no reader: send it nowhere, so that the interpreter's own flush cannot fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 every error ends here
        if _debugging():
            traceback.print_exc()
        return _explain(error)
    if result == 130:
        console.note("bmz-fmd: interrupted")
    return result if isinstance(result, int) else 0


def _debugging() -> bool:
    return os.environ.get(DEBUG, "") not in ("", "0")


def _explain(error: Exception) -> int:
    """Print the one line that an exception becomes, and return the exit code."""
    code, text = 2, str(error)
    if isinstance(error, UserError):
        pass
    elif callable(getattr(error, "format_message", None)):  # typer's own, whichever click it was built with
        if type(error).__name__ == "NoArgsIsHelpError":
            console.note(text)
            return code
        text = _usage(error)
    elif is_out_of_memory(error):
        text = "memory ran out: close other programs, or ask for less at once (--tile, --set batch=1, --set crop=64)"
    elif is_disk_full(error):
        text = "the disk is full: what was written before is kept; make room, then run the same command again"
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, OSError) and error.strerror is not None:
        text = f"{error.strerror} (while reading or writing a file; {DEBUG}=1 shows which)"
    else:
        code = 3
        text = f"unexpected {type(error).__name__}: {text}; a fault of this program, traceback in {_keep(error)}"
    console.note(f"bmz-fmd: {console.one_line(text)}")
    return code


def _usage(error: Exception) -> str:
    """Return what typer says of a wrong word, and where the right ones are listed."""
    message = console.one_line(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = "bmz-fmd" if context is None else context.command_path
    return f"{message[:1].lower()}{message[1:]} ({command} --help lists what there is)"


def _keep(error: Exception) -> Path:
    """Write the traceback to a file of its own and return where."""
    with tempfile.NamedTemporaryFile("w", prefix="bmz-fmd-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    return Path(file.name)


def _show_warning(  # noqa: PLR0917 the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one line; those of libraries speak of code, not of images."""
    if _debugging():
        console.note(warnings.formatwarning(message, category, filename, lineno, line).rstrip())
    elif category.__module__.split(".", maxsplit=1)[0] in _OURS:
        console.warn(str(message))
