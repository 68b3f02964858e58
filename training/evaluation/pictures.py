"""Pictures of a training and of an evaluation: curves, the panel of test images, residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.residuals import LIMIT, deviation_map, largest_deviation
from training.util.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRITER = "bmz-fmd"
"""What a PNG says under ``Software``: a picture of ours may be replaced by a later one."""

_LARGEST = 512  # pixels a side that a picture shows of an image
_SMALLEST_WITH_INSET = 64  # pixels a side
BLUE, ORANGE = "#0072b2", "#d55e00"  # distinct also for colour-blind eyes
_MARK = "#ffd400"
_NAME = 28  # characters of an image's name

Plane = NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Shown:
    """An image and what became of it, as a picture shows it."""

    name: str
    noisy: Plane
    """(H, W), like the others; the clean image on the scale of this one."""

    denoised: Plane
    clean: Plane | None = None
    psnr_noisy: float = np.nan
    """dB; NaN where there is none."""

    psnr_denoised: float = np.nan

    @property
    def reference(self) -> Plane:
        """The clean image; where there is none, the denoised one."""
        return self.denoised if self.clean is None else self.clean


def curves(history: Sequence[dict[str, float]], path: Path, *, best_epoch: int) -> None:
    """Draw losses, and PSNR with SSIM, against the epoch (rows of ``losses.csv``), and write a PNG."""
    figure = new_figure(10, 3.6)
    losses, ratio = figure.subplots(1, 2)
    similarity = ratio.twinx()
    epochs = [row["epoch"] for row in history]
    for axes, key, colour, label in (
        (losses, "train_loss", BLUE, "training"),
        (losses, "validation_loss", ORANGE, "validation"),
        (ratio, "psnr", BLUE, "PSNR"),
        (similarity, "ssim", ORANGE, "SSIM"),
    ):
        axes.plot(epochs, [row[key] for row in history], ".-", color=colour, label=label)
    if any(row["validation_loss"] > 0 for row in history):
        losses.set_yscale("log")
    losses.set(xlabel="epoch", ylabel="loss, of the intensity range", title="Loss")
    ratio.set(xlabel="epoch", ylabel="PSNR in dB", title="Validation crops")
    similarity.set_ylabel("SSIM")
    for axes in (losses, ratio):
        axes.axvline(best_epoch, color="#777777", linestyle=":", label=f"best: epoch {best_epoch}")
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    losses.legend(frameon=False)
    lines = [*ratio.get_lines(), *similarity.get_lines()]
    ratio.legend(lines, [str(line.get_label()) for line in lines], frameon=False, loc="lower right")
    save(figure, path)


def panel(
    rows: Sequence[Shown], path: Path, *, pixel_size: tuple[float, float, str] | None = None, unit: str = "image units"
) -> None:
    """Draw noisy, denoised, clean if there is one, and a difference for some images, and write a PNG.

    Parameters
    ----------
    rows : sequence of Shown
        Noisy, denoised and clean share their grey levels, from the 0.1 to the 99.9 percentile of the clean image; the
        difference, denoised minus clean, or without a clean image minus noisy, has a colour bar. Of large images the
        part with most structure is shown.
    path : Path
        Of the PNG; its folder is made.
    pixel_size : (float, float, str), optional
        Height and width of a pixel, and their unit, for the scale bar.
    unit : str
        Of the intensities, for the colour bar.
    """
    figure, grid = _grid(rows, 4, 13.2, 3.1)
    for axes, row in zip(grid, rows, strict=True):
        window = busiest_window(row.reference, _LARGEST)
        _draw_images(axes[:3], row, window, pixel_size)
        other, title = (row.noisy, "noisy") if row.clean is None else (row.clean, "clean")
        difference = row.denoised[window] - other[window]
        draw_map(axes[3], difference, _reach(difference), f"denoised - {title}", unit)
    save(figure, path)


def residual_picture(
    rows: Sequence[Shown], path: Path, *, pixel_size: tuple[float, float, str] | None = None, unit: str = "image units"
) -> None:
    """Draw what a denoiser did to a few images, so that invented structure can be seen, and write a PNG.

    A row an image; from left to right: noisy, denoised, clean, what was removed (noisy minus denoised: it should look
    like noise), the error (denoised minus clean), and the smoothed residual in standard deviations of its noise (see
    ``residuals.deviation_map``: it should show nothing). Of large images the part around its largest value is shown.
    Parameters as for ``panel``.
    """
    figure, grid = _grid(rows, 6, 17.5, 2.9)
    for axes, row in zip(grid, rows, strict=True):
        deviations = deviation_map(row.noisy, row.denoised)
        largest = largest_deviation(deviations)
        starts = [
            min(max(centre - _LARGEST // 2, 0), max(length - _LARGEST, 0))
            for centre, length in zip(largest.at, row.noisy.shape, strict=True)
        ]
        window = (slice(starts[0], starts[0] + _LARGEST), slice(starts[1], starts[1] + _LARGEST))
        _draw_images(axes[:3], row, window, pixel_size)
        removed = row.noisy - row.denoised
        for spot, values, reach, title, of in (
            (axes[3], removed, _reach(removed), "removed: noisy - denoised", unit),
            (axes[4], row.denoised - row.reference, _reach(removed), "error: denoised - clean", unit),
            (axes[5], deviations, 2 * LIMIT, f"smoothed residual, largest {largest.largest:.1f}", "sd of noise"),
        ):
            draw_map(spot, values[window], reach, title, of)
    save(figure, path)


def is_ours(path: Path) -> bool:
    """Return whether a file that exists is a picture that this program wrote."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return str(picture.info.get("Software", "")).startswith(WRITER)
    except (ValueError, OSError):  # what Pillow raises at a file that is no image is an OSError
        return False


