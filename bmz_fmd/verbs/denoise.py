"""``bmz-fmd denoise``: a user's own images through a run or a package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmz_fmd import console
from bmz_fmd.options import (
    Baseline,
    CameraFile,
    Device,
    ModelPathOrNone,
    Network,
    NetworkSet,
    Tile,
    Trust,
    Weights,
    Yes,
    ZeroShot,
)
from bmz_fmd.verbs.zero_shot import only_with_zero_shot, zero_shot_words
from training.errors import DiskFullError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bmz_fmd.models import Model
    from training.inference.files import ImageFile

_SAID = 6  # files left out that are named


def command(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="TIFF, OME-TIFF or PNG files, or folders of them.")
    ],
    *,
    model: ModelPathOrNone = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is missing.")],
    as_float: Annotated[
        bool, typer.Option("--float", help="Write float32 instead of each image's own type: nothing is rounded.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist (never an input).")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also the images in subfolders; results keep the subfolders.")
    ] = False,
    stop_at_first_error: Annotated[
        bool, typer.Option("--stop-at-first-error", help="Let one image that cannot be denoised stop the others.")
    ] = False,
    channel: Annotated[
        str | None,
        typer.Option(help="Denoise this channel alone (name, or number from 0) and copy the others; default: all."),
    ] = None,
    tile: Tile = None,
    device: Device = "auto",
    trust: Trust = False,
    zero_shot: ZeroShot = False,
    baseline: Baseline = None,
    network: Network = None,
    network_set: NetworkSet = None,
    checkpoint: Weights = None,
    camera: CameraFile = None,
    yes: Yes = False,
) -> None:
    """Denoise images: TIFFs of the same names, with the axes, type, pixel size and metadata of the input.

    Stacks, series and channels are denoised plane by plane. All images are read before the first is computed; each
    result appears when it is whole. One that cannot be denoised is named at the end, the others are. Given again after
    an interruption, the command goes on: results that the same model made of the same images are kept.

    With --zero-shot in place of --model a published denoiser is calibrated on the images themselves, once for all;
    zero_shot_HASH.json beside the results says how. With --baseline a classical method does it, by the noise that each
    plane shows.

    Exit code 0: all are denoised; 1: some could not be; 2: bad input, nothing is denoised.
    """
    from training.images import check_writable, open_image, write_image
    from training.inference.denoising import denoise, plane_count
    from training.inference.files import check_space, images_in, left_out, results_for, unfinished
    from training.inference.record import Record
    from training.util.text import counted
    from training.util.writing import clear_parts, write_text

    if [model is not None, zero_shot, baseline is not None].count(True) != 1:
        raise UserError(
            "say what denoises: either --model PATH, or --zero-shot for published weights without training, or "
            "--baseline NAME for a classical method"
        )
    sources = images_in(images, recursive=recursive, out=out)
    _say_left_out(left_out(images, recursive=recursive))
    results = results_for(sources, out)
    weights = {"network": network, "network_set": network_set, "checkpoint": checkpoint, "camera": camera}
    opened = _opened(model, baseline, sources, channel=channel, device=device, trust=trust, yes=yes, weights=weights)
    denoiser, dtype = opened.denoiser, "float32" if as_float else None
    denoiser.tiled(tile)  # a size that does not work is said before the images are read
    record = Record(out, {"model_sha256": opened.sha256, "channel": channel, "tile": tile, "dtype": dtype})
    left = unfinished(sources, results, record, overwrite=overwrite)
    if len(left) < len(sources):
        console.note(f"{counted(len(sources) - len(left), 'image')} denoised before with this model, kept as they are")
    failed = _Failed(stop=stop_at_first_error or len(sources) == 1)

    stacks: dict[Path, xr.DataArray] = {}
    unlike: list[str] = []
    with console.progress("Reading", len(left)) as advance:
        for source, _ in left:
            with failed.noting(source):
                stack = open_image(source)
                check_writable(stack, dtype)
                denoise(stack, denoiser, tile=tile, channel=channel)  # lazy: judges the channel alone
                unlike += _differences(stack, opened, channel)
                stacks[source] = stack
            advance(1, source.name)
    _say_what_was_seen(stacks, unlike, channel)
    check_space(out, sum(stack.size * (4 if as_float else stack.dtype.itemsize) for stack in stacks.values()))

    for folder in {result.parent for _, result in left}:
        clear_parts(folder)
    if zero_shot and left and opened.provenance is not None:  # no model is left that would tell
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / f"zero_shot_{opened.sha256[:12]}.json", opened.provenance.model_dump_json(indent=2) + "\n")
    with console.progress("Denoising", sum(plane_count(stack) for stack in stacks.values())) as advance:
        for source, result in left:
            if source not in stacks:
                continue
            with failed.noting(source):
                step = lambda planes, name=result.name: advance(planes, name)  # noqa: E731
                denoised = denoise(stacks[source], denoiser, tile=tile, channel=channel, progress=step)
                note = partial(record.add, source, result)
                write_image(result, denoised, like=stacks[source], dtype=dtype, overwrite=overwrite, written=note)
    done = f"{counted(len(left) - len(failed.reasons), 'image')} denoised into {out}"
    console.say(done if left else f"all results in {out} are kept: nothing was left to denoise")
    failed.say(len(sources))


def _opened(
    model: Path | None,
    baseline: str | None,
    sources: Sequence[ImageFile],
    *,
    channel: str | None,
    device: str,
    trust: bool,
    yes: bool,
    weights: dict[str, Any],
) -> Model:
    """Return the model or the baseline that is named, or published weights calibrated on the images."""
    import bmz_fmd
    from bmz_fmd.models import open_model

    if baseline is not None:
        only_with_zero_shot({**weights, "camera": None})
        return bmz_fmd.baseline(baseline, camera=weights["camera"])
    if model is not None:
        only_with_zero_shot(weights)
        return open_model(model, device, trust=trust)
    words = zero_shot_words(**weights, device=device, yes=yes)
    return bmz_fmd.zero_shot([source.path for source in sources], channel=channel, **words)


class _Failed:
    """The images that could not be denoised, and why; with ``stop`` the first is raised."""

    def __init__(self, *, stop: bool) -> None:
        self._stop = stop
        self.reasons: list[str] = []

    @contextmanager
    def noting(self, source: Path) -> Iterator[None]:
        """Go on after an image that cannot be denoised; not where the disk is full."""
        try:
            yield
        except (UserError, OSError) as error:
            reason = str(error) if str(source) in str(error) else f"{source}: {error}"
            if isinstance(error, DiskFullError) or (self._stop and isinstance(error, OSError)):
                raise
            if self._stop:
                raise UserError(reason) from None
            self.reasons.append(reason)

    def say(self, images: int) -> None:
        """Name them, and end with exit code 1 if there are any."""
        from training.util.text import counted

        if self.reasons:
            console.note(f"bmz-fmd: {len(self.reasons)} of {counted(images, 'image')} could not be denoised:")
            for reason in self.reasons:
                console.note(console.one_line(reason))
            raise typer.Exit(1)


def _say_left_out(others: Sequence[Path]) -> None:
    from training.util.text import counted

    if others:
        names = ", ".join([*(path.name for path in others[:_SAID]), *(["..."] if others[_SAID:] else [])])
        verb = "is" if len(others) == 1 else "are"
        console.note(f"{counted(len(others), 'file')} {verb} no TIFF or PNG and {verb} left out: {names}")


def _differences(stack: xr.DataArray, model: Model, channel: str | None) -> list[str]:
    """Read an image once, so that a damaged one is known now, and return in what it is unlike those of training."""
    from training.images import channel_number
    from training.inference.statistics import image_statistics

    numbers = range(stack.sizes["C"]) if "C" in stack.dims else [None]
    chosen = None if channel is None else channel_number(stack, channel)
    found = []
    for number in numbers:
        wanted = chosen in (None, number)
        seen = image_statistics(stack if number is None else stack.isel(C=[number]), model.camera if wanted else None)
        if model.trained_on is not None and wanted:
            label = "" if number is None else f", channel {number}"
            found += [f"{stack.attrs['path']}{label}: {each}" for each in seen.differences(model.trained_on)]
    return found


def _say_what_was_seen(stacks: Mapping[Path, xr.DataArray], unlike: Sequence[str], channel: str | None) -> None:
    console.warn_some(f"{difference}; look at the result with care" for difference in unlike)
    several = [stack for stack in stacks.values() if stack.sizes.get("C", 1) > 1]
    if several and channel is None:
        console.note(
            f"{several[0].attrs['path']} has {several[0].sizes['C']} channels: all are denoised; "
            "--channel N denoises one and copies the others"
        )
