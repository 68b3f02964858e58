"""What tiling costs: a larger image made of the test image, its cutting into tiles, and the difference to the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Difference, Fault
from bmz_export.checking.faults import run_fault
from bmz_export.checking.trials import LARGEST, Array
from bmz_export.package.description import Axis, Description, Tensor
from bmz_export.package.halo import CONTEXT
from bmz_export.package.tensors import slanted
from bmz_export.tools import TOOLS
from bmz_export.tools.tiling import Tiling, grid, inside
from training.inference.tiles import Span

STATED_LIMIT = 1e-2
"""A seam above this must be stated by the package."""
WARN_LIMIT = 1e-3
LARGE = (620, 800)
"""Least height and width of the image that the tools' tilings are tried on, in pixels: whole tiles of 512 and cut ones
fit along both axes."""
NEAR = 16
"""Pixels that count as at a seam or an edge, or the halo where that is larger."""
_PHASE = 64
"""Pixels: a multiple of any network's total stride."""
DARKEST = 0.4
"""Brightness in the large image's first corner, as a part of that in the last: no two tiles have the same mean."""


class UnmeasuredError(ValueError):
    """There is no whole image to compare tiles with; the message says why."""


def four_tiles(description: Description) -> Tiling:
    """Return the cutting of an image into two tiles along each axis of free size that overlap by the declared halo.

    It is the least in which a seam shows. The tiles lie within the image. The second begins where those of the tools
    do, the halo before a multiple of every stride: with a halo that is no multiple of the network's stride the grid of
    the strides lies elsewhere in it. Raises ``UnmeasuredError`` where y or x is missing, or neither is free.
    """
    axes, parts = _plane(description.inputs[0]), []
    for axis, output in zip(axes, _plane(description.outputs[0]), strict=True):
        halo = output.halo
        size = axis.at_least(2 * halo + CONTEXT)
        start = -(-(size - halo) // _PHASE) * _PHASE - halo
        length = axis.at_least(start + size)
        two = (0, axis.at_least(start + 2 * halo)), (start, start + size)
        parts.append([Span.cut(*each, length, halo) for each in (two if axis.step else [(0, length)])])
    if not any(axis.step for axis in axes):
        raise UnmeasuredError(_fixed(axes))
    height, width = (max(each.stop for each in spans) for spans in parts)
    tiling = grid((height, width), lambda axis, _: [inside(each) for each in parts[axis]], "edge")
    assert tiling is not None  # of four tiles
    return tiling


def large_shape(description: Description) -> tuple[int, int]:
    """Return the size of the image that the tools' tilings are tried on; ``UnmeasuredError`` where it is not free."""
    axes = _plane(description.inputs[0])
    if not all(axis.step for axis in axes):
        raise UnmeasuredError(_fixed(axes))
    height, width = (axis.at_least(least) for axis, least in zip(axes, LARGE, strict=True))
    return height, width


def _plane(tensor: Tensor) -> tuple[Axis, Axis]:
    y, x = tensor.axis("y"), tensor.axis("x")
    if y is None or x is None:
        raise UnmeasuredError(f"{tensor.id} has the axes {tensor.order}: tools tile y and x")
    return y, x


def _fixed(axes: Sequence[Axis]) -> str:
    sizes = " x ".join(str(axis.size or f"{axis.at(0)} and more") for axis in axes)
    return f"its size is fixed to {sizes}, so there is no whole image to compare tiles with"


def enlarged(description: Description, test: Array, shape: tuple[int, int], *, darkest: float = 1) -> Array:
    """Return an image (..., height, width) of this size made of the test input, which has the description's axis order.

    Brightness falls towards its first corner, to the part ``darkest`` of that in the last one. Raises
    ``UnmeasuredError`` where it would be too large, or the output is of another size.
    """
    tensor, output = description.inputs[0], description.outputs[0]
    image = planes(tensor, test)
    if math.prod(shape) * image[..., 0, 0].size > max(LARGEST, test.size):
        raise UnmeasuredError(f"an image of {shape[0]}x{shape[1]} is asked for, and at most {LARGEST} values are tried")
    image = slanted(image, shape)
    described = description.output_shape(output, {tensor.id: ordered(tensor, image).shape})
    if [described[place] for place in _places(output)] != [*shape]:
        raise UnmeasuredError("the output is of another size than the input, its seams lie elsewhere")
    rows, columns = (np.linspace(0, (1 - darkest) / 2, size, dtype=np.float32) for size in shape)
    low = np.float32(image.min())
    return low + (image - low) * (np.float32(darkest) + rows[:, None] + columns)


def ordered(tensor: Tensor, image: Array) -> Array:
    """Return an image (..., height, width) in the axis order of a tensor."""
    return np.ascontiguousarray(np.moveaxis(image, (-2, -1), _places(tensor)))


def planes(tensor: Tensor, image: Array) -> Array:
    """Return an image in the axis order of a tensor as (..., height, width)."""
    return np.moveaxis(image, _places(tensor), (-2, -1))


def _places(tensor: Tensor) -> tuple[int, int]:
    return tensor.order.index("y"), tensor.order.index("x")


def by_region(
    found: NDArray[np.floating], whole: NDArray[np.floating], tiling: Tiling, near: int
) -> dict[str, Difference | None]:
    """Return the difference of a stitched result to that of the whole image, (..., height, width), by region.

    ``near`` is what counts as at a seam or an edge, in pixels. What no tile wrote (NaN) counts nowhere.
    """
    range_ = float(np.ptp(whole)) or 1.0
    gap = np.abs(np.asarray(found, np.float64) - whole) / range_
    parts = {name: gap[..., region] for name, region in tiling.regions(near).items()}
    return {
        name: Difference(largest=float(np.nanmax(values)), mean=float(np.nanmean(values))) if values.size else None
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
