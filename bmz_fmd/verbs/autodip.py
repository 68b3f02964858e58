"""``bmz-fmd autodip``: denoising from one image alone, by a network that is fitted to it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bmz_fmd import console
from bmz_fmd.options import Device, Pattern

if TYPE_CHECKING:
    import xarray as xr

    from training.prior.denoising import Stage

_PREVIEW = 100  # iterations between pictures


class _ImagesByDefault(typer.core.TyperGroup):
    """Takes ``autodip IMAGE...`` as ``autodip denoise IMAGE...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 its type is not public
        """Put the name of the first command before words that name none."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["denoise", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ImagesByDefault,
    help="Denoise images without training data, a network fitted to each (deep image prior as AUTO-DIP sets it): "
    "bmz-fmd autodip IMAGE... --out FOLDER. Minutes to hours an image.",
    no_args_is_help=True,
)

Microscope = Annotated[str | None, typer.Option(help="confocal, two-photon or widefield.")]
Specimen = Annotated[str | None, typer.Option(help="actin, mito, nucleus, or what your calibration calls it.")]


@app.command()
def denoise(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="TIFF, OME-TIFF or PNG files, or folders of them.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is missing.")],
    microscope: Microscope = None,
    specimen: Specimen = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A table of autodip calibrate instead of AUTO-DIP's.", metavar="TABLE.csv")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Take what was best for the calibration image that is nearest by mae, mse, psnr, ssim, lpips, "
            "gradient or embedding; with --microscope or --specimen, within that group."
        ),
    ] = None,
    best_for: Annotated[
        str, typer.Option(help="Which of AUTO-DIP's tables: lpips_psnr, lpips, psnr, ssim, mse, mae.")
    ] = "lpips_psnr",
    depth: Annotated[int | None, typer.Option(min=1, max=10, help="Set the depth by hand.")] = None,
    width: Annotated[str | None, typer.Option(help="Channels of each scale, or asc_to512.")] = None,
    skip: Annotated[int | None, typer.Option(min=0, help="Channels that skip the deeper scales.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Set the number of iterations by hand.")] = None,
    original: Annotated[
        bool, typer.Option("--original", help="Noise on the input and averaging, as in the paper of 2020.")
    ] = False,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="Stop where results settle (moving variance), at the latest at 3000."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pixels.")] = 0,
    channel: Annotated[str | None, typer.Option(help="Denoise this channel alone and copy the others.")] = None,
    as_float: Annotated[bool, typer.Option("--float", help="Write float32 instead of each image's own type.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist, never an input.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help=f"Draw the panel every {_PREVIEW} iterations.")] = False,
    device: Device = "auto",
) -> None:
    """Denoise images, each by networks that are fitted to it: plane by plane, in tiles of 512 pixels.

    Beside each result lie NAME.autodip.json, which says how it was made, and the picture NAME.autodip.png. Given again
    after an interruption, the command goes on with the images that are left.
    """
    from bmz_fmd.prior import MOST, SMALL, Chooser, is_small, options_for
    from training.images import check_writable, open_image, write_image
    from training.inference.denoiser import of_planes
    from training.inference.denoising import denoise as over_planes
    from training.inference.files import check_space, images_in, results_for, unfinished
    from training.inference.record import Record
    from training.prior.denoising import denoise_plane
    from training.util.devices import choose_device
    from training.util.hashing import sha256
    from training.util.text import counted
    from training.util.writing import clear_parts

    sources = images_in(images, out=out)
    results = results_for(sources, out)
    device = choose_device(device)
    options = options_for(original=original, stop=stop)
    by_hand = {"depth": depth, "width": width, "skip": skip, "iterations": iterations or (MOST if stop else None)}
    words = {"microscope": microscope, "specimen": specimen, "metric": metric, "best_for": best_for}
    chooser = Chooser(calibration, by_hand, words)
    settings = {
        **chooser.settings(), **by_hand, "original": original, "stop": stop, "seed": seed, "channel": channel,
        "dtype": "float32" if as_float else None,
    }  # fmt: skip
    left = unfinished(sources, results, Record(out, settings), overwrite=overwrite)
    if len(left) < len(sources):
        console.note(f"{counted(len(sources) - len(left), 'image')} denoised so before, kept as they are")
    stacks, steps, said = {}, 0, set()
    for source, result in left:
        stack = stacks[source] = open_image(source)
        check_writable(stack, settings["dtype"])
        _check_picture(_beside(result, "png"))
        for choice in chooser.every(stack, channel):
            steps += choice.configuration.iterations * chooser.tiles(stack, choice)
            if str(choice) not in said:
                said.add(str(choice))
                console.say(str(choice))
    if not (iterations or stop or calibration):
        for name in [source.name for source, stack in stacks.items() if is_small(stack.shape)][:1]:
            console.warn(f"{name} {SMALL}")
    check_space(out, sum(stack.size * (4 if as_float else stack.dtype.itemsize) for stack in stacks.values()))
    for folder in {result.parent for _, result in left}:
        clear_parts(folder)
    with console.progress("Fitting", steps) as advance:
        for source, result in left:
            began, stack = time.perf_counter(), stacks[source]
            picture = _Picture(_beside(result, "png"), stack)

            def tell(number: int, loss: float, name: str = source.name) -> None:
                advance(1, f"{name}, iteration {number}, loss {loss:.3g}")

            def plane(noisy: Any, picture: _Picture = picture, tell: Any = tell) -> Any:  # noqa: ANN401
                made = denoise_plane(
                    noisy, chooser(noisy).configuration, seed=seed, options=options, device=device, tell=tell,
                    every=_PREVIEW if preview else 0, watch=picture.watch,
                )  # fmt: skip
                picture.draw(noisy, made)
                return made

            denoised = over_planes(stack, of_planes(plane, device), channel=channel)
            note = partial(Record(out, settings).add, source, result)
            write_image(result, denoised, like=stack, dtype=settings["dtype"], overwrite=overwrite, written=note)
            facts = {
                "input": str(source),
                "input_sha256": sha256(source),
                "method": "deep image prior as AUTO-DIP sets it",
                "configurations": sorted({str(choice) for choice in chooser.every(stack, channel)}),
                "device": device,
                "seconds": round(time.perf_counter() - began, 1),
            }
            _write_how(_beside(result, "json"), settings, facts)
    done = f"{counted(len(left), 'image')} denoised into {out}"
    console.say(done if left else f"all results in {out} are kept: nothing was left to denoise")


@app.command()
def calibrate(
    noisy: Annotated[Path, typer.Option(help="Folder of noisy images.")],
    clean: Annotated[Path, typer.Option(help="Folder of the clean ones, of the same names.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write.", metavar="TABLE.csv")],
    *,
    pattern: Pattern = None,
    channel: Annotated[str | None, typer.Option(help="The channel to take, by name or number.")] = None,
    microscope: Annotated[str, typer.Option(help="What the images were taken with; noted in the table.")] = "",
    specimen: Annotated[str, typer.Option(help="What they show; noted in the table.")] = "",
    depths: Annotated[str, typer.Option(help="Depths to try.")] = "4,5,6,7,8",
    widths: Annotated[str, typer.Option(help="Widths to try.")] = "16,32,64,128,256,asc_to512",
    skips: Annotated[str, typer.Option(help="Numbers of skip channels to try.")] = "0,4",
    iterations: Annotated[int, typer.Option(min=1, help="The most iterations.")] = 3000,
    every: Annotated[int, typer.Option(min=1, help="Iterations between stopping points.")] = 100,
    by: Annotated[str, typer.Option(help="Rank by psnr, lpips or both; LPIPS where its weights are.")] = "psnr,lpips",
    convention: Annotated[
        str, typer.Option(help="affine: results are first fitted to the clean image; raw: as they are.")
    ] = "affine",
    seed: Annotated[int, typer.Option(min=0, help="Of every fit.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers fit instead: tcp://host:8786.", metavar="ADDRESS")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Find the best configurations on your own pairs of noisy and clean images: hours to days for the whole grid.

    Writes the table that --calibration reads. Given again after an interruption, it goes on; with more images or a
    larger grid it computes what is new.
    """
    from training.data.sets.folders import FolderOptions, read_folders
    from training.errors import SettingError
    from training.inference.files import check_replaceable
    from training.prior.calibration import Grid
    from training.prior.calibration import calibrate as search
    from training.prior.tables import is_table, read_table
    from training.util.devices import choose_device

    check_replaceable(out, "`out`", ".csv", is_table)
    if convention not in ("raw", "affine"):
        raise SettingError(f"`convention` {convention}: choose from raw, affine")
    tried = (given.split(",") for given in (depths, widths, skips))
    numbers = [tuple(int(word) if word.isdigit() else word for word in words) for words in tried]
    depth_values, width_values, skip_values = cast(Any, numbers)
    grid = Grid(depth_values, width_values, skip_values, iterations, every)
    if every > iterations:
        raise SettingError(f"`every` {every} is beyond `iterations` {iterations}: there would be no stopping point")
    found = read_folders(FolderOptions(noisy=noisy, clean=clean, pattern=pattern, channel=channel))
    for line in found.notes:
        console.warn(line)
    search(
        found.samples, out, grid, microscope=microscope, specimen=specimen, by=tuple(by.split(",")),
        convention=cast(Any, convention), seed=seed, workers=workers, scheduler=scheduler, device=choose_device(device),
        listener=console.listener(),
    )  # fmt: skip
    settings = {
        "noisy": str(noisy), "clean": str(clean), "pattern": pattern, "channel": channel, "microscope": microscope,
        "specimen": specimen, "depths": depths, "widths": widths, "skips": skips, "iterations": iterations,
        "every": every, "by": by, "convention": convention, "seed": seed,
    }  # fmt: skip
    _write_how(out.with_suffix("") / "calibration.json", settings, {"images": len(found.samples), "device": device})
    table = read_table(out)
    console.say(f"best over {len(table.names())} images: {table.best(table.names())}; table in {out}")


