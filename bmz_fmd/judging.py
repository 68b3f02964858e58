"""A model judged on images without clean ones: of files, of arrays, or the test images of its run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import DataError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bmz_fmd.models import Model
    from training.data import Sample
    from training.evaluation.trust import Judged, Trust

    Images = str | os.PathLike[str] | NDArray[Any] | xr.DataArray

SHARE = 0.9
"""Of the clean pixels that an error bar is to hold, unless something else is said."""


def open_images(
    images: Sequence[Images], clean: Images | None, *, pattern: str | None, channel: str | None, limit: int
) -> list[Sample]:
    """Return the planes of images as samples, at most ``limit`` of them (0: all), evenly spread.

    Raises
    ------
    UserError
        If there is none, one cannot be read, or with ``clean`` they do not make pairs.
    """
    if clean is not None and len(images) != 1:
        raise DataError("`clean` needs one folder, one file or one array of noisy images: name that alone")
    if pattern is not None and clean is None:
        raise DataError("`pattern` says how names of a pair differ: give `clean`, or leave it out")
    found: list[Sample] = []
    for each in images:
        if isinstance(each, str | os.PathLike):
            found += _of_files(Path(each), clean, pattern, channel)
        else:
            found += _of_arrays(each, clean, len(found))
    names: dict[str, int] = {}
    for number, sample in enumerate(found):
        names[sample.name] = names.get(sample.name, 0) + 1
        if names[sample.name] > 1:
            found[number] = replace(sample, name=f"{sample.name}_{names[sample.name]}")
    if limit and len(found) > limit:
        last = len(found) - 1
        return [found[round(number * last / max(limit - 1, 1))] for number in range(limit)]
    return found


def judge(
    model: Model,
    samples: Sequence[Sample],
    *,
    share: float | None,
    tile: int | None = None,
    turned: bool = True,
    each: Callable[[Judged], object] = lambda judged: None,
) -> Trust:
    """Judge a model's results of samples; with ``share``, which needs clean images, with an error bar."""
    from training.evaluation.trust import check_possible, fit_interval, judge_images

    if share is not None:
        check_possible(samples, share)
    camera = None if model.provenance is None else model.provenance.camera
    trust = judge_images(samples, model.denoiser, camera=camera, tile=tile, turned=turned, each=each)
    if share is None:
        return trust
    return trust.model_copy(update={"interval": fit_interval(samples, model.denoiser, share=share, tile=tile)})


def _of_files(path: Path, clean: Images | None, pattern: str | None, channel: str | None) -> Sequence[Sample]:
    from training.data.sets.folders import FolderOptions, read_folders

    if not path.exists():
        raise DataError(f"{path} does not exist: check the path")
    if clean is not None and not isinstance(clean, str | os.PathLike):
        raise DataError("the noisy images are files: give `clean` as a path too")
    truth = None if clean is None else Path(clean)
    return read_folders(FolderOptions(noisy=path, clean=truth, pattern=pattern, channel=channel)).samples


def _of_arrays(image: NDArray[Any] | xr.DataArray, clean: Images | None, number: int) -> Sequence[Sample]:
    from bmz_fmd.arrays import as_planes
    from training.data import Sample

    if isinstance(clean, str | os.PathLike):
        raise DataError("the noisy images are arrays: give `clean` as an array too")
    noisy, truth = as_planes(image), None if clean is None else as_planes(clean)
    if truth is not None and noisy.shape != truth.shape:
        raise DataError(f"the noisy image is {noisy.shape}, the clean {truth.shape}; make them alike")
    return [
        Sample.of_arrays(f"image_{number + at}", plane, None if truth is None else truth[at])
        for at, plane in enumerate(noisy)
    ]
