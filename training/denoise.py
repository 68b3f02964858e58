"""Any denoiser over images of any size and axes: plane by plane, lazily, in the image's own type."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from training.errors import UserError
from training.metrics import noise_level
from training.tiles import BYTES_PER_PIXEL, Tiled

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

_SAMPLE = 2_000_000  # pixels that an image's percentiles are taken from
_NOISE_PLANES = 9  # planes that an image's noise is the median of
_SMALLEST_FOR_NOISE = 16  # pixels a side: below, an estimate of the noise says nothing
_INTENSITY_MARGIN = 0.1  # of the trained range: an image may reach so far beyond it
_NOISE_FACTOR = 1.5  # an image's noise may be so much more or less than in training


class TrainedOn(Protocol):
    """What a model saw in training, in the units of its training images."""

    @property
    def low(self) -> float:
        """0.1 percentile of the noisy images."""

    @property
    def high(self) -> float:
        """99.9 percentile of the noisy images."""

    @property
    def noise(self) -> float:
        """Median standard deviation of their noise."""


@dataclass(frozen=True)
class Denoiser:
    """A denoiser as a function, and what one must know to give it tiles.

    Attributes
    ----------
    predict : callable
        From float32 (B, 1, H, W), of any height and width and in the units of the training images, to the same.
    halo : int
        Pixels around an output pixel that it depends on: the receptive radius, or what is taken for it.
    stride : int
        Total stride in pixels: tiles start at multiples of it.
    trained_on : TrainedOn, optional
        Intensities and noise of the training images.
    local : bool
        Whether nothing beyond ``halo`` matters. Not so for a network with a global operation and for one that takes
        the statistics of each image: tiles change their result.
    bytes_per_pixel : float
        Working memory that a pixel needs.
    device : str
        Where it runs, in torch's words (``cpu``, ``cuda``, ``cuda:1``, ``mps``).
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    halo: int
    stride: int
    trained_on: TrainedOn | None = None
    local: bool = True
    bytes_per_pixel: float = BYTES_PER_PIXEL
    device: str = "cpu"

    def planes(self, tile: int | None = None) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return a function that denoises a plane (H, W) of any size, in tiles of side ``tile`` or as memory allows."""
        tiled = Tiled(
            self.predict,
            halo=self.halo,
            stride=self.stride,
            tile=tile,
            local=self.local,
            bytes_per_pixel=self.bytes_per_pixel,
            device=self.device,
        )

        def denoise_plane(plane: NDArray[np.float32]) -> NDArray[np.float32]:
            result = tiled(plane)
            if not np.isfinite(result).all():
                raise UserError(
                    f"the model gave NaN or infinity for a plane of {plane.shape[0]} x {plane.shape[1]} pixels with "
                    f"values from {plane.min():g} to {plane.max():g}: its weights are broken, or such values are "
                    "far outside what it was trained on"
                )
            return result

        return denoise_plane


def denoise(
    image: xr.DataArray,
    denoiser: Denoiser,
    *,
    tile: int | None = None,
    progress: Callable[[], object] | None = None,
    as_float: bool = False,
    channel: int | None = None,
) -> xr.DataArray:
    """Denoise every plane of an image, each when it is asked for.

    Parameters
    ----------
    image : DataArray
        With dimensions ``Y`` and ``X`` and any others, over which the planes run; NumPy or dask, in the units of the
        denoiser's training images. It must hold no NaN (see ``look``).
    denoiser : Denoiser
        The function and its needs.
    tile : int, optional
        Side of a tile in pixels, halo included; by default planes are whole where memory allows.
    progress : callable, optional
        Called without arguments after each plane.
    as_float : bool
        Return float32 instead of the image's own type. Integer types are rounded and clipped to their range.
    channel : int, optional
        Denoise this channel alone, counted from 0, and pass the others through; by default all are denoised.

    Returns
    -------
    DataArray
        A dask array of the same dimensions, coordinates and attributes, one plane a chunk. Computing a plane denoises
        it; only one is denoised at a time, so a stack that is written plane by plane never lies in memory whole.

    Raises
    ------
    UserError
        If the tile is too small for the denoiser or the channel does not exist; while computing, if memory does
        not suffice or the denoiser gives NaN.
    """
    import dask.array as da

    if channel is not None:
        _check_channel(image, channel)
    dtype = np.dtype(np.float32) if as_float else image.dtype
    leading = [str(name) for name in image.dims if name not in ("Y", "X")]
    ordered = image.transpose(*leading, "Y", "X")
    block = _Block(denoiser.planes(tile), dtype, leading, channel, progress)
    chunks = dict.fromkeys(range(len(leading)), 1) | {len(leading): -1, len(leading) + 1: -1}
    denoised = da.map_blocks(  # type: ignore[no-untyped-call]
        block,
        da.asarray(ordered.data).rechunk(chunks),  # type: ignore[no-untyped-call]
        dtype=dtype,
        meta=np.empty((0,) * ordered.ndim, dtype),
        name=f"denoise-{uuid.uuid4().hex}",
    )
    result = ordered.copy(data=denoised).transpose(*image.dims)
    if "dtype" in result.attrs:
        result.attrs["dtype"] = str(dtype)
    return result


@dataclass(frozen=True)
class _Block:
    """Denoises one chunk, a plane with leading axes of length 1, and only one at a time."""

    plane: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    dtype: np.dtype[Any]
    leading: list[str]
    channel: int | None
    progress: Callable[[], object] | None
    lock: Lock = field(default_factory=Lock)

    def __call__(self, chunk: NDArray[Any], block_info: dict[Any, Any] | None = None) -> NDArray[Any]:
        with self.lock:
            if self.channel is not None and block_info is not None:
                index = dict(zip(self.leading, block_info[None]["chunk-location"], strict=False))
                if index["C"] != self.channel:
                    result = chunk.astype(self.dtype)
                    self._tell()
                    return result
            result = _cast(self.plane(chunk.reshape(chunk.shape[-2:]).astype(np.float32)), self.dtype)
            self._tell()
            return result.reshape(chunk.shape)

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress()


def _check_channel(image: xr.DataArray, channel: int) -> None:
    path = image.attrs.get("path", "the image")
    if "C" not in image.dims:
        raise UserError(f"--channel {channel}: {path} has no channel axis (its axes are {_axes(image)}); leave it out")
    count = image.sizes["C"]
    if not 0 <= channel < count:
        raise UserError(f"--channel {channel}: {path} has {count} channels, 0 to {count - 1}")


def _axes(image: xr.DataArray) -> str:
    return "".join(str(name) for name in image.dims)


def _cast(plane: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the plane in another type: rounded and clipped for integers, so that nothing wraps around."""
    if dtype.kind == "b":
        return plane >= 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        rounded = np.rint(plane.astype(np.float64))
        # the largest 64-bit integers have no float64 of their own: the next one above would wrap around
        largest = np.nextafter(float(limits.max), 0) if dtype.itemsize == 8 else limits.max
        result = np.clip(rounded, limits.min, largest).astype(dtype)
        result[rounded >= limits.max] = limits.max
        return result
    return plane.astype(dtype)


