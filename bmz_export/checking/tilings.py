"""A large image through each tool's own tiling, against the whole image."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from bmz_export.checking import seams
from bmz_export.checking.certificate import Difference, Fault, TileRow
from bmz_export.checking.comparison import LIMIT, Result
from bmz_export.checking.runner import Runner, fault
from bmz_export.checking.trials import LARGEST, Array, TooLargeError, standardised, unfit, worst
from bmz_export.package.description import Description
from bmz_export.tools import TOOLS
from bmz_export.tools.tiling import Tiling
from bmz_export.tools.tool import Tool, ToolTiling

PATIENCE = 10
"""The large image and its tiles are about fifty times the work of the test image."""


def tile_as_tools(runner: Runner, primary: Result, test: Array) -> Iterator[TileRow | Fault | Difference]:
    """Yield a row for each tool that tiles, faults, and the seam that remains with the declared halo.

    A row is ``passed`` where no region is off the whole image by more than ``LIMIT``, and else ``shown``: no mistake of
    the package's, but what the tool's user sees.

    Parameters
    ----------
    runner : Runner
        Runs the tiles.
    primary : Result
        Whose engine and format are used for all.
    test : array
        The test input; mirrored up under a ramp.
    """
    description = runner.inspection.description
    image = _large(description, test)
    if isinstance(image, str):
        yield from untiled(image)
        return
    shape = (image.shape[-2], image.shape[-1])
    plans: list[tuple[Tool, ToolTiling, Tiling]] = []
    for tool, way in _ways():
        tiling = way.cut(runner.inspection, shape)
        if tiling is None:
            yield _row(tool, way, shape, 0, note="the declared halo leaves hardly anything of a tile")
            continue
        count, values = len(tiling.tiles), _values(tiling) * (image.size // math.prod(shape))
        if values > LARGEST:
            yield _row(
                tool, way, shape, count, note=f"{count} tiles hold {values:.0e} values, at most {LARGEST:.0e} are tried"
            )
        else:
            plans.append((tool, way, tiling))
    if not plans:
        return
    images = [image, *(window for _, _, tiling in plans for window in tiling.windows(image))]
    runner.told(f"{len(images) - 1} tiles of an image of {shape[1]} x {shape[0]}")
    if description.processed and not primary.engine.processing:
        images = standardised(images)
    alone = os.cpu_count() or 1  # nothing else runs meanwhile
    outcome = primary.engine.run(runner.job(primary.format, images, patience=PATIENCE, threads=alone))
    engine = f"{primary.engine.title} on {primary.format}"
    near = seams.near_seam([axis.halo for axis in description.outputs[0].space])
    described = _described(description, image)
    position = 1
    for tool, way, tiling in plans:
        last = position + len(tiling.tiles)
        parts, group = outcome.outputs[position:last], images[position:last]
        position = last
        reason = (outcome.error or outcome.skipped or "no result") if len(parts) < len(group) else None
        reason = reason or _unfit((outcome.outputs[0], *parts), (image, *group), described)
        if reason:
            yield _row(tool, way, shape, len(group), engine=engine, verdict="failed", note=reason)
            yield fault("tiles", f"the network does not take {tool.title}'s tiles: {reason}",
                        "a part of the image is missing", "export with free sizes", tools=(tool.title,))  # fmt: skip
            continue
        found = seams.by_region(tiling.stitch(parts), outcome.outputs[0], tiling, near)
        alike = all(each.largest <= LIMIT for each in found.values() if each is not None)
        yield _row(tool, way, shape, len(group), engine=engine, verdict="passed" if alike else "shown", parts=found)
        remains = worst([each for each in (found["interior"], found["seam"]) if each is not None])
        if remains is not None and way.overlaps:
            yield remains


def _large(description: Description, test: Array) -> Array | str:
    """Return the large image, or why there is none that could be compared with its tiles."""
    tensor, output = description.inputs[0], description.outputs[0]
    if tensor.order[-2:] != "yx" or tensor.order != output.order:
        return f"axes {tensor.order} and {output.order}: tools tile y and x as the last two of both"
    if not all(axis.step for axis in tensor.axes[-2:]):
        fixed = " x ".join(str(axis.at(0)) for axis in tensor.axes[:-3:-1])
        return f"its size is fixed to {fixed}, so there is no whole image to compare tiles with"
    try:
        image = seams.large_image(tensor, test)
    except TooLargeError as error:
        return str(error)
    same = _described(description, image)[-2:] == image.shape[-2:]
    return image if same else "the output is of another size than the input"


def _described(description: Description, image: Array) -> tuple[int | None, ...]:
    return description.output_shape(description.outputs[0], {description.inputs[0].id: image.shape})


def untiled(reason: str) -> Iterator[TileRow]:
    """Yield a row for each tool's way to tile that says why it was not tried."""
    for tool, way in _ways():
        yield _row(tool, way, seams.LARGE, 0, note=reason)


def _ways() -> Iterator[tuple[Tool, ToolTiling]]:
    return ((tool, way) for tool in TOOLS.values() for way in tool.tilings)


def _row(
    tool: Tool,
    way: ToolTiling,
    shape: tuple[int, int],
    tiles: int,
    *,
    engine: str = "-",
    verdict: Literal["passed", "failed", "not run", "shown"] = "not run",
    note: str = "",
    parts: Mapping[str, Difference | None] | None = None,
) -> TileRow:
    return TileRow(
        tool=tool.title,
        way=way.title,
        image=shape,
        tiles=tiles,
        engine=engine,
        verdict=verdict,
        note=note[:300],
        **(parts or {}),
    )


def _values(tiling: Tiling) -> int:
    """Return how many pixels all windows hold together, without making them."""
    return sum(
        math.prod(end - start + sum(pad) for (start, end), pad in zip(tile.read, tile.pad, strict=True))
        for tile in tiling.tiles
    )


def _unfit(results: Sequence[Array], images: Sequence[Array], described: Sequence[int | None]) -> str | None:
    """Say why results cannot be laid together, None where they can; the first is that of the whole image."""
    for index, (result, image) in enumerate(zip(results, images, strict=True)):
        fault = unfit(result, (*described[:-2], *image.shape[-2:]), "")
        if fault:
            return f"{fault} ({f'tile {index}' if index else 'the whole image'})"
    return None
