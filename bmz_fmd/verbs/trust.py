"""``bmz-fmd trust``: whether the results of a run or a package can be believed, without clean images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bmz_fmd import console
from bmz_fmd.judging import SHARE
from bmz_fmd.options import MODEL_HELP, Device, Pattern, Tile, Trust, fetched

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from training.evaluation.trust import Interval, Judged, Judgement


_BAR = "_error_bar.tif"
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
    interval: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What --json stored of a call with --clean: its error bar is drawn."),
    ] = None,
    repeats: Annotated[
        bool,
        typer.Option("--repeats", help="Time points and repeats are frames of one field: two tell contrast better."),
    ] = False,
    share: Annotated[
        float, typer.Option(help="Part of the clean pixels that the error bar is to hold.", min=0, max=1)
    ] = SHARE,
    limit: Annotated[
        int, typer.Option(min=0, help="Judge at most so many planes, evenly spread over all; 0: every one.")
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for pictures and error bars; default: trust/ in the run's folder."),
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

    With --clean an error bar is fixed on half of the images and checked on the others. Beside its picture each image
    then has NAME_error_bar.tif: how far the bar of each pixel reaches to each side, in the image's units. With --json
    it is kept, and --interval draws it around the model's results of other images of the same kind.

    Exit code 0: all green or amber; 1: an image is red; 2: bad input.
    """
    from bmz_fmd.evaluation import store
    from bmz_fmd.judging import judge, open_images, read_interval
    from bmz_fmd.models import model_kind, open_model
    from training.errors import DataError
    from training.evaluation.scoring import is_result
    from training.evaluation.trust import Trust
    from training.inference.files import check_replaceable

    kind = model_kind(model)
    if json_file is not None:
        check_replaceable(json_file, "`json`", ".json", lambda path: is_result(path, Trust))
    if interval is not None and clean is not None:
        raise DataError("`clean` fixes an error bar, `interval` gives one: choose one of the two")
    samples = open_images(images, clean, pattern=pattern, channel=channel, repeats=repeats, limit=limit)
    folder = out or (model / "trust" if kind == "run" else None)
    if interval is not None and folder is None:
        raise DataError("`interval` needs `out`: the folder for the error bars")
    written = _Written(folder, bars=interval is not None or clean is not None)
    written.check([sample.name for sample in samples])
    opened = open_model(model, device, trust=trust)
    written.interval = None if interval is None else read_interval(interval, opened)

    with console.progress("Judging", len(samples)) as advance:

        def each(judged: Judged) -> None:
            written.add(judged)
            advance(1, judged.judgement.name)

        result = judge(opened, samples, share=None if clean is None else share, tile=tile, each=each)
    written.finish(result.interval)
    console.table(str(model), _COLUMNS, [_row(image) for image in result.images], figures=_COLUMNS[2:])
    for image in result.images:
        console.say(image.sentence())
        for note in image.notes:
            console.note(f"{image.name}: {note}")
    bar = result.interval or written.interval
    if bar is not None:
        console.say(bar.sentence())
    if json_file is not None:
        settings = {
            "images": [str(path) for path in images],
            "clean": None if clean is None else str(clean),
            "interval": None if interval is None else str(interval),
            "repeats": repeats,
            "pattern": pattern,
            "channel": channel,
            "limit": limit,
            "tile": tile,
            "device": opened.denoiser.device,
        }
        store(json_file, opened, settings, result)
        console.note(f"figures stored in {json_file}")
    if folder is not None:
        console.note(f"pictures{' and error bars' if written.bars else ''} in {folder}")
    if result.verdict == "red":
        raise typer.Exit(1)


class _Written:
    """What is written of each image, a picture and the half width of its error bar; of no folder nothing."""

    def __init__(self, folder: Path | None, *, bars: bool) -> None:
        self.bars = bars
        self.interval: Interval | None = None  # until it is known, what it is a multiple of is kept
        self._folder = folder
        self._scales: dict[str, NDArray[np.float32]] = {}

    def check(self, names: Sequence[str]) -> None:
        """Raise a ``UserError`` where something else stands in the place of a result."""
        from training.evaluation.pictures import is_ours
        from training.evaluation.trust import is_error_bar
        from training.inference.files import check_replaceable

        for name in names if self._folder is not None else ():
            check_replaceable(self._path(name, ".png"), "`out`", ".png", is_ours)
            if self.bars:
                check_replaceable(self._path(name, _BAR), "`out`", ".tif", is_error_bar)

    def add(self, judged: Judged) -> None:
        """Write the picture of an image, and its error bar once there is one."""
        from training.evaluation.trust import judged_picture, scale

        if self._folder is None:
            return
        name = judged.judgement.name
        judged_picture(judged, self._path(name, ".png"))
        if self.bars and judged.maps is not None:
            self._scales[name] = scale(judged.maps).astype("float32")
            self.finish(self.interval)

    def finish(self, interval: Interval | None) -> None:
        """Write the error bars that are left, if there is an interval."""
        from training.evaluation.trust import write_error_bar

        while interval is not None and self._scales:
            name, scale = self._scales.popitem()
            write_error_bar(interval.factor * scale, self._path(name, _BAR))

    def _path(self, name: str, ending: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}{ending}"


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
