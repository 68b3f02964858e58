"""``bmz-fmd train``: noisy images, with clean ones or alone, become a run folder with a fine-tuned network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.options import Device, Pattern

if TYPE_CHECKING:
    from training.checkpoints import Checkpoint


def command(
    *,
    dataset: Annotated[
        str | None, typer.Option(help="A data set by name: nucleus, membrane, ..., or simulated.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The folder somewhere below which its files lie.")] = None,
    noisy: Annotated[Path | None, typer.Option(help="Your noisy images: a folder, or one stack.")] = None,
    clean: Annotated[Path | None, typer.Option(help="Your clean images, of the same names, if there are any.")] = None,
    pattern: Pattern = None,
    channel: Annotated[str | None, typer.Option(help="The channel that trains: its name, or number from 0.")] = None,
    preparation: Annotated[str | None, typer.Option(help="Of a named data set: whole, quarter or c-quarter.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of a named data set (simulated: images=40, size=256)."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="drunet, restormer, kbnet or dncnn (quick on a CPU). [default: drunet]")
    ] = None,
    network_set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Its settings, such as depth=8 and width=32 of dncnn.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|none", help="Weights to start from; none: from scratch. [default: the published ones]"
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="How to train. [default: the network's own recipe]")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How it learns: supervised, noise2noise, noise2void, n2v2, ... [default: supervised with "
            "clean images, else by frames and noise]"
        ),
    ] = None,
    camera: Annotated[
        Path | None,
        typer.Option(help="What camera measure wrote. [default: measured on the noisy images]"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Over the recipe: epochs, batch, crop, lr, decay_factor, decay_epochs, decay_limit, loss, alpha, "
            "augment, test_fraction, seed, intensity_fit, transform, statistics, sigma.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the run folder below runs/. [default: data set, network, date]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run of this name.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Fetch the published weights without asking.")] = False,
    device: Device = "auto",
    devices: Annotated[int | None, typer.Option(min=1, help="How many GPUs. [default: all]")] = None,
) -> None:
    """Fine-tune a denoiser on noisy images, with clean ones or without; the result is a folder below runs/."""
    import bmz_fmd
    from training.runs.settings import Recipe, parse_changes
    from training.util.text import counted

    run = bmz_fmd.train(
        noisy,
        clean,
        name=name,
        network=network,
        network_settings=parse_changes(network_set or (), "--network-set"),
        checkpoint=checkpoint,
        recipe=recipe,
        method=method,
        camera=camera,
        dataset=dataset,
        data=data,
        pattern=pattern,
        channel=channel,
        preparation=preparation,
        options=parse_changes(option or (), "--option") or None,
        device=device,
        devices=devices,
        resume=resume,
        fetch=yes or ask,
        listener=console.listener(),
        **parse_changes(changes or (), "--set", list(Recipe.model_fields)),
    )
    scores = run.provenance.scores.get("affine")
    if scores is not None:
        several = scores.images > 1
        console.table(
            f"{run.folder}: {counted(scores.images, 'test image')}, affine convention, peak {scores.data_range:g}",
            ["", "PSNR in dB", "SSIM"],
            [
                [
                    title,
                    f"{score.psnr:.2f}{f' ± {score.psnr_std:.2f}' if several else ''}",
                    f"{score.ssim:.3f}{f' ± {score.ssim_std:.3f}' if several else ''}",
                ]
                for title, score in (
                    ("noisy", scores.noisy),
                    ("calibrated, before training", scores.start),
                    (f"trained, epoch {run.provenance.best_epoch}", scores.denoised),
                )
            ],
        )
    console.say(f"See {run.folder / 'panel.png'}; next: bmz-fmd export --run {run.folder}")


def ask(checkpoint: Checkpoint) -> bool:
    """Ask the person at the terminal, if there is one, whether published weights may be fetched."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm(f"Fetch {checkpoint.summary}?", default=True, err=True)
