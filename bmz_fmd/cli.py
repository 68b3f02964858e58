"""The app and its one door for errors: a ``UserError`` becomes a line on stderr and exit code 2."""

import sys

import typer

from bmz_fmd.verbs import check, demo, denoise, engines, evaluate, export, train

app = typer.Typer(
    name="bmz-fmd",
    help="Fine-tune a published Gaussian denoiser on your images and get a model package "
    "that gives the same pixels in Fiji, QuPath, ilastik and Python.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (train, export, check, denoise, evaluate, demo):
    app.command(name=verb.__name__.rsplit(".", 1)[-1])(verb.command)
app.add_typer(engines.app, name="engines")


def main() -> None:
    """Run the command line and turn every expected failure into one line."""
    from training.errors import UserError

    try:
        app()
    except UserError as error:
        print(f"bmz-fmd: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print("bmz-fmd: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
