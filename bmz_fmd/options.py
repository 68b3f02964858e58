"""Options that several verbs share, each with its one wording."""

from pathlib import Path
from typing import Annotated

import typer

from bmz_fmd import console


def fetched(words: str) -> Path:
    """Return the path of a run or package; what is named by an address, or by its name in the zoo, is fetched first."""
    from bmz_export.remote import fetch_package

    return fetch_package(words, console.listener())


MODEL_HELP = "A run folder, a package folder or its zip, or bioimage.io/NAME."
_MODEL = typer.Option("--model", "-m", parser=fetched, metavar="PATH", help=MODEL_HELP)
ModelPath = Annotated[Path, _MODEL]
ModelPathOrNone = Annotated[Path | None, _MODEL]
Tile = Annotated[
    int | None, typer.Option(min=1, help="Side of the tiles in pixels, halo included; default: as memory allows.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run Python of a package that has a state dict alone.")]
Pattern = Annotated[
    str | None,
    typer.Option(help="NOISY=CLEAN, how names of a pair differ: {}_low.tif={}_high.tif."),
]
ZeroShot = Annotated[
    bool,
    typer.Option(
        "--zero-shot", help="No training: published weights, calibrated on the noisy images alone. One is enough."
    ),
]
Network = Annotated[
    str | None, typer.Option(help="drunet, restormer, kbnet or dncnn (quick on a CPU). [default: drunet]")
]
NetworkSet = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="Its settings, such as depth=8 and width=32 of dncnn.")
]
Weights = Annotated[
    str | None, typer.Option("--checkpoint", metavar="NAME|FILE", help="Its weights. [default: the published ones]")
]
CameraFile = Annotated[
    Path | None, typer.Option("--camera", help="What camera measure wrote. [default: measured on the noisy images]")
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A classical denoiser in place of a model: bm3d, gaussian, median, non-local-means, total-variation, "
        "wavelets, sparse-variational.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Fetch the published weights without asking.")]
Engines = Annotated[
    str, typer.Option(help="Engines to run: names with commas, all (that are installed), or none.", metavar="NAMES")
]
RunPython = Annotated[bool, typer.Option("--trust", help="Run the package's own Python (architecture file).")]
Tiles = Annotated[bool, typer.Option("--tiles", help="Also tile an image of 800 x 620 as each tool does.")]
Timeout = Annotated[
    float,
    typer.Option(min=1, help="Seconds of processor time for each engine and weights format.", metavar="SECONDS"),
]


def engine_names(words: str) -> list[str] | None:
    """Return the names of ``--engines``; None for all."""
    return None if words == "all" else [] if words == "none" else [name.strip() for name in words.split(",")]
