"""The test image of a mended package: the old one where it is of use, else the sample image."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.inspection import Inspection
from bmz_export.inspection.tensors import MAX_VALUES, read_tensor
from bmz_export.package.description import Tensor
from bmz_export.package.tensors import fitted
from bmz_export.repair.operations import CANONICAL
from training.errors import PackageError

Array = NDArray[np.float32]

OLD = "the old test input"


def canonical(array: NDArray[Any] | None, tensor: Tensor) -> Array | None:
    """Return an array in a tensor's order of axes as (batch, channel, y, x), None where it does not fit."""
    if array is None or array.ndim != len(tensor.axes) or array.dtype.kind not in "biuf":
        return None
    kept = [letter for letter in CANONICAL if letter in tensor.order]
    image = np.asarray(array, np.float32).transpose([tensor.order.index(letter) for letter in kept])
    image = np.expand_dims(image, [index for index, letter in enumerate(CANONICAL) if letter not in tensor.order])
    return np.ascontiguousarray(image)


def telling(image: Array | None) -> bool:
    """Say whether an image can test anything: finite, and not the same everywhere."""
    return image is not None and bool(np.isfinite(image).all()) and float(np.ptp(image)) > 0


def test_image(inspection: Inspection, takes: Tensor) -> tuple[Array, str] | None:
    """Return a test image (1, channel, y, x) that the description allows, and what it was made of.

    Raises
    ------
    UserError
        Where the least that the description allows is larger than any image that is tried.
    """
    for image, origin in _found(inspection, takes):
        if telling(image):
            shape = list(image[:1].shape)
            for place, letter in enumerate(CANONICAL[2:], start=2):
                axis = takes.axis(letter)
                if axis is not None and (axis.size or axis.step):
                    shape[place] = axis.at_least(shape[place])
            if prod(shape) > MAX_VALUES:
                raise PackageError(
                    f"{inspection.package.path}: {takes.id} takes images of no less than {shape[2]} x {shape[3]}; "
                    f"at most {MAX_VALUES:,} values are tried"
                )
            return fitted(image[:1], shape), origin
    return None


def _found(inspection: Inspection, takes: Tensor) -> Iterator[tuple[Array, str]]:
    test = inspection.test(takes)
    image = canonical(test.array, takes) if test else None
    if image is not None:
        yield image, OLD
    files = [takes.sample, *inspection.description.attachments]
    for source in dict.fromkeys(file.source for file in files if file):
        path = inspection.package.file(source)
        if path is not None and path.suffix.lower() in (".tif", ".tiff", ".npy"):
            image = canonical(read_tensor(path).array, takes) if path.suffix == ".npy" else _from_tiff(path, takes)
            if image is not None:
                yield image, f"the sample image {source}"


def _from_tiff(path: Path, takes: Tensor) -> Array | None:
    """Return the first plane of a TIFF, all channels of it where the model takes as many."""
    import tifffile

    channel = takes.axis("c")
    wanted = 1 if channel is None else channel.size or 1
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.size > MAX_VALUES:
                return None
            array, axes = series.asarray(), series.axes.lower().replace("s", "c")
    except Exception:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return None
    if array.dtype.kind not in "biuf" or not {"y", "x"} <= set(axes):
        return None
    for place in reversed(range(array.ndim)):
        if axes[place] not in "yxc" or (axes[place] == "c" and wanted == 1):
            array, axes = array.take(0, place), axes[:place] + axes[place + 1 :]
    array = array.transpose([axes.index(letter) for letter in "cyx" if letter in axes])
    array = array if array.ndim == 3 else array[None]
    return np.ascontiguousarray(array[None], np.float32) if len(array) == wanted else None
