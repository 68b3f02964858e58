"""``bmz-fmd data``: the published data sets, what each is, and what of it lies on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console

if TYPE_CHECKING:
    from training.data import ImageDataset
    from training.data.published import Catalogued, Published

app = typer.Typer(help="The published data sets: what each is, and what is on disk.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a data set, as data list has it.")]
Option = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the data set, as for train.")]
Channel = Annotated[str | None, typer.Option(help="The channel, where the data set has several.")]


@app.callback()
def command() -> None:
    """Name the published data sets, and look what of them is on disk."""


@app.command(name="list")
def list_() -> None:
    """List the data sets that train --dataset knows, with licence and extent."""
    from training.data import DATASETS
    from training.data.published import Catalogued

    names: dict[Published, list[str]] = {}
    for name, made in DATASETS.items():
        if isinstance(made, Catalogued):
            names.setdefault(made.published, []).append(name)
    rows = [[", ".join(several), entry.images, entry.licence or "not stated"] for entry, several in names.items()]
    console.table("", ["name", "images", "licence"], rows, figures=())
    console.say("More of each: bmz-fmd data show NAME; and simulated, which needs no files.")


@app.command()
def show(
    name: Name,
    *,
    data: Annotated[Path | None, typer.Option(help="The folder somewhere below which its files lie.")] = None,
    channel: Channel = None,
    option: Option = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw some images of --data into this PNG.")] = None,
) -> None:
    """Say what a data set is, how to cite it, and what has to lie where; draw some of its images."""
    from training.errors import SettingError
    from training.evaluation.pictures import is_ours
    from training.inference.files import check_replaceable

    entry = _found(name).published
    if (data is None) != (out is None):
        raise SettingError("`data` and `out` go together: the images to draw, and the PNG to draw them into")
    for title, text in (
        ("title", entry.title),
        ("images", entry.images),
        ("size on disk", entry.size or "not stated"),
        ("licence", entry.licence or f"not stated with the files; see {entry.address}"),
        ("citation", entry.citation),
        ("DOI", f"https://doi.org/{entry.doi}"),
        ("address", entry.address),
        ("below --data", entry.layout),
        ("get it", f"bmz-fmd data fetch {name} --data DIR" if entry.download else "by hand, from the address above"),
    ):
        console.say(f"{title:<13} {text}")
    if data is not None and out is not None:
        from training.evaluation.contact_sheet import contact_sheet

        check_replaceable(out, "`out`", ".png", is_ours)
        opened = _opened(name, data, channel, option)
        contact_sheet([*opened.train, *opened.validation, *opened.test], f"{entry.title}: {opened.name}", out)
        console.say(f"{out} is written")


@app.command()
def check(
    name: Name,
    *,
    data: Annotated[Path, typer.Option(help="The folder somewhere below which its files lie.")],
    channel: Channel = None,
    option: Option = None,
) -> None:
    """Say what of a data set lies below a folder, what is missing, and whether it opens.

    Exit code 0: it opens, so that train can use it; 1: it does not, and why.
    """
    from training.data.published import data_folder
    from training.errors import DataError, ImageError

    found = _found(name)
    parts = found.inventory(name, data_folder(name, data, found.published))
    rows = [[part.name, f"{part.there}", f"{part.expected}", part.lacking] for part in parts]
    console.table("", ["part", "files", "of", "missing"], rows, figures=("files", "of"))
    try:
        opened = _opened(name, data, channel, option)
    except (DataError, ImageError) as error:
        console.say(f"It does not open: {error}")
        raise typer.Exit(1) from None
    counts = ", ".join(
        f"{len(part)} for {use}"
        for part, use in ((opened.train, "training"), (opened.validation, "validation"), (opened.test, "test"))
    )
    console.say(f"It opens as {opened.name}: {counts}.")
    console.warn_some(opened.warnings())


@app.command()
def fetch(
    name: Name, *, data: Annotated[Path, typer.Option(help="The folder to put it into; it is made.", metavar="DIR")]
) -> None:
    """Download a data set and unpack it; one that broke off goes on. Some only a person may fetch: it says so."""
    from training.data.fetching import fetch

    fetch(name, _found(name).published, data, console.listener())
    console.say(f"Fetched into {data}; next: bmz-fmd data check {name} --data {data}")


def _found(name: str) -> Catalogued:
    """Return the class of a data set that is published."""
    from training.data import DATASETS
    from training.data.published import Catalogued
    from training.errors import DataError
    from training.util.text import unknown

    known = {key: made for key, made in DATASETS.items() if isinstance(made, Catalogued)}
    if name not in known:
        raise DataError(f"{name}: {unknown(name, list(known))}")
    return known[name]


def _opened(name: str, data: Path, channel: str | None, option: list[str] | None) -> ImageDataset:
    from training.data import DataSettings, open_dataset
    from training.runs.settings import Recipe, parse_changes

    options = {
        "data": data,
        **({} if channel is None else {"channel": channel}),
        **parse_changes(option or (), "--option"),
    }
    recipe = Recipe.model_validate({})
    return open_dataset(
        DataSettings(dataset=name, options=options), test_fraction=recipe.test_fraction, seed=recipe.seed
    )
