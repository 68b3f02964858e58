"""The cover of a package: the same part of an image before and after, side by side."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.pictures import busiest_window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

COVER_BYTES = 500_000
"""What a cover may weigh."""

_HEIGHT = 400  # pixels
_SIDE = 160  # pixels of the image that a cover shows where there are more


def cover(noisy: NDArray[np.float32], denoised: NDArray[np.float32]) -> bytes:
    """Return a PNG, twice as wide as high and below 500 kB: the part with most structure, labelled.

    Both images are (H, W), in the same units, and share their grey levels.
    """
    from PIL import Image

    window = busiest_window(denoised, min(_SIDE, *denoised.shape))
    low, high = (float(value) for value in np.percentile(denoised[window], [0.1, 99.9]))
    levels = [np.clip((image[window] - low) / max(high - low, 1e-9), 0, 1) for image in (noisy, denoised)]
    height = _HEIGHT
    while True:
        whole = Image.new("L", (2 * height, height), 255)
        for column, (level, label) in enumerate(zip(levels, ("noisy", "denoised"), strict=True)):
            whole.paste(_half(level, label, height), (column * (height + 1), 0))
        stream = io.BytesIO()
        whole.save(stream, "PNG", optimize=True)
        if stream.tell() < COVER_BYTES:
            return stream.getvalue()
        height = math.floor(height * 0.8)


def _half(level: NDArray[np.floating], label: str, height: int) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    resampling = Image.Resampling.NEAREST if level.shape[0] < height else Image.Resampling.LANCZOS
    half = Image.fromarray((level * 255).astype(np.uint8)).resize((height - 1, height), resampling)
    draw, font = ImageDraw.Draw(half), ImageFont.load_default(size=height / 18)
    at = (height / 40, height / 40)
    box = draw.textbbox(at, label, font=font)
    draw.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), fill=0)
    draw.text(at, label, fill=255, font=font)
    return half
