"""``bmz-fmd export``: a run becomes a model package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmz_fmd import console
from bmz_fmd.options import (
    CameraFile,
    Device,
    Engines,
    Network,
    NetworkSet,
    Timeout,
    Weights,
    Yes,
    ZeroShot,
    engine_names,
)
from bmz_fmd.verbs.zero_shot import only_with_zero_shot, zero_shot_words

if TYPE_CHECKING:
    from training.runs.run import Run


def command(
    *,
    dataset: Annotated[
        str | None, typer.Option(help="Export the newest run that was trained on this data set.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Export this run folder, such as runs/NAME.")] = None,
    zero_shot: ZeroShot = False,
    noisy: Annotated[
        Path | None, typer.Option(help="With --zero-shot: your noisy images, a folder, a file or a stack.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="With --zero-shot: the channel, its name or number from 0.")
    ] = None,
    network: Network = None,
    network_set: NetworkSet = None,
    checkpoint: Weights = None,
    camera: CameraFile = None,
    yes: Yes = False,
    device: Device = "auto",
    name: Annotated[str | None, typer.Option(help="Name of the package; default: that of the run.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the package and its zip.")] = Path("packages"),
    author: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME; AFFILIATION; ORCID'",
            help="An author; again for each further one. Affiliation and ORCID may be left out.",
        ),
    ] = None,
    cite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'TEXT | DOI or address'",
            help="How to cite the model; again for each further citation. The network's paper is added.",
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="SPDX", help="Such as CC-BY-4.0; default: the checkpoint's.")
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="The same and more as YAML: title, description, authors, cite, license, tags, version.",
        ),
    ] = None,
    example: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The image that becomes the public example; default: a test image."),
    ] = None,
    engines: Engines = "all",
    timeout: Timeout = 300,
) -> None:
    """Export a run as a bioimage.io model package for Fiji, QuPath, ilastik, Python and the browser.

    With --zero-shot --noisy DIR there is no training: published weights, calibrated on your noisy images.

    Writes NAME/ and NAME.zip; a package of that name from an earlier export is replaced when the new one is whole.
    """
    from training.errors import UserError
    from training.runs.run import newest_run, open_run

    if (dataset is not None) + (run is not None) + zero_shot != 1:
        raise UserError("say what to export: either --dataset NAME, --run DIR, or --zero-shot --noisy DIR")
    weights: dict[str, Any] = {
        "network": network,
        "network_set": network_set,
        "checkpoint": checkpoint,
        "camera": camera,
    }
    if zero_shot:
        source = _calibrated(noisy, channel=channel, name=name, device=device, yes=yes, **weights)
    else:
        only_with_zero_shot({**weights, "noisy": noisy, "channel": channel})
        source = newest_run(dataset) if dataset is not None else open_run(run or Path())
    hand_over(
        source,
        name=name,
        out=out,
        authors=author or (),
        cite=cite or (),
        license=licence,
        about=about,
        example=example,
        engines=engine_names(engines),
        timeout=timeout,
    )


def _calibrated(noisy: Path | None, **words: Any) -> Run:  # noqa: ANN401 those of ``zero_shot_words``
    """Make a run whose weights are published ones, calibrated on noisy images alone."""
    import bmz_fmd
    from bmz_fmd.calibrated import summary
    from training.errors import UserError

    if noisy is None:
        raise UserError("--zero-shot calibrates on your noisy images: give --noisy DIR")
    name, channel = words.pop("name"), words.pop("channel")
    run = bmz_fmd.train(noisy, name=name, channel=channel, method="zero_shot", **zero_shot_words(**words))
    console.note(summary(run.provenance, len(run.provenance.data.splits["train"])))
    return run


def hand_over(source: Run, **words: Any) -> None:  # noqa: ANN401 those of bmz_fmd.export
    """Export a run in the words of ``bmz_fmd.export``, and show the certificate.

    Raises
    ------
    typer.Exit
        With code 1 when a tool would fail or show other pixels; the package and its certificate are there all the same.
    """
    import bmz_fmd
    from bmz_export.checking.certificate import NAME, Certificate
    from bmz_fmd.verbs.check import show

    chosen = words.get("engines")
    then = "then the engine of every tool that is installed" if chosen is None else f"then {', '.join(chosen)}"
    console.note(f"Exporting {source.folder}: three weights formats, {then if chosen != [] else 'no engine is run'}")
    exported = bmz_fmd.export(source, log=console.note, **words)
    certificate = Certificate.read(exported.folder / NAME)
    assert certificate is not None
    show(certificate)
    console.say(f"{exported.archive} (unpacked: {exported.folder})")
    for what in exported.missing:
        console.note(f"To be filled in before you publish: {what}")
    if certificate.exit_code:
        raise typer.Exit(certificate.exit_code)
