"""A contact sheet: a few noisy images of a data set, each over its clean one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.pictures import new_figure, save

if TYPE_CHECKING:
    from training.data.sample import Sample

_SHOWN = 6  # samples, evenly spread
_LARGEST = 512  # pixels a side that are shown: the middle


def contact_sheet(samples: Sequence[Sample], title: str, path: Path) -> None:
    """Draw the first noisy frame of some samples and their clean images, labelled, and write a PNG.

    Each pair has grey levels of its own, from the 0.1 to the 99.9 percentile of its clean image. Of a volume the middle
    plane is shown.
    """
    chosen = [samples[number] for number in np.unique(np.linspace(0, len(samples) - 1, _SHOWN).astype(int))]
    rows = 1 + any(sample.clean is not None for sample in chosen)
    figure = new_figure(2.4 * len(chosen), 2.6 * rows + 0.5)
    grid = figure.subplots(rows, len(chosen), squeeze=False)
    figure.suptitle(title, fontsize=10)
    for axes in grid.flat:
        axes.set_axis_off()
    for column, sample in zip(grid.T, chosen, strict=True):
        images = [source.read(_middle(sample)) for source in (sample.noisy[0], sample.clean) if source is not None]
        images = [image.reshape(image.shape[-2:]) for image in images]
        low, high = np.percentile(images[-1], [0.1, 99.9])
        for axes, image, which in zip(column, images, ("noisy", "clean"), strict=False):
            axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
            axes.set_title(f"{sample.name[:28]}\n{which}" if which == "noisy" else which, fontsize=8)
    save(figure, path)


def _middle(sample: Sample) -> tuple[slice, ...]:
    """Return the region that is shown of a sample."""
    lengths = [
        1 if axis == "Z" else min(length, _LARGEST) for axis, length in zip(sample.axes, sample.shape, strict=True)
    ]
    starts = [(whole - length) // 2 for whole, length in zip(sample.shape, lengths, strict=True)]
    return tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
