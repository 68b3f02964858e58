"""Pictures: the curves of a training run, the panel of test images, and a package's cover."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.util.writing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COVER_BYTES = 500_000
"""What a cover may weigh."""

_COVER_HEIGHT = 400
_LARGEST = 512  # pixels a side that a panel shows of an image
_INK = {"train": "#0072b2", "validation": "#d55e00", "best": "#777777"}  # distinct also for colour-blind eyes

Plane = NDArray[np.float32]


def curves(history: Sequence[dict[str, float]], path: Path, *, best_epoch: int) -> None:
    """Draw losses, and PSNR with SSIM, against the epoch, and write a PNG.

    Parameters
    ----------
    history : sequence of dict
        Rows of ``losses.csv``.
    path : Path
        Of the PNG.
    best_epoch : int
        Marked by a line.
    """
    figure = _figure(10, 3.6)
    losses, ratio = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    losses.plot(epochs, [row["train_loss"] for row in history], ".-", color=_INK["train"], label="training")
    losses.plot(epochs, [row["validation_loss"] for row in history], ".-", color=_INK["validation"], label="validation")
    if any(row["validation_loss"] > 0 for row in history):
        losses.set_yscale("log")
    losses.set(xlabel="epoch", ylabel="loss, of the intensity range", title="Loss")
    ratio.plot(epochs, [row["psnr"] for row in history], ".-", color=_INK["train"], label="PSNR")
    ratio.set(xlabel="epoch", ylabel="PSNR in dB", title="Validation crops")
    similarity = ratio.twinx()
    similarity.plot(epochs, [row["ssim"] for row in history], ".-", color=_INK["validation"], label="SSIM")
    similarity.set_ylabel("SSIM")
    for axes in (losses, ratio):
        axes.axvline(best_epoch, color=_INK["best"], linestyle=":", label=f"best: epoch {best_epoch}")
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    losses.legend(frameon=False)
    lines = [*ratio.get_lines(), *similarity.get_lines()]
    ratio.legend(lines, [str(line.get_label()) for line in lines], frameon=False, loc="lower right")
    _save(figure, path)


def panel(rows: Sequence[tuple[str, Plane, Plane, Plane]], path: Path) -> None:
    """Draw noisy, denoised, clean and their difference for some images, and write a PNG.

    Parameters
    ----------
    rows : sequence of (name, noisy, denoised, clean)
        Planes (H, W) in the same units. Noisy, denoised and clean share their gray levels, from the 0.1 to the 99.9
        percentile of the clean image; the difference, denoised minus clean, has a colour bar in image units. Of large
        images the middle is shown.
    path : Path
        Of the PNG.
    """
    figure = _figure(13.2, 3.1 * len(rows) + 0.3)
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for axes, (name, noisy, denoised, clean) in zip(grid, rows, strict=True):
        images = [_middle(image) for image in (noisy, denoised, clean)]
        low, high = (float(value) for value in np.percentile(images[2], [0.1, 99.9]))
        for spot, image in zip(axes, images, strict=False):
            spot.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
        difference = images[1] - images[2]
        reach = max(float(np.percentile(np.abs(difference), 99.5)), 1e-9)
        shown = axes[3].imshow(difference, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        figure.colorbar(shown, ax=axes[3], fraction=0.046, pad=0.03)
        axes[0].set_ylabel(name if len(name) <= 28 else f"{name[:25]}...")
    for spot, title in zip(grid[0], ("noisy", "denoised", "clean", "denoised - clean"), strict=True):
        spot.set_title(title)
    for spot in grid.flat:
        spot.set(xticks=[], yticks=[])
    _save(figure, path)


def cover(noisy: Plane, denoised: Plane) -> bytes:
    """Return a PNG, twice as wide as high and below 500 kB: the same square before and after, side by side.

    Parameters
    ----------
    noisy, denoised : NDArray, shape (H, W)
        In the same units; they share their gray levels.
    """
    from PIL import Image

    side = min(noisy.shape)
    halves = [_middle(image, side) for image in (noisy, denoised)]
    low, high = (float(value) for value in np.percentile(halves[1], [0.1, 99.9]))
    gray = [np.clip((half - low) / max(high - low, 1e-9), 0, 1) for half in halves]
    height = _COVER_HEIGHT
    while True:
        line = np.full((height, 2), 255, dtype=np.uint8)
        left, right = (
            np.asarray(
                Image.fromarray((half * 255).astype(np.uint8)).resize(
                    (height - 1, height), Image.Resampling.NEAREST if side < height else Image.Resampling.LANCZOS
                )
            )
            for half in gray
        )
        stream = io.BytesIO()
        Image.fromarray(np.hstack([left, line, right])).save(stream, "PNG", optimize=True)
        if stream.tell() < COVER_BYTES:
            return stream.getvalue()
        height = math.floor(height * 0.8)


def _middle(image: Plane, side: int = _LARGEST) -> NDArray[np.float64]:
    top, left = (max((size - side) // 2, 0) for size in image.shape)
    return np.asarray(image[top : top + side, left : left + side], dtype=np.float64)


def _figure(width: float, height: float) -> Figure:
    """Return a figure that needs no screen and leaves matplotlib's global state alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
