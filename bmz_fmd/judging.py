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
    from training.evaluation.trust import Interval, Judged, Trust

    Images = str | os.PathLike[str] | NDArray[Any] | xr.DataArray

SHARE = 0.9
"""Of the clean pixels that an error bar is to hold, unless something else is said."""


def open_images(
    images: Sequence[Images],
    clean: Images | None,
    *,
    pattern: str | None,
    channel: str | None,
    repeats: bool = False,
    limit: int,
) -> list[Sample]:
    """Return the planes of images as samples, at most ``limit`` of them (0: all), evenly spread.

    With ``repeats``, the planes of a field along the axis T, and files that differ by time or repeat, are its frames.

    Raises
    ------
    UserError
        If there is none, one cannot be read, with ``clean`` they do not make pairs, or with ``repeats`` a field has one
        frame alone or moves.
    """
    if clean is not None and len(images) != 1:
        raise DataError("`clean` needs one folder, one file or one array of noisy images: name that alone")
    if pattern is not None and clean is None:
        raise DataError("`pattern` says how names of a pair differ: give `clean`, or leave it out")
    found: list[Sample] = []
    for each in images:
        if isinstance(each, str | os.PathLike):
            found += _of_files(Path(each), clean, pattern, channel, repeats=repeats)
        else:
            found += _of_arrays(each, clean, len(found), repeats=repeats)
    if repeats:
        _check_repeats(found)
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
    from training.evaluation.trust import judge_images

    camera = None if model.provenance is None else model.provenance.camera
    return judge_images(samples, model.denoiser, camera=camera, tile=tile, turned=turned, share=share, each=each)


def read_interval(path: Path, model: Model) -> Interval:
    """Return the error bar of a model's results that ``trust`` stored among its figures.

    Raises
    ------
    UserError
        If the file cannot be read or holds none, or it is that of another model.
    """
    import json

    from pydantic import ValidationError

    from training.evaluation.trust import Interval

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        interval, sha256 = Interval.model_validate(content["interval"]), content["model"]["sha256"]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, ValidationError) as error:
        raise DataError(f"{path} holds no error bar: give what `json` stored of a call with `clean`") from error
    if sha256 != model.sha256:
        raise DataError(f"{path} holds the error bar of another model: fix that of {model.path} with `clean`")
    return interval


def _check_repeats(samples: Sequence[Sample]) -> None:
    """Refuse what are no repeats: a single frame, or frames between which something moves or bleaches."""
    from training.methods.repeats import moving

    single = next((sample.name for sample in samples if len(sample.noisy) < 2), None)
    if single is not None:
        raise DataError(f"{single} has one frame: leave `repeats` out, or give two noisy frames of each field or more")
    moved = moving(samples)
    if moved is not None:
        raise DataError(f"{moved}: leave `repeats` out, and each is judged by itself")


def _of_files(
    path: Path, clean: Images | None, pattern: str | None, channel: str | None, *, repeats: bool
) -> Sequence[Sample]:
    from training.data.sets.folders import FolderOptions, read_folders

    if not path.exists():
        raise DataError(f"{path} does not exist: check the path")
    if clean is not None and not isinstance(clean, str | os.PathLike):
        raise DataError("the noisy images are files: give `clean` as a path too")
    truth = None if clean is None else Path(clean)
    options = FolderOptions(noisy=path, clean=truth, pattern=pattern, channel=channel, repeats=repeats)
    return read_folders(options).samples


def _of_arrays(
    image: NDArray[Any] | xr.DataArray, clean: Images | None, number: int, *, repeats: bool
) -> Sequence[Sample]:
    from bmz_fmd.arrays import as_planes
    from training.data import Sample
    from training.data.sample import ArraySource

    if isinstance(clean, str | os.PathLike):
        raise DataError("the noisy images are arrays: give `clean` as an array too")
    noisy, truth = as_planes(image), None if clean is None else as_planes(clean)
    if repeats and (truth is None or truth.shape == noisy[:1].shape):
        first = Sample.of_arrays(f"image_{number}", noisy[0], None if truth is None else truth[0])
        return [replace(first, noisy=tuple(map(ArraySource, noisy)))]
    if truth is not None and noisy.shape != truth.shape:
        raise DataError(f"the noisy image is {noisy.shape}, the clean {truth.shape}; make them alike")
    return [
        Sample.of_arrays(f"image_{number + at}", plane, None if truth is None else truth[at])
        for at, plane in enumerate(noisy)
    ]
