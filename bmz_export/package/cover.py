"""The cover of a package: the example before and after, side by side."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIDE = 400  # pixels: two squares of it as 8-bit gray stay below the 500 kB of BioImage.IO, whatever they show


def write_cover(path: Path, noisy: NDArray[Any], denoised: NDArray[Any]) -> None:
    """Write a PNG of 800 x 400 pixels: the noisy image to the left, the denoised to the right, on one gray scale.

    Parameters
    ----------
    path : Path
        The file.
    noisy, denoised : arrays (H, W)
        In the same units; the largest square from the middle is shown.
    """
    from PIL import Image

    low, high = np.percentile(denoised, (0.1, 99.9))
    cover = Image.new("L", (2 * _SIDE, _SIDE))
    for place, image in enumerate((noisy, denoised)):
        side = min(image.shape)
        top, left = ((size - side) // 2 for size in image.shape)
        square = image[top : top + side, left : left + side].astype(np.float64)
        gray = np.clip((square - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
        picture = Image.fromarray(np.round(255 * gray).astype(np.uint8))
        cover.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), (place * _SIDE, 0))
    cover.save(path, optimize=True)
