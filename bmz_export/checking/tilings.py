"""A larger image in tiles, against the whole: four tiles with the declared halo, and each tool's own tiling."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bmz_export.checking import seams
from bmz_export.checking.certificate import LATE, Difference, Fault, TileRow, TileVerdict
from bmz_export.checking.comparison import LIMIT, Comparison, Result
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.runner import Runner
from bmz_export.checking.trials import LARGEST, Array, defect
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
    near: int

    def row(self, verdict: TileVerdict, note: str = "", engine: str = "-", /, **parts: Difference | None) -> TileRow:
        return TileRow(tool=self.tool.title, way=self.way.title, image=self.tiling.shape, tiles=len(self.tiling.tiles),
                       near=self.near, engine=engine, verdict=verdict, note=note[:300], **parts)  # fmt: skip


Regions = dict[str, Difference | None]


def tile(runner: Runner, comparison: Comparison, test: Array) -> Iterator[TileRow | Fault | Difference]:
    """Yield the seam that remains with the declared halo, and where it was asked for a row and faults for each tool.

    A row is ``passed`` where no region is off the whole image by more than ``LIMIT``, and else ``shown``: no mistake of
    the package's, but what the tool's user sees. Each tool's tiles go through the weights that it loads. Raises
    ``UnmeasuredError`` where there is no whole image to compare tiles with.
    """
    description, primary = runner.inspection.description, comparison.primary
    if primary is None:
        raise seams.UnmeasuredError("no engine gave a sound result")
    near = max(seams.NEAR, *(axis.halo for axis in description.outputs[0].space))
    four = seams.four_tiles(description)
    image = seams.enlarged(description, test, four.shape)
    for regions, verdict, reason in _compare(runner, primary, image, [four], near):
        if verdict == "failed":
            yield run_fault("tiles", f"the network does not take tiles of other sizes: {reason}")
        if verdict != "passed":
            raise seams.UnmeasuredError(reason)
        yield from filter(None, regions.values())
    if runner.options.tiles:
        yield from _as_tools(runner, comparison, test, near)


def _as_tools(runner: Runner, comparison: Comparison, test: Array, near: int) -> Iterator[TileRow | Fault | Difference]:
    description = runner.inspection.description
    shape = seams.large_shape(description)
    image = seams.enlarged(description, test, shape, darkest=seams.DARKEST)
    plans: dict[str, tuple[Result, list[_Plan]]] = {}
    for tool, way in [(each, way) for each in TOOLS.values() for way in each.tilings]:
        plan = _Plan(tool, way, way.cut(runner.inspection, shape) or Tiling(shape, (), "edge"), near)
        values = _values(plan.tiling) * image[..., 0, 0].size
        loaded = comparison.best(tool.weights_choice(runner.inspection))
        if loaded is None:
            yield plan.row("not run", "no engine gave the right pixels with the weights that it loads")
        elif not plan.tiling.tiles:
            yield plan.row("not run", "the declared halo leaves hardly anything of a tile")
        elif values > LARGEST:
            yield plan.row("not run", f"its tiles hold {values:.0e} values, at most {LARGEST:.0e} are tried")
        else:
            plans.setdefault(loaded.format, (loaded, []))[1].append(plan)
    for loaded, together in plans.values():
        runner.log(f"{sum(len(plan.tiling.tiles) for plan in together)} tiles of an image of {shape[1]} x {shape[0]}")
        engine = f"{loaded.engine.title} on {loaded.format}"
        results = _compare(runner, loaded, image, [plan.tiling for plan in together], near)
        for plan, (regions, verdict, reason) in zip(together, results, strict=True):
            if verdict == "failed":
                title = plan.tool.title
                yield run_fault("tiles", f"the network does not take {title}'s tiles: {reason}", (title,))
            alike = all(each.largest <= LIMIT for each in regions.values() if each)
            yield plan.row(verdict if alike else "shown", reason, engine, **regions)
            if plan.way.overlaps and plan.way.recommended:
                yield from filter(None, (regions.get("interior"), regions.get("seam")))


def _compare(
    runner: Runner, primary: Result, image: Array, tilings: Sequence[Tiling], near: int
) -> Iterator[tuple[Regions, TileVerdict, str]]:
    """Yield how far each tiling of an image (..., height, width) is from the whole, by region, or why none is known."""
    description = runner.inspection.description
    tensor, output = description.inputs[0], description.outputs[0]
    windows = [image, *(window for tiling in tilings for window in tiling.windows(image))]
    images = [seams.ordered(tensor, window) for window in windows]
    alone = os.cpu_count() or 1  # nothing else runs meanwhile
    outcome = runner.run(primary.engine, primary.format, images, patience=PATIENCE, threads=alone)
    wrong = [
        defect(found, description.output_shape(output, {tensor.id: given.shape}), "")
        for found, given in zip(outcome.outputs, images, strict=False)
    ]
    position = 1
    for tiling in tilings:
        last = position + len(tiling.tiles)
        lacking = (outcome.error or outcome.skipped or "no result") if len(outcome.outputs) < last else ""
        broken = [f"{each} ({f'tile {at}' if at else 'the whole image'})"
                  for at, each in enumerate(wrong) if each and (at == 0 or position <= at < last)]  # fmt: skip
        if lacking and outcome.out_of_time:
            yield {}, LATE, f"{lacking}; {MORE_TIME}"
        elif lacking or broken:
            yield {}, "failed", lacking or broken[0]
        else:
            parts = [seams.planes(output, found) for found in outcome.outputs[position:last]]
            whole = seams.planes(output, outcome.outputs[0])
            yield seams.by_region(tiling.stitch(parts), whole, tiling, near), "passed", ""
        position = last


def _values(tiling: Tiling) -> int:
    """Return how many pixels all windows hold together, without making them."""
    return sum(
        math.prod(end - start + sum(pad) for (start, end), pad in zip(tile.read, tile.pad, strict=True))
        for tile in tiling.tiles
    )
