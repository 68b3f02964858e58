"""A large image through each tool's own tiling, against the whole image."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bmz_export.checking import seams
from bmz_export.checking.certificate import LATE, Difference, Fault, TileRow, TileVerdict
from bmz_export.checking.comparison import LIMIT, Result
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.runner import Runner
from bmz_export.checking.trials import LARGEST, Array, defect, worst
from bmz_export.package.description import Description
from bmz_export.tools import TOOLS
from bmz_export.tools.tiling import Tiling
from bmz_export.tools.tool import Tool, ToolTiling

PATIENCE = 10
"""The large image and its tiles are about fifty times the work of the test image."""


@dataclass(frozen=True)
class _Plan:
    tool: Tool
    way: ToolTiling
    tiling: Tiling

    def row(self, verdict: TileVerdict, note: str = "", engine: str = "-", /, **parts: Difference | None) -> TileRow:
        return TileRow(tool=self.tool.title, way=self.way.title, image=self.tiling.shape, tiles=len(self.tiling.tiles),
                       engine=engine, verdict=verdict, note=note[:300], **parts)  # fmt: skip


def tile_as_tools(runner: Runner, primary: Result, test: Array) -> Iterator[TileRow | Fault | Difference]:
    """Tile the test input, mirrored up under a ramp, and yield a row a tool, faults, and the seam that remains.

    A row is ``passed`` where no region is off the whole image by more than ``LIMIT``, and else ``shown``: no mistake of
    the package's, but what the tool's user sees. Engine and format of ``primary`` are used for all. Raises
    ``UnmeasuredError`` where there is no large image to compare tiles with.
    """
    description = runner.inspection.description
    image = _large(description, test)
    size = image.shape[-2], image.shape[-1]
    plans = []
    for tool, way in [(each, way) for each in TOOLS.values() for way in each.tilings]:
        plan = _Plan(tool, way, way.cut(runner.inspection, size) or Tiling(size, (), "reflect"))
        values = _values(plan.tiling) * image[..., 0, 0].size
        if not plan.tiling.tiles:
            yield plan.row("not run", "the declared halo leaves hardly anything of a tile")
        elif values > LARGEST:
            yield plan.row("not run", f"its tiles hold {values:.0e} values, at most {LARGEST:.0e} are tried")
        else:
            plans.append(plan)
    if not plans:
        return
    images = [image, *(window for plan in plans for window in plan.tiling.windows(image))]
    runner.log(f"{len(images) - 1} tiles of an image of {image.shape[-1]} x {image.shape[-2]}")
    alone = os.cpu_count() or 1  # nothing else runs meanwhile
    outcome = runner.run(primary.engine, primary.format, images, patience=PATIENCE, threads=alone)
    engine = f"{primary.engine.title} on {primary.format}"
    near = max(seams.NEAR, *(axis.halo for axis in description.outputs[0].space))
    described = _described(description, image)
    position = 1
    for plan in plans:
        last = position + len(plan.tiling.tiles)
        parts, windows = outcome.outputs[position:last], images[position:last]
        position = last
        reason = (outcome.error or outcome.skipped or "no result") if len(parts) < len(windows) else None
        if reason and outcome.out_of_time:
            yield plan.row(LATE, f"{reason}; {MORE_TIME}", engine)
            continue
        reason = reason or _defect((outcome.outputs[0], *parts), (image, *windows), described)
        if reason:
            title = plan.tool.title
            yield plan.row("failed", reason, engine)
            yield run_fault("tiles", f"the network does not take {title}'s tiles: {reason}", (title,))
            continue
        found = seams.by_region(plan.tiling.stitch(parts), outcome.outputs[0], plan.tiling, near)
        alike = all(each.largest <= LIMIT for each in found.values() if each is not None)
        yield plan.row("passed" if alike else "shown", "", engine, **found)
        remains = worst([each for each in (found["interior"], found["seam"]) if each is not None])
        if remains is not None and plan.way.overlaps:
            yield remains


def _large(description: Description, test: Array) -> Array:
    """Return the large image."""
    tensor, output = description.inputs[0], description.outputs[0]
    if tensor.order[-2:] != "yx" or tensor.order != output.order:
        raise seams.UnmeasuredError(
            f"axes {tensor.order} and {output.order}: tools tile y and x as the last two of both"
        )
    if not all(axis.step for axis in tensor.axes[-2:]):
        fixed = " x ".join(str(axis.at(0)) for axis in tensor.axes[:-3:-1])
        raise seams.UnmeasuredError(f"its size is fixed to {fixed}, so there is no whole image to compare tiles with")
    image = seams.large_image(tensor, test)
    if _described(description, image)[-2:] != image.shape[-2:]:
        raise seams.UnmeasuredError("the output is of another size than the input")
    return image


def _described(description: Description, image: Array) -> tuple[int | None, ...]:
    return description.output_shape(description.outputs[0], {description.inputs[0].id: image.shape})


def _values(tiling: Tiling) -> int:
    """Return how many pixels all windows hold together, without making them."""
    return sum(
        math.prod(end - start + sum(pad) for (start, end), pad in zip(tile.read, tile.pad, strict=True))
        for tile in tiling.tiles
    )


def _defect(results: Sequence[Array], images: Sequence[Array], described: Sequence[int | None]) -> str | None:
    """Say why results cannot be laid together, None where they can; the first is that of the whole image."""
    for index, (result, image) in enumerate(zip(results, images, strict=True)):
        if wrong := defect(result, (*described[:-2], *image.shape[-2:]), ""):
            return f"{wrong} ({f'tile {index}' if index else 'the whole image'})"
    return None