class _Picture:
    """The panel of an image: its first plane, before and after."""

    def __init__(self, path: Path, stack: xr.DataArray) -> None:
        self._path, self._stack = path, stack
        self._done = False

    def watch(self, stage: Stage) -> None:
        """Draw how far the first plane is."""
        if not self._done:
            self._write(stage.noisy, stage.so_far)

    def draw(self, noisy: Any, denoised: Any) -> None:  # noqa: ANN401
        """Draw the first plane when it is done."""
        if not self._done:
            self._write(noisy, denoised)
            self._done = True

    def _write(self, noisy: Any, denoised: Any) -> None:  # noqa: ANN401
        from training.evaluation.pictures import Shown, panel

        size = self._stack.attrs["resolution"]
        shown = Shown(self._stack.attrs["path"].name, noisy, denoised)
        panel([shown], self._path, pixel_size=tuple(size) if size else None)


def _beside(result: Path, ending: str) -> Path:
    return result.with_name(f"{result.stem}.autodip.{ending}")


def _check_picture(path: Path) -> None:
    from training.evaluation.pictures import is_ours
    from training.inference.files import check_replaceable

    check_replaceable(path, "`out`", ".png", is_ours)


def _write_how(path: Path, settings: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write how a result or a table was made."""
    import json

    from training.runs.provenance import now, versions
    from training.util.writing import write_text

    content = {**facts, "settings": settings, "versions": versions(), "created": now()}
    write_text(path, json.dumps(content, indent=2) + "\n")
