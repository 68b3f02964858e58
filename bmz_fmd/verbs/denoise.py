"""``bmz-fmd denoise``: a user's own images through a run or a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.options import Device, ModelPath, Tile, Trust

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from training.inference.denoiser import Denoiser

_SAID = 6  # images whose warnings are printed one by one


def command(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="TIFF, OME-TIFF or PNG files, or folders of them.", show_default=False),
    ],
    *,
    model: ModelPath,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; made if it is missing.", show_default=False)
    ],
    as_float: Annotated[
        bool, typer.Option("--float", help="Write float32 instead of each image's own type: nothing is rounded.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist (never an input).")
    ] = False,
    channel: Annotated[
        str | None,
        typer.Option(help="Denoise this channel alone (name, or number from 0) and copy the others; default: all."),
    ] = None,
    tile: Tile = None,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Denoise images: TIFFs of the same names, with the axes, type, pixel size and metadata of the input.

    Stacks, series and channels are denoised plane by plane. Everything is checked before the first image is computed;
    each result appears when it is whole.
    """
    from bmz_fmd.models import open_model
    from training.images import check_writable, open_image, write_image
    from training.inference.denoising import denoise, plane_count
    from training.inference.files import check_space, images_in, results_for
    from training.util.writing import clear_parts

    sources = images_in(images)
    results = results_for(sources, out, overwrite=overwrite)
    stacks = [open_image(source) for source in sources]
    dtype = "float32" if as_float else None
    check_space(out, sum(stack.size * (4 if as_float else stack.dtype.itemsize) for stack in stacks))
    denoiser = open_model(model, device, trust=trust).denoiser
    for stack in stacks:
        check_writable(stack, dtype)
        denoise(stack, denoiser, tile=tile, channel=channel)  # lazy: judges tile and channel alone
    _look_at(stacks, denoiser, channel)

    clear_parts(out)
    with console.progress("Denoising", sum(plane_count(stack) for stack in stacks)) as advance:
        for stack, result in zip(stacks, results, strict=True):
            denoised = denoise(stack, denoiser, tile=tile, channel=channel, progress=_step(advance, result.name))
            write_image(result, denoised, like=stack, dtype=dtype, overwrite=overwrite)
    console.say(f"{len(results)} {'image' if len(results) == 1 else 'images'} denoised into {out}")


def _step(advance: Callable[[float, str], None], name: str) -> Callable[[int], None]:
    return lambda planes: advance(planes, name)


def _look_at(stacks: list[xr.DataArray], denoiser: Denoiser, channel: str | None) -> None:
    """Read every image once, so that a damaged one stops the work now, and warn where one is unlike training."""
    from training.images import channel_number
    from training.inference.denoising import plane_count
    from training.inference.statistics import image_statistics

    told = 0
    with console.progress("Reading", sum(plane_count(stack) for stack in stacks)) as advance:
        for stack in stacks:
            parts = {"": stack}
            if "C" in stack.dims:
                numbers = range(stack.sizes["C"])
                parts = {f", channel {number}": stack.isel(C=[number]) for number in numbers}
                chosen = None if channel is None else f", channel {channel_number(stack, channel)}"
            for label, part in parts.items():
                seen = image_statistics(part)
                advance(plane_count(part), stack.attrs["path"].name)
                if denoiser.trained_on is None or ("C" in stack.dims and chosen not in (None, label)):
                    continue
                for difference in seen.differences(denoiser.trained_on):
                    told += 1
                    if told <= _SAID:
                        console.warn(f"{stack.attrs['path']}{label}: {difference}; look at the result with care")
    if told > _SAID:
        console.warn(f"and {told - _SAID} more like these")
    several = [stack for stack in stacks if "C" in stack.dims and stack.sizes["C"] > 1]
    if several and channel is None:
        console.note(
            f"{several[0].attrs['path']} has {several[0].sizes['C']} channels: all are denoised; "
            "--channel N denoises one and copies the others"
        )
