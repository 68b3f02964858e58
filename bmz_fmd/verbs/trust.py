"""``bmz-fmd trust``: whether the results of a run or a package can be believed, without clean images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.judging import SHARE
from bmz_fmd.options import MODEL_HELP, Device, Pattern, Tile, Trust, fetched

if TYPE_CHECKING:
    from training.evaluation.trust import Judged, Judgement


_COLUMNS = ("image", "verdict", "structure", "bias", "variance\nremoved", "disagree-\nment")


def command(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", parser=fetched, help=MODEL_HELP),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Noisy TIFF, OME-TIFF or PNG files, or folders of them.")
    ],
    *,
    clean: Annotated[
        Path | None, typer.Option(help="Clean images of the same names: an error bar is fixed and checked with them.")
    ] = None,
    pattern: Pattern = None,
    channel: Annotated[str | None, typer.Option(help="The channel to judge: its name, or number from 0.")] = None,
    share: Annotated[
        float, typer.Option(help="Part of the clean pixels that the error bar is to hold.", min=0, max=1)
    ] = SHARE,
    limit: Annotated[
        int, typer.Option(min=0, help="Judge at most so many planes, evenly spread over all; 0: every one.")
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for a picture of each image; default: trust/ in the run's folder."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Store all figures here.")] = None,
    tile: Tile = None,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Judge results without clean images: green, amber or red, and why.

    "structure" is the largest value of the smoothed residual, "bias" the largest mean of the residual at any intensity
    and "disagreement" that of the results of turned inputs, all in standard deviations of the noise; "variance removed"
    is that of the residual as a multiple of the camera's noise. Look at the pictures before you believe a red or amber
    image; green says that nothing was found, not that there is nothing.

    Exit code 0: all green or amber; 1: an image is red; 2: bad input.
    """
    from bmz_fmd.evaluation import store
    from bmz_fmd.judging import judge, open_images
    from bmz_fmd.models import model_kind, open_model
    from training.evaluation.pictures import is_ours
    from training.evaluation.scoring import is_result
    from training.evaluation.trust import Trust, judged_picture
    from training.inference.files import check_replaceable

    kind = model_kind(model)
    if json_file is not None:
        check_replaceable(json_file, "`json`", ".json", lambda path: is_result(path, Trust))
    samples = open_images(images, clean, pattern=pattern, channel=channel, limit=limit)
    folder = out or (model / "trust" if kind == "run" else None)
    if folder is not None:
        for sample in samples:
            check_replaceable(folder / f"{sample.name}.png", "`out`", ".png", is_ours)
    opened = open_model(model, device, trust=trust)

    with console.progress("Judging", len(samples)) as advance:

        def each(judged: Judged) -> None:
            if folder is not None:
                judged_picture(judged, folder / f"{judged.judgement.name}.png")
            advance(1, judged.judgement.name)

        result = judge(opened, samples, share=None if clean is None else share, tile=tile, each=each)
    console.table(str(model), _COLUMNS, [_row(image) for image in result.images], figures=_COLUMNS[2:])
    for image in result.images:
        console.say(image.sentence())
        for note in image.notes:
            console.note(f"{image.name}: {note}")
    if result.interval is not None:
        console.say(result.interval.sentence())
    if json_file is not None:
        settings = {
            "images": [str(path) for path in images],
            "clean": None if clean is None else str(clean),
            "pattern": pattern,
            "channel": channel,
            "limit": limit,
            "tile": tile,
            "device": opened.denoiser.device,
        }
        store(json_file, opened, settings, result)
        console.note(f"figures stored in {json_file}")
    if folder is not None:
        console.note(f"pictures in {folder}")
    if result.verdict == "red":
        raise typer.Exit(1)


def _row(image: Judgement) -> tuple[str, ...]:
    measures = image.measures
    if measures is None:
        return (image.name, image.verdict, "-", "-", "-", "-")
    return (
        image.name,
        image.verdict,
        f"{measures.structure.largest:.1f}",
        f"{max(measures.intensity.bias, key=abs):.2f}",
        f"{sorted(measures.intensity.variance)[len(measures.intensity.variance) // 2]:.2f}",
        "-" if measures.disagreement is None else f"{measures.disagreement.largest:.2f}",
    )
