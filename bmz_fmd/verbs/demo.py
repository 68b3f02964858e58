"""``bmz-fmd demo``: train, export and check once, on simulated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bmz_fmd import console


def command(
    name: Annotated[
        str | None, typer.Option(help="Of the run and the package. [default: simulated, network, date]")
    ] = None,
) -> None:
    """Train a narrow DnCNN on simulated images, export it and check it: about two minutes on two cores.

    Leaves a run below runs/ and a package below packages/, as train and export would.
    """
    import bmz_fmd
    from bmz_fmd.verbs import export

    run = bmz_fmd.train(
        dataset="simulated",
        network="dncnn",
        network_settings={"depth": 8, "width": 32},
        checkpoint="none",
        name=name,
        epochs=20,
        crop=96,
        lr=1e-3,
        decay_epochs=3,
        listener=console.listener(),
    )
    scores = run.provenance.scores["affine"]
    export.hand_over(run, license="CC0-1.0")  # QuPath's window asks for one
    console.say(
        f"PSNR of the test images: noisy {scores.noisy.psnr:.1f} dB, denoised {scores.denoised.psnr:.1f} dB. Look at:\n"
        f"  {run.folder / 'panel.png'}  before and after, and what was taken away\n"
        f"  {run.folder / 'curves.png'}  how it was learned\n"
        f"  {Path('packages') / run.name / 'README.md'}  what a user of the package reads, with the table above\n"
        "Then your own images: bmz-fmd train --noisy DIR --clean DIR"
    )
