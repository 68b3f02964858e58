"""The picture of a judged image, what there was, what came out, where they differ, and the curves; its error bar."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.pictures import BLUE, ORANGE, WRITER, draw_map, new_figure, save
from training.evaluation.residuals import LIMIT
from training.evaluation.trust.structure import deviations
from training.evaluation.trust.verdict import LIMITS, SEEN, Judgement
from training.util.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.evaluation.trust.judging import Judged

_COLOURS = {"green": "#009e73", "amber": "#b07500", "red": "#c0241c"}
_LARGEST = 512  # pixels a side that are shown
_LINES = 4  # findings that are written out


def judged_picture(judged: Judged, path: Path) -> None:
    """Draw one judged image and write a PNG.

    Above, noisy, denoised, the residual in standard deviations of the camera's noise (it should look like noise); below
    the smoothed residual (it should show nothing), the disagreement of turned inputs, and curves: bias and variance of
    the residual by intensity, contrast by frequency. Findings at a place are marked. Of large images the part around
    the first marked place is shown, of a volume the plane with it.
    """
    figure = new_figure(16.5, 8.4)
    grid = figure.subplots(2, 4)
    judgement = judged.judgement
    title = [*textwrap.wrap(judgement.name, 90)[:1], f"verdict: {judgement.verdict}"]
    lines = [textwrap.shorten(finding.text, 150) for finding in judgement.findings[:_LINES]]
    figure.suptitle("\n".join([", ".join(title), *lines]), fontsize=11, color=_COLOURS[judgement.verdict])
    plane, window = _shown(judgement, judged.noisy.shape)
    noisy, denoised = (image[plane][window] for image in (judged.noisy, judged.denoised))
    low, high = (float(value) for value in np.percentile(denoised, [0.1, 99.9]))
    for axes, image, label in ((grid[0, 0], noisy, "noisy"), (grid[0, 1], denoised, "denoised")):
        axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
        axes.set_title(label, fontsize=10)
    for axes in (*grid[0, :3], *grid[1, :2]):
        axes.set(xticks=[], yticks=[])
    if judged.maps is None or judgement.measures is None:
        for axes in (*grid[0, 2:], *grid[1]):
            axes.set_axis_off()
        save(figure, path)
        return
    measures, maps = judgement.measures, judged.maps
    residual = (np.asarray(judged.noisy, np.float64) - judged.denoised) / maps.noise
    unit = "sd of noise"
    draw_map(grid[0, 2], residual[plane][window], LIMIT, "removed: noisy - denoised", unit)
    whole, result = (np.asarray(image, np.float64) for image in (judged.noisy, judged.denoised))
    neighbours = tuple(measures.camera.correlation.values())
    smooth = deviations(whole, result, measures.camera.model, neighbours, measures.structure.width / 2)
    draw_map(grid[1, 0], smooth[plane][window], 2 * LIMIT, "the same, smoothed", unit)
    if maps.disagreement is None:
        grid[1, 1].set_axis_off()
    else:
        reach = LIMITS["disagreement"][1]
        draw_map(grid[1, 1], maps.disagreement[plane][window], reach, "turned inputs disagree", unit)
    for finding in judgement.findings:
        if finding.at is not None and finding.at[:-2] == plane:
            y, x = (at - part.start for at, part in zip(finding.at[-2:], window, strict=True))
            for axes in (grid[0, 1], grid[1, 0]):
                axes.plot(x, y, "o", ms=16, mfc="none", mec="#ffd400", mew=1.5)
    table = measures.intensity
    for axes, values, middle, reach, label in (
        (grid[0, 3], table.bias, 0.0, LIMITS["bias"][0], "mean removed, sd of noise"),
        (grid[1, 2], table.variance, 1.0, LIMITS["much"][0] - 1, "variance removed, of the camera's"),
    ):
        _curve(axes, (table.intensity, values), middle, reach, label)
    contrast = measures.contrast
    if contrast is None:
        grid[1, 3].set_axis_off()
    else:
        axes = grid[1, 3]
        judged_at = [number for number, shared in enumerate(contrast.shared) if shared > SEEN]
        curves = (contrast.frequency, contrast.kept, contrast.uncertainty)
        points = ([values[number] for number in judged_at] for values in curves)
        axes.errorbar(*points, fmt=".-", color=BLUE, label="contrast kept, where structure is seen")
        axes.plot(contrast.frequency, contrast.shared, color=ORANGE, label="structure above noise (FRC)")
        axes.set(ylim=(-0.1, 1.6), xlabel="frequency, cycles a pixel")
        axes.set_title("contrast by frequency", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25)
    save(figure, path)


def write_error_bar(half_width: NDArray[np.float32], path: Path) -> None:
    """Write how far the error bar of each pixel reaches to each side, (H, W) or (D, H, W), as float32 TIFF."""
    import tifffile

    axes = "ZYX"[-half_width.ndim :]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        tifffile.imwrite(
            part, half_width, photometric="minisblack", metadata={"axes": axes}, software=f"{WRITER} error bar"
        )


def is_error_bar(path: Path) -> bool:
    """Return whether a file that exists is one of ``write_error_bar``."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return str(tif.pages.first.software).startswith(f"{WRITER} error bar")
    except (tifffile.TiffFileError, OSError):
        return False


def _curve(
    axes: Axes, points: tuple[Sequence[float], Sequence[float]], middle: float, reach: float, title: str
) -> None:
    axes.axhspan(middle - reach, middle + reach, color="#009e73", alpha=0.12)
    axes.plot(*points, ".-", color=BLUE)
    axes.set_xlabel("intensity, image units")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)


def _shown(judgement: Judgement, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[slice, slice]]:
    """Return the plane, and the window in it, with the first marked place; else those in the middle."""
    marked = next((finding.at for finding in judgement.findings if finding.at is not None), None)
    at = tuple(size // 2 for size in shape) if marked is None else marked
    starts = [
        min(max(centre - _LARGEST // 2, 0), max(size - _LARGEST, 0))
        for centre, size in zip(at[-2:], shape[-2:], strict=True)
    ]
    return at[:-2], (slice(starts[0], starts[0] + _LARGEST), slice(starts[1], starts[1] + _LARGEST))