@dataclass(frozen=True)
class Look:
    """What one reading of an image shows, in its own units.

    Attributes
    ----------
    low, high : float
        Its 0.1 and 99.9 percentile, over a grid of its pixels.
    noise : float or None
        Median standard deviation of the noise over some of its planes; None where they are too small to tell.
    """

    low: float
    high: float
    noise: float | None

    def beyond(self, trained_on: TrainedOn) -> list[str]:
        """Return in what the image differs from the training images, each with the figures; empty if in nothing."""
        found = []
        margin = _INTENSITY_MARGIN * (trained_on.high - trained_on.low)
        seen = f"{self.low:.4g} to {self.high:.4g}"
        learnt = f"{trained_on.low:.4g} to {trained_on.high:.4g}"
        if self.high > trained_on.high + margin or self.low < trained_on.low - margin:
            found.append(f"intensities {seen} reach beyond those of training, {learnt}")
        elif self.high < trained_on.low + margin:
            found.append(f"intensities {seen} lie at the low end of those of training, {learnt}")
        if self.noise is not None and trained_on.noise > 0:
            ratio = self.noise / trained_on.noise
            if not 1 / _NOISE_FACTOR <= ratio <= _NOISE_FACTOR:
                found.append(
                    f"noise of standard deviation {self.noise:.3g} is {ratio:.2g} times that of training, "
                    f"{trained_on.noise:.3g}"
                )
        return found


def look(image: xr.DataArray) -> Look:
    """Read an image once, plane by plane, and say what it holds.

    Parameters
    ----------
    image : DataArray
        As ``denoise`` takes it.

    Returns
    -------
    Look

    Raises
    ------
    UserError
        If it is empty, not of numbers, or holds NaN or infinity.
    """
    path = image.attrs.get("path", "the image")
    if image.size == 0:
        raise UserError(f"{path} holds no pixel: its axes {_axes(image)} have the lengths {image.shape}")
    if image.dtype.kind not in "biuf":
        raise UserError(f"{path} holds {image.dtype} values: denoising takes integer or floating-point images")
    leading = [name for name in image.dims if name not in ("Y", "X")]
    stack = image.transpose(*leading, "Y", "X")
    indices = list(np.ndindex(stack.shape[:-2]))
    noisy_ones = {indices[i] for i in np.linspace(0, len(indices) - 1, _NOISE_PLANES).astype(int)}
    step = max(1, int(np.ceil(np.sqrt(image.size / _SAMPLE))))
    sample, noise = [], []
    for index in indices:
        plane = np.asarray(stack[index].data).astype(np.float32)
        if not np.isfinite(plane).all():
            where = "" if not leading else " at " + ", ".join(f"{n}={i}" for n, i in zip(leading, index, strict=True))
            raise UserError(
                f"{path} holds NaN or infinity{where}: replace such pixels, for instance by their neighbours"
            )
        sample.append(plane[::step, ::step].ravel())
        if index in noisy_ones and min(plane.shape) >= _SMALLEST_FOR_NOISE:
            noise.append(noise_level(plane))
    low, high = np.percentile(np.concatenate(sample), (0.1, 99.9))
    return Look(float(low), float(high), float(np.median(noise)) if noise else None)


def planes_in(image: xr.DataArray) -> int:
    """Return how many planes an image has: the product of all its axes but Y and X."""
    return int(np.prod([length for name, length in image.sizes.items() if name not in ("Y", "X")], dtype=int))
