"""Images as people have them in memory: NumPy arrays, and xarrays with named axes, NumPy or dask below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from training.errors import ImageError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from training.inference.denoiser import Denoiser

    Image = TypeVar("Image", NDArray[Any], xr.DataArray)


def denoise_array(image: Image, denoiser: Denoiser, *, tile: int | None, channel: str | int | None) -> Image:
    """Denoise an image in memory; see ``models.Model``."""
    import xarray as xr

    from training.inference.denoising import denoise

    named, names = _named(image, denoiser.axes)
    lazy = isinstance(image, xr.DataArray) and image.chunks is not None
    if not lazy:
        _check_values(named.data)
    denoised = denoise(named, denoiser, tile=tile, channel=channel).astype(np.float32)
    if not lazy:
        denoised = denoised.compute()
    if isinstance(image, xr.DataArray):
        return denoised.rename(names).transpose(*image.dims)
    return np.asarray(denoised.data)


def as_planes(image: NDArray[Any] | xr.DataArray) -> NDArray[Any]:
    """Return an image in memory as planes (N, Y, X), in its own type."""
    named, _ = _named(image, ("Y", "X"))
    pixels = np.asarray(named.data)
    _check_values(pixels)
    return pixels.reshape(-1, *named.shape[-2:])


def _check_values(pixels: NDArray[Any]) -> None:
    if not np.isfinite(pixels).all():
        raise ImageError("the image holds NaN or infinite pixels: replace them first")
    if pixels.dtype.kind == "f" and max(abs(pixels.min()), abs(pixels.max())) > np.finfo(np.float32).max:
        raise ImageError("the image holds values beyond float32: scale the image")


def _named(
    image: NDArray[Any] | xr.DataArray | xr.Dataset | str | os.PathLike[str], axes: tuple[str, ...]
) -> tuple[xr.DataArray, dict[str, str]]:
    """Return an image with upper-case axes, Y and X last, and how its own were called."""
    import xarray as xr

    if isinstance(image, str | os.PathLike):
        raise ImageError("the image is a path: give an array; bmz_fmd.denoise(path, model) reads files")
    if isinstance(image, xr.Dataset):
        raise ImageError(f"the image is a Dataset: give one of its variables, {', '.join(map(str, image.data_vars))}")
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError("the image is a masked array: give plain numbers, such as image.filled(0)")
    if isinstance(image, xr.DataArray):
        own = {str(dim).upper(): str(dim) for dim in image.dims}
        if not {"Y", "X"} <= set(own) or len(own) < image.ndim:
            raise ImageError(f"the image has the axes {', '.join(map(str, image.dims))}: name two of them Y and X")
        named = image.rename({dim: upper for upper, dim in own.items()}).transpose(..., "Y", "X")
    else:
        array = np.asarray(image)
        if array.ndim < len(axes):
            raise ImageError(f"the image has {array.ndim} axes: this model takes (..., {', '.join(axes)})")
        leading = array.ndim - len(axes)
        own = {}
        named = xr.DataArray(array, dims=[*(f"axis{number}" for number in range(leading)), *axes])
    if named.dtype.kind not in "buif" or named.size == 0:
        raise ImageError(f"the image has the type {named.dtype} and {named.size} pixels: give numbers, one a pixel")
    return named, own
