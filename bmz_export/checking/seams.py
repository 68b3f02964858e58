"""What tiling costs: two tiles with the declared halo, and a large image by region of a tool's own tiling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Difference, Fault
from bmz_export.checking.faults import run_fault
from bmz_export.checking.trials import Array, compare, fit
from bmz_export.package.description import Axis, Description, Tensor
from bmz_export.tools import TOOLS
from bmz_export.tools.tiling import Tiling

STATED_LIMIT = 1e-2
"""A seam above this must be stated by the package."""
WARN_LIMIT = 1e-3
LARGE = (900, 1200)
"""Least height and width of the image that the tools' tilings are tried on, in pixels."""
NEAR = 16
"""Pixels that count as at a seam or an edge, or the halo where that is larger."""
_PHASE = 64
"""Pixels: a multiple of any network's total stride."""
_CONTEXT = 48
"""Pixels of the image that the second tile does not see, at least."""


class UnmeasuredError(ValueError):
    """There is no whole image to compare tiles with; the message says why."""


class Pair:
    """An image and two tiles of it along one axis that overlap by the declared halo: the least in which a seam shows.

    The second tile begins where those of the tools do, the halo before a multiple of every stride (deepImageJ's one
    tile, ilastik's full blocks, QuPath's script): with a halo that is no multiple of the network's stride the grid of
    the strides lies elsewhere in it. ilastik's cut blocks begin anywhere, which a large image shows.

    ``images`` are the whole one and its two tiles. Raises ``UnmeasuredError`` where the package leaves no room for that
    (fixed sizes).
    """

    def __init__(self, description: Description, test: Array, letter: str) -> None:
        tensor, output = description.inputs[0], description.outputs[0]
        axis, other = tensor.axis(letter), output.axis(letter)
        if axis is None or other is None:
            raise UnmeasuredError(f"input and output have no axis {letter} in common")
        if not axis.step:
            raise UnmeasuredError(f"its size along {letter} is fixed to {axis.at(0)}, so there is no whole image")
        if other.reference is None:
            raise UnmeasuredError(f"the output's size along {letter} does not follow the input's")
        self.letter, self.halo = letter, other.halo
        self.start = -(-(_CONTEXT + self.halo) // _PHASE) * _PHASE - self.halo
        self.tile = allowed(axis, self.start + 2 * self.halo)
        self.axis, self.output_axis = tensor.order.index(letter), output.order.index(letter)
        shape = list(tensor.shape(0))
        shape[self.axis] = allowed(axis, self.start + self.tile)
        whole = fit(tensor, test, shape)
        if description.output_shape(output, {tensor.id: whole.shape})[self.output_axis] != shape[self.axis]:
            raise UnmeasuredError(
                f"the output is of another size along {letter} than the input, its seams lie elsewhere"
            )
        tiles = (whole.take(range(start, start + self.tile), axis=self.axis) for start in (0, self.start))
        self.images: list[Array] = [whole, *map(np.ascontiguousarray, tiles)]

    def seam(self, whole: NDArray[np.floating], *tiles: NDArray[np.floating]) -> Difference:
        """Return the difference of what is kept of the two tiles to the whole image, relative to its range."""
        kept = ((0, 0, self.tile - self.halo), (self.start, self.halo, self.tile - self.halo))
        parts = [
            (tile.take(range(low, high), axis=self.output_axis), start + low, start + high)
            for tile, (start, low, high) in zip(tiles, kept, strict=True)
        ]
        found = np.concatenate([part for part, _, _ in parts], axis=self.output_axis)
        wanted = [whole.take(range(low, high), axis=self.output_axis) for _, low, high in parts]
        return compare(found, np.concatenate(wanted, axis=self.output_axis))


def allowed(axis: Axis, least: int) -> int:
    """Return the first size of ``min + n * step`` that is no less than ``least``."""
    step = axis.step or 1
    return axis.at(0) + max(-((axis.at(0) - least) // step), 0) * step


def large_image(tensor: Tensor, test: Array) -> Array:
    """Return the test image mirrored up to at least ``LARGE`` under a brightness ramp, so that no two places are alike.

    The ramp runs from the image's own darkest tenth to its full intensity, along both axes.
    """
    shape = list(tensor.shape(0))
    for letter, size in zip("yx", LARGE, strict=True):
        axis = tensor.axis(letter)
        if axis is not None:
            shape[tensor.order.index(letter)] = allowed(axis, size)
    image = fit(tensor, test, shape)
    rows, columns = (np.linspace(0, 0.45, size, dtype=np.float32) for size in image.shape[-2:])
    low = np.float32(image.min())
    return low + (image - low) * (np.float32(0.1) + rows[:, None] + columns)


def by_region(
    found: NDArray[np.floating], whole: NDArray[np.floating], tiling: Tiling, near: int
) -> dict[str, Difference | None]:
    """Return the difference of a stitched result to that of the whole image, (..., height, width), by region.

    ``near`` is what counts as at a seam or an edge, in pixels.
    """
    range_ = float(np.ptp(whole)) or 1.0
    gap = np.abs(np.asarray(found, np.float64) - whole) / range_
    parts = {name: gap[..., region] for name, region in tiling.regions(near).items()}
    return {
        name: Difference(largest=float(values.max()), mean=float(values.mean())) if values.size else None
        for name, values in parts.items()
    }


def seam_faults(largest: float, halo: int, stated: float | None, *, certify: bool) -> Iterator[Fault]:
    """Yield what is wrong with the seam that remains with the declared halo (pixels), where the package states another.

    With ``certify`` it states the measured one from now on.
    """
    tools = tuple(tool.title for tool in TOOLS.values() if tool.tilings)
    message = f"seams of {largest:.1e} of the range between tiles with the declared halo of {halo}"
    if not certify and stated is not None and largest > stated * 1.1 + 1e-5:
        yield run_fault("seam", f"{message}, the package states {stated:.1e}", tools)
    elif not certify and stated is None and largest > STATED_LIMIT:
        yield run_fault("seam", f"{message}, and the package states none", tools)
    elif largest > WARN_LIMIT:
        yield run_fault("seam", message, tools, "warning")
