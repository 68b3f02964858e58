"""Photographs with Gaussian noise: what Gaussian denoisers learn from before they see any microscope.

Such as the 400 images of the Berkeley segmentation data set that DnCNN learned from (D. Martin, C. Fowlkes, D. Tal,
J. Malik, ICCV 2001, doi:10.1109/ICCV.2001.937655).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.data.dataset import SplitDataset
from training.data.options import DatasetOptions, Location
from training.data.sample import DataSource, Region, Sample
from training.data.splits import natural
from training.errors import DataError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class PhotographOptions(DatasetOptions):
    """Which photographs, and how noisy they are."""

    data: Location | None = None
    """A folder below which photographs of 8 bits lie, gray or in colour; colours are made gray."""

    sigma: float = Field(default=25.0, gt=0, le=255)
    """Standard deviation of the noise, of 255."""

    noise_seed: int = Field(default=0, ge=0)
    """Of the noise."""


class Photographs(SplitDataset):
    """Each photograph is clean; Gaussian noise of one level, drawn from a seed and the file's name, makes it noisy."""

    options = PhotographOptions

    def __init__(self, name: str, options: PhotographOptions, *, test_fraction: float, seed: int) -> None:
        folder = options.data
        if folder is None:
            raise DataError(f"`dataset` {name} needs `data` DIR, a folder of photographs (PNG, JPEG or TIFF, 8 bits)")
        if not folder.is_dir():
            raise DataError(f"`data` {folder} is no folder: name the one that holds the photographs")
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"), key=lambda path: natural(path.as_posix()))
            if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.name.startswith(".")
        }
        if not files:
            raise DataError(f"{folder} holds no photograph: give a folder of PNG, JPEG or TIFF files of 8 bits")
        samples = []
        for called, path in files.items():
            clean = _Photograph(path)
            noisy = _WithNoise(clean, options.sigma, [options.noise_seed, zlib.crc32(called.encode())])
            samples.append(Sample(_unique(called), called, "YX", clean.shape, (noisy,), clean))
        source = DataSource(dtype="float32", title=f"photographs in {folder.name}")
        super().__init__(name, source, samples, files, test_fraction=test_fraction, seed=seed)

    def warnings(self) -> list[str]:
        """Return what is known of the split: noisy and clean belong together, and white is no lost intensity."""
        return list(self._notes)


class _Photograph:
    """A photograph, gray, 0 to 255."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path) -> None:
        from PIL import Image, UnidentifiedImageError

        self._path = path
        try:
            with Image.open(path) as image:
                mode, (width, height) = image.mode, image.size
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise self._unreadable() from None
        if mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
            raise DataError(f"{path} has more than 8 bits a pixel: give photographs of 8 bits")
        self.shape = (height, width)

    def read(self, region: Region | None = None) -> NDArray[np.uint8]:
        from PIL import Image

        try:
            with Image.open(self._path) as image:
                pixels = np.asarray(image.convert("L"))
        except (OSError, ValueError, SyntaxError):
            raise self._unreadable() from None
        return pixels if region is None else pixels[region]

    def _unreadable(self) -> DataError:
        return DataError(f"{self._path} cannot be read as a photograph: take it away, or save it again as PNG")


class _WithNoise:
    """A photograph with noise that is the same whenever it is read."""

    dtype = np.dtype(np.float32)

    def __init__(self, clean: _Photograph, sigma: float, seed: list[int]) -> None:
        self._clean, self._sigma, self._seed = clean, sigma, seed
        self.shape = clean.shape

    def read(self, region: Region | None = None) -> NDArray[Any]:
        noise = np.random.default_rng(self._seed).standard_normal(self.shape, dtype=np.float32)
        noisy = self._clean.read() + self._sigma * noise
        return noisy if region is None else noisy[region]


def _unique(called: str) -> str:
    """Return a file's name that is fit for another file: folders become part of it."""
    return str(Path(called).with_suffix("")).replace("/", "_")


DATASETS = {"photographs": Photographs}
