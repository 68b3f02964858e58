"""A large image through each tool's own tiling, against the whole image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from bmz_export.checking import seams
from bmz_export.checking.bench import Bench, fault
from bmz_export.checking.certificate import Difference, Fault, TileRow
from bmz_export.checking.jury import LIMIT, Result
from bmz_export.checking.numbers import Array, TooLargeError, unfit, worst
from bmz_export.consumers import CONSUMERS
from bmz_export.consumers.qupath import QUPATH
from bmz_export.consumers.tiling import Tiling

BARE = "512 tiles without halo, as in its own window"
WAYS = {
    "deepimagej": "one tile (two where the size is no multiple of step), mirrored halo",
    "qupath": BARE,
    "ilastik": "512 tiles less twice the halo, reflected, cut blocks centred",
}
SCRIPTED = "512 tiles that overlap by the halo, as in the package's script"
PATIENCE = 10
"""The large image and its tiles are about fifty times the work of the test image."""


def tile_as_tools(bench: Bench, primary: Result, test: Array) -> Iterator[TileRow | Fault | Difference]:
    """Yield a row for each tool that tiles, faults, and the seam that remains with the declared halo.

    A row is ``passed`` where no region is off the whole image by more than ``LIMIT``, and else ``shown``: no mistake of
    the package's, but what the tool's user sees.

    Parameters
    ----------
    bench : Bench
        Runs the tiles.
    primary : Result
        Whose engine and format are used for all.
    test : array
        The test input; mirrored up under a ramp.
    """
    description = bench.evidence.description
    tensor, output = description.inputs[0], description.outputs[0]
    if tensor.order[-2:] != "yx" or tensor.order != output.order:
        return
    try:
        image = seams.large_image(tensor, test)
    except TooLargeError as error:
        yield fault("size", f"the tools' tilings are not run: {error}", "nothing: it is not known how they look",
                    "smaller steps", severity="warning")  # fmt: skip
        return
    shape = (image.shape[-2], image.shape[-1])
    described = description.output_shape(output, {tensor.id: image.shape})
    if any(size < least for size, least in zip(shape, seams.LARGE, strict=True)) or described[-2:] != shape:
        return  # fixed sizes, or an output of another size: there is no whole image to compare with
    plans = list(_plans(bench, shape))
    windows = [list(tiling.windows(image)) for _, _, tiling in plans]
    bench.told(f"{sum(map(len, windows))} tiles of an image of {shape[1]} x {shape[0]}")
    images = [image, *(window for group in windows for window in group)]
    alone = os.cpu_count() or 1  # nothing else runs meanwhile
    outcome = primary.engine.run(bench.job(primary.format, images, patience=PATIENCE, threads=alone))
    near = seams.near_seam([axis.halo for axis in output.space])
    position = 1
    for (tool, way, tiling), group in zip(plans, windows, strict=True):
        parts = outcome.outputs[position : position + len(group)]
        position += len(group)
        row = TileRow(
            tool=tool, way=way, engine=f"{primary.engine.title} on {primary.format}", image=shape, tiles=len(group),
            verdict="failed",
        )  # fmt: skip
        reason = (outcome.error or outcome.skipped or "no result") if len(parts) < len(group) else None
        reason = reason or _unfit((outcome.outputs[0], *parts), (image, *group), described)
        if reason:
            yield row.model_copy(update={"note": reason[:300]})
            yield fault("tiles", f"the network does not take {tool}'s tiles: {reason}",
                        "a part of the image is missing", "export with free sizes", tools=(tool,))  # fmt: skip
            continue
        found = seams.by_region(tiling.stitch(parts), outcome.outputs[0], tiling, near)
        alike = all(each.largest <= LIMIT for each in found.values() if each is not None)
        yield row.model_copy(update={**found, "verdict": "passed" if alike else "shown"})
        remains = worst([each for each in (found["interior"], found["seam"]) if each is not None])
        if remains is not None and way != BARE:
            yield remains


def _unfit(results: Sequence[Array], images: Sequence[Array], described: Sequence[int | None]) -> str | None:
    """Say why results cannot be laid together, None where they can; the first is that of the whole image."""
    for index, (result, image) in enumerate(zip(results, images, strict=True)):
        fault = unfit(result, (*described[:-2], *image.shape[-2:]), "")
        if fault:
            return f"{fault} ({f'tile {index}' if index else 'the whole image'})"
    return None


def _plans(bench: Bench, shape: tuple[int, int]) -> Iterator[tuple[str, str, Tiling]]:
    for name, way in WAYS.items():
        tiling = CONSUMERS[name].tiling(bench.evidence, shape)
        if tiling is not None:
            yield CONSUMERS[name].title, way, tiling
    yield QUPATH.title, SCRIPTED, QUPATH.scripted(bench.evidence, shape)
