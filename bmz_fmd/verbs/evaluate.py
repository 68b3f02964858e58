"""``bmz-fmd evaluate``: scores of a run or a package on pairs of noisy and clean images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bmz_fmd import console
from bmz_fmd.options import Device, ModelPath, Pattern, Tile, Trust

if TYPE_CHECKING:
    from training.evaluation.figures import Figures
    from training.evaluation.scoring import Evaluation


_COLUMNS = (
    "image",
    "PSNR noisy,\ndenoised",
    "SSIM noisy,\ndenoised",
    "slope\nkept",
    "intensity\nkept",
    "largest\ndeviation",
)


def command(
    *,
    model: ModelPath,
    noisy: Annotated[
        Path | None, typer.Option(help="Noisy images: a folder or a file; default: the run's own test images.")
    ] = None,
    clean: Annotated[Path | None, typer.Option(help="Their clean images: a folder or a file.")] = None,
    pattern: Pattern = None,
    channel: Annotated[str | None, typer.Option(help="The channel to score: its name, or number from 0.")] = None,
    convention: Annotated[
        Literal["raw", "affine", "percentile", "minmax"],
        typer.Option(
            help="affine: noisy and denoised are first fitted to the clean image; raw: as they are; "
            "percentile: CARE's; minmax: AUTO-DIP's."
        ),
    ] = "affine",
    data_range: Annotated[
        float | None,
        typer.Option(help="Peak of PSNR and SSIM in units of the clean images; default: 255 for 8 bits.", min=0),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|NAME=PATH",
            help="Score this beside it: bm3d, gaussian, median, non-local-means, total-variation, wavelets, "
            "sparse-variational, all; careamics-n2v, careamics-care; or NAME=PATH, a run, a package, or outputs of "
            "others, a stack or folder in the test images' order. Repeatable.",
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Store all figures here.")] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Picture of residuals; default: beside --json, else in the run folder.", metavar="FILE"),
    ] = None,
    tile: Tile = None,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Score a model: PSNR and SSIM, whether it keeps intensities, and whether it invents structure.

    With --baseline also whether it was worth it: classical denoisers on the same images, the mean of each in a row of
    the table, and what the model gains over it with a 95 % interval. Their settings are searched on the run's
    validation images, or without clean ones by Stein's risk on each image.

    "slope kept" and "intensity kept" are 1 for a quantitative result. "largest deviation" is the largest deviation of
    what was removed from noise, in standard deviations: beyond 5, look at the picture of residuals.
    """
    from bmz_fmd.evaluation import score, store
    from bmz_fmd.models import model_kind, open_model
    from bmz_fmd.pairs import open_pairs
    from training.evaluation.pictures import is_ours, residual_picture
    from training.evaluation.scoring import Evaluation, images_to_show, is_result
    from training.inference.files import check_replaceable

    kind = model_kind(model)
    if json_file is not None:
        check_replaceable(json_file, "`json`", ".json", partial(is_result, of=Evaluation))
    picture = figure or _default_picture(model, kind, json_file)
    if picture is not None:
        check_replaceable(picture, "`figure`", ".png", is_ours)

    opened = open_model(model, device, trust=trust)
    pairs = open_pairs(opened, noisy, clean, pattern=pattern, channel=channel, warn=console.warn)
    with console.progress("Scoring", len(pairs.samples)) as advance:
        result = score(
            opened,
            pairs,
            convention=convention,
            data_range=data_range,
            tile=tile,
            baselines=baseline or (),
            progress=lambda: advance(1, ""),
            note=console.note,
        )
    console.warn_some(
        f"{image.name}: {difference}; its scores say little of images like those of training"
        for image in result.images
        for difference in image.unlike_training
    )
    _print(result, model)
    if json_file is not None:
        settings: dict[str, object] = {
            "noisy": None if noisy is None else str(noisy),
            "clean": None if clean is None else str(clean),
            "pattern": pattern,
            "channel": channel,
            "baselines": baseline or [],
            "tile": tile,
            "device": opened.denoiser.device,
        }
        store(json_file, opened, settings, result)
        console.note(f"figures stored in {json_file}")
    if picture is not None:
        residual_picture(
            images_to_show(result, pairs.samples, opened.denoiser, tile=tile), picture, pixel_size=pairs.pixel_size
        )
        console.note(f"picture of residuals in {picture}")


def _default_picture(model: Path, kind: str, json_file: Path | None) -> Path | None:
    if json_file is not None:
        return json_file.with_name(f"{json_file.stem}-residuals.png")
    return model / "residuals.png" if kind == "run" else None


def _print(result: Evaluation, model: Path) -> None:
    rows = [_row(image.name, image) for image in result.images]
    if len(result.images) > 1:
        rows += [(), _row("mean", result.mean), _row("sd", result.sd)]
    if result.baselines:
        rows += [(), *(_row(compared.name, compared.mean) for compared in result.baselines)]
    console.table(f"{model}, {result.counted_by}", _COLUMNS, rows)
    for finding in result.findings():
        console.say(finding)


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    pairs = (
        (f"{figures.psnr_noisy:.2f}", f"{figures.psnr_denoised:.2f}"),
        (f"{figures.ssim_noisy:.4f}", f"{figures.ssim_denoised:.4f}"),
        (f"{figures.slope_kept:.3f}",),
        (f"{figures.intensity_kept:.3f}",),
        (f"{figures.largest_deviation:.1f}",),
    )
    return (name, *(", ".join("-" if figure == "nan" else figure for figure in pair) for pair in pairs))
