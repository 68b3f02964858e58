"""Any denoiser over the images of files: plane by plane or stack by stack, lazily, whatever the other axes are."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import ModelError
from training.images import PlaneReader, channel_number

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from training.inference.denoiser import Denoiser


def denoise(
    image: xr.DataArray,
    denoiser: Denoiser,
    *,
    tile: int | None = None,
    progress: Callable[[int], object] | None = None,
    channel: str | int | None = None,
) -> xr.DataArray:
    """Denoise every plane of an image, or every Z stack with a model of volumes, each when it is asked for.

    Parameters
    ----------
    image : DataArray
        The last two dimensions are ``Y`` and ``X``; NumPy or dask, of integers or floats, in the units of the
        denoiser's training images.
    denoiser : Denoiser
        The function and its needs. One of two axes runs over all planes, one of three over ``Z``, ``Y`` and ``X``.
    tile : int, optional
        Side of a tile in pixels, halo included; by default what is fastest, as far as memory allows.
    progress : callable, optional
        Called with the number of planes that were done.
    channel : str or int, optional
        Denoise this channel alone, by its name or its number from 0, and pass the others through; by default all
        are denoised.

    Returns
    -------
    DataArray
        Of the same dimensions, coordinates and attributes, float32 (float64 for types that float32 does not hold);
        ``training.images.write_image`` rounds to the file's own type. A dask array, one plane or stack a chunk:
        computing a chunk denoises it, only one at a time, so an image written plane by plane never lies in memory
        whole.

    Raises
    ------
    UserError
        If the tile is too small for the denoiser, or the image lacks the channel or an axis of the denoiser; while
        computing, if memory does not suffice or the denoiser gives NaN.
    """
    import dask.array as da

    if image.dims[-2:] != ("Y", "X"):
        raise ValueError(f"the last two axes must be Y and X, not {image.dims}")
    if not set(denoiser.axes) <= set(image.dims):
        raise ModelError(f"{image.attrs.get('path', 'the image')}: has no Z axis, and this model denoises Z stacks")
    ordered = image.transpose(..., *denoiser.axes)
    leading, space = ordered.shape[: -len(denoiser.axes)], ordered.shape[-len(denoiser.axes) :]
    dtype = np.result_type(image.dtype, np.float32)
    denoised = da.map_blocks(  # type: ignore[no-untyped-call]
        _Chunks(ordered, denoiser, dtype=dtype, tile=tile, channel=channel, progress=progress),
        chunks=tuple((1,) * length for length in leading) + tuple((length,) for length in space),
        dtype=dtype,
        meta=np.empty((0,) * image.ndim, dtype),
        name=f"denoise-{uuid.uuid4().hex}",
    )
    return ordered.copy(data=denoised).transpose(*image.dims)


def plane_count(image: xr.DataArray) -> int:
    """Return how many planes an image has: the product of all its axes but Y and X."""
    return prod(image.shape[:-2])


class _Chunks:
    """Reads and denoises the planes or stacks of an image, only one at a time.

    Stacks are written plane by plane, and with several channels in turn: the last of each channel are kept.
    """

    def __init__(
        self,
        image: xr.DataArray,
        denoiser: Denoiser,
        *,
        dtype: np.dtype[Any],
        tile: int | None,
        channel: str | int | None,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._read = PlaneReader(image)
        self._space = image.shape[-len(denoiser.axes) :]
        self._denoise = denoiser.tiled(tile)
        self._dtype = dtype
        self._chosen = None if channel is None else (channel_number(image, channel), image.dims.index("C"))
        self._progress = progress
        self._keep = image.sizes.get("C", 1) if len(denoiser.axes) > 2 else 0
        self._kept: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        with self._lock:
            index = block_id[: -len(self._space)]
            if index in self._kept:
                return self._kept[index]
            planes = [self._read((*index, *above)) for above in np.ndindex(self._space[:-2])]
            values = np.stack(planes).reshape(self._space)
            if self._chosen is None or index[self._chosen[1]] == self._chosen[0]:
                values = self._denoise(values.astype(np.float32))
            result = values.astype(self._dtype, copy=False).reshape((1,) * len(index) + self._space)
            if self._progress is not None:
                self._progress(len(planes))
            if self._keep:
                self._kept[index] = result
                while len(self._kept) > self._keep:
                    self._kept.popitem(last=False)
            return result