def busiest_window(image: NDArray[Any], side: int) -> Window:
    """Return the window of at most ``side`` pixels a side in which an image (H, W) varies most."""
    from scipy import ndimage

    shape = tuple(min(side, length) for length in image.shape)
    values = image.astype(np.float64) - float(image.mean(dtype=np.float64))
    mean, squares = (ndimage.uniform_filter(part, shape, mode="nearest") for part in (values, values**2))
    inside = tuple(
        slice(size // 2, length - (size - size // 2) + 1) for size, length in zip(shape, image.shape, strict=True)
    )
    spread = (squares - mean**2)[inside]
    y, x = (int(start) for start in np.unravel_index(int(spread.argmax()), spread.shape))
    return slice(y, y + shape[0]), slice(x, x + shape[1])


def bar_length(pixel: float, width: int) -> float:
    """Return the length of a scale bar: 1, 2 or 5 times a power of ten, at most a quarter of ``width`` pixels."""
    most = pixel * width / 4
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most))


def _draw_images(axes: Sequence[Axes], row: Shown, window: Window, pixel_size: tuple[float, float, str] | None) -> None:
    """Draw noisy, denoised and clean in one grey scale, each with the same part magnified in an upper corner."""
    from matplotlib.patches import Rectangle

    noisy, denoised, clean = row.noisy[window], row.denoised[window], row.reference[window]
    if row.clean is None:
        axes[2].set_axis_off()
    low, high = (float(value) for value in np.percentile(clean, [0.1, 99.9]))
    levels: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-9), "interpolation": "nearest"}
    for spot, image, title, psnr in zip(
        axes if row.clean is not None else axes[:2],
        (noisy, denoised, clean), ("noisy", "denoised", "clean"), (row.psnr_noisy, row.psnr_denoised, np.nan),
        strict=False,
    ):  # fmt: skip
        spot.imshow(image, **levels)
        spot.set_title(title if np.isnan(psnr) else f"{title}, {psnr:.2f} dB", fontsize=10)
        if min(clean.shape) < _SMALLEST_WITH_INSET:
            continue
        y, x = part = busiest_window(clean, min(clean.shape) // 6)
        left = x.start + x.stop > clean.shape[1]  # the corner that is farther from the part
        inset = spot.inset_axes((0.01 if left else 0.61, 0.61, 0.38, 0.38))
        inset.imshow(image[part], **levels)
        inset.set(xticks=[], yticks=[])
        for edge in inset.spines.values():
            edge.set_edgecolor(_MARK)
        size = (x.stop - x.start, y.stop - y.start)
        spot.add_patch(Rectangle((x.start - 0.5, y.start - 0.5), *size, fill=False, edgecolor=_MARK))
    if pixel_size is not None and clean.shape[1] >= _SMALLEST_WITH_INSET:
        _draw_bar(axes[0], pixel_size, clean.shape)


def _draw_bar(axes: Axes, pixel_size: tuple[float, float, str], shape: tuple[int, ...]) -> None:
    from matplotlib.patches import Rectangle

    _, pixel, unit = pixel_size
    length = bar_length(pixel, shape[1])
    width, thick = length / pixel, max(shape[0] / 60, 1)
    x, y = 0.04 * shape[1], 0.95 * shape[0]
    axes.add_patch(Rectangle((x, y - thick), width, thick, facecolor="white", edgecolor="black", linewidth=0.5))
    text = axes.text(x, y - 1.5 * thick, f"{length:g} {unit}", color="white", fontsize=9, va="bottom")
    text.set_bbox({"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0})


def draw_map(axes: Axes, values: NDArray[Any], reach: float, title: str, unit: str) -> None:
    """Draw signed values around 0 in blue and red, with a colour bar."""
    shown = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    bar = axes.get_figure(root=True).colorbar(shown, ax=axes, fraction=0.046, pad=0.03)  # type: ignore[union-attr]
    bar.set_label(unit)


def _reach(values: NDArray[Any]) -> float:
    return max(float(np.percentile(np.abs(values), 99.5)), 1e-9)


def _grid(rows: Sequence[Shown], columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a row of axes an image, called as it is."""
    figure = new_figure(width, height * len(rows) + 0.3)
    grid: list[list[Axes]] = figure.subplots(len(rows), columns, squeeze=False).tolist()
    for axes, row in zip(grid, rows, strict=True):
        axes[0].set_ylabel(row.name if len(row.name) <= _NAME else f"{row.name[: _NAME - 3]}...")
        for spot in axes:
            spot.set(xticks=[], yticks=[])
    return figure, grid


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that needs no screen and leaves matplotlib's global state alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        figure.savefig(beside, format="png", metadata={"Software": WRITER})
