"""Pairs to score a model on: files, arrays, or the test images of its run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import DataError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bmz_fmd.models import Model
    from training.data import Sample

    Images = str | os.PathLike[str] | NDArray[Any] | xr.DataArray | Sequence[NDArray[Any] | xr.DataArray]
    """A folder or a file of images; an image (..., Y, X), of which every plane counts; or several."""


@dataclass(frozen=True)
class Pairs:
    """Noisy and clean images to score.

    Attributes
    ----------
    samples : sequence of Sample
        Each with a clean image.
    pixel_size : (float, float, str) or None
        Height and width of a pixel, and their unit, where the files say it.
    own : bool
        Whether they are the test images of the model's run.
    """

    samples: Sequence[Sample]
    pixel_size: tuple[float, float, str] | None = None
    own: bool = False


def open_pairs(
    model: Model,
    noisy: Images | None,
    clean: Images | None,
    *,
    pattern: str | None = None,
    channel: str | None = None,
    warn: Callable[[str], object],
) -> Pairs:
    """Return the pairs of what is given, or the test images of the model's run.

    Raises
    ------
    UserError
        If one of the two is missing, or they do not make pairs.
    """
    if (noisy is None) != (clean is None):
        given, missing = ("`noisy`", "`clean`") if clean is None else ("`clean`", "`noisy`")
        raise DataError(f"{given} is given without {missing}: pairs need both")
    if noisy is None or clean is None:
        if pattern or channel:
            raise DataError(f"{'`pattern`' if pattern else '`channel`'} needs `noisy` DIR and `clean` DIR")
        if model.run is None:
            raise DataError(f"`model` {model.path}: a package holds no test images; give `noisy` DIR and `clean` DIR")
        dataset = model.run.dataset()
        return Pairs(dataset.test, dataset.source.pixel_size, own=True)
    if isinstance(noisy, str | os.PathLike) and isinstance(clean, str | os.PathLike):
        from training.data.sets.folders import FolderOptions, read_folders

        found = read_folders(FolderOptions(noisy=Path(noisy), clean=Path(clean), pattern=pattern, channel=channel))
        for note in found.notes:
            warn(note)
        return Pairs(found.samples, found.source.pixel_size)
    if isinstance(noisy, str | os.PathLike) or isinstance(clean, str | os.PathLike):
        raise DataError("`noisy` and `clean`: give two paths, or two images")
    return Pairs(_in_memory(noisy, clean))


def _in_memory(noisy: object, clean: object) -> list[Sample]:
    from bmz_fmd.arrays import as_planes
    from training.data import Sample

    several: list[Sequence[Any]] = [
        images if isinstance(images, list | tuple) else [images] for images in (noisy, clean)
    ]
    planes = [[plane for image in images for plane in as_planes(image)] for images in several]
    if len(planes[0]) != len(planes[1]):
        raise DataError(f"`noisy` holds {len(planes[0])} planes, `clean` {len(planes[1])}: each needs its partner")
    return [
        Sample.of_arrays(f"image_{number}", first, second)
        for number, (first, second) in enumerate(zip(*planes, strict=True))
    ]
