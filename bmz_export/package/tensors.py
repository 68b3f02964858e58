"""The public example of a package: test tensors for machines and a sample image for people, from one real image."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bmz_export.package.rdf import TEST_INPUT, TEST_OUTPUT
from training.errors import PackageError
from training.evaluation.pictures import busiest_window

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated

T = TypeVar("T", bound=np.generic)

SAMPLE = "sample_input.tif"
SIDE = 256
"""Pixels a side, where the declared minimum allows: every engine runs the example several times."""
_SLANT = 5**0.5 - 2  # no fraction: nothing returns along a row or a column
_SMOOTHED = 16  # pixels a side: structure is looked for in means over such squares, where noise averages out


def choose_region(image: NDArray[Any], minimum: int) -> NDArray[Any]:
    """Return the part of an image that shows most, in the image's own type.

    Parameters
    ----------
    image : array (H, W)
        Any real type and any size; finite.
    minimum : int
        Least height and width that the model declares; a smaller image is mirrored up to it.

    Returns
    -------
    array
        At most ``max(minimum, SIDE)`` pixels a side, at least ``minimum``.

    Raises
    ------
    UserError
        When the image is not one plane of numbers, or holds NaN or infinity.
    """
    if image.ndim != 2 or image.size == 0 or image.dtype.kind not in "biuf":
        raise PackageError(f"the example is not one plane of real numbers but {image.shape} of {image.dtype}")
    if not np.isfinite(image).all():
        raise PackageError("the example holds NaN or infinity; choose another with `example` FILE")
    image = fitted(image, [max(minimum, size) for size in image.shape])
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(image.astype(np.float64), _SMOOTHED)
    return np.ascontiguousarray(image[busiest_window(smooth, max(minimum, SIDE))])


def fitted(image: NDArray[T], shape: Sequence[int]) -> NDArray[T]:
    """Return an image of this shape: cut, or mirrored up with the edge pixel repeated; it begins as the one given."""
    image = image[tuple(map(slice, shape))]
    lacking = [(0, size - given) for size, given in zip(shape, image.shape, strict=True)]
    return np.ascontiguousarray(np.pad(image, lacking, mode="symmetric"))


def slanted(image: NDArray[T], shape: Sequence[int]) -> NDArray[T]:
    """Return an image of another size, made of the pixels of this one, that shows every seam between tiles.

    The image is mirrored in all directions and read along slanted lines. Neighbours stay neighbours, and intensities,
    structures and noise stay what they are, but no mirror axis and no period lies along a row or a column: what lies
    beyond the end of a tile is never its mirror image. A line of 620 pixels where tiles meet crosses the given image at
    146 offsets, of which the worst counts.

    Parameters
    ----------
    image : array (..., height, width)
        Of any size.
    shape : (int, int)
        Height and width of the new one, in pixels.
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    columns = columns + (_SLANT * rows).astype(int)
    rows = rows - np.floor(_SLANT * columns).astype(int)
    return image[..., _mirrored(rows, image.shape[-2]), _mirrored(columns, image.shape[-1])]


def _mirrored(position: NDArray[np.int_], size: int) -> NDArray[np.int_]:
    position = position % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)


def write_tensors(folder: Path, model: "Calibrated", sample: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Write the test input and what the model makes of it, float32 in C order, and return both.

    Parameters
    ----------
    folder : Path
        Where they go.
    model : Calibrated
        In eval mode, on the CPU.
    sample : array (H, W)
        In the model's units.

    Returns
    -------
    noisy, denoised : float32 arrays (1, 1, H, W)

    Raises
    ------
    UserError
        When the model gives NaN or infinity, or the same everywhere.
    """
    import torch

    noisy = np.ascontiguousarray(sample, dtype=np.float32)[None, None]
    with torch.no_grad():
        denoised = np.ascontiguousarray(model(torch.from_numpy(noisy)).numpy())
    if not np.isfinite(denoised).all():
        raise PackageError("the model gives NaN or infinity for the example; its weights are broken: train it again")
    if np.ptp(denoised) == 0:
        raise PackageError(
            "the model gives the same value everywhere for the example, which shows nothing; see `example`"
        )
    np.save(folder / TEST_INPUT, noisy)
    np.save(folder / TEST_OUTPUT, denoised)
    return noisy, denoised


def write_sample(path: Path, sample: NDArray[Any]) -> None:
    """Write the sample as a TIFF that ImageJ opens.

    ImageJ has uint8, uint16 and float32: the sample keeps its type where that is one of them, and else takes one that
    holds its values.
    """
    import tifffile

    tifffile.imwrite(path, sample.astype(_imagej_type(sample)), imagej=True, metadata={"axes": "YX"})


def _imagej_type(sample: NDArray[Any]) -> type[np.generic]:
    if sample.dtype.kind in "biu":
        low, high = int(sample.min()), int(sample.max())
        if low >= 0 and high < 2**8 and sample.dtype.itemsize == 1:
            return np.uint8
        if low >= 0 and high < 2**16:
            return np.uint16
    return np.float32
