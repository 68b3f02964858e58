"""Any denoiser over images of any size and axes: plane by plane, lazily, in the image's own type."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from training.calibration.noise import noise_level
from training.errors import ModelError
from training.images import channel_number, planes
from training.inference.tiles import BYTES_PER_PIXEL, Tiled

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
                raise ModelError(
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
    channel: str | int | None = None,
) -> xr.DataArray:
    """Denoise every plane of an image, each when it is asked for.

    Parameters
    ----------
    image : DataArray
        The last two dimensions are ``Y`` and ``X``; the planes run over all others. NumPy or dask, of integers or
        floats, in the units of the denoiser's training images.
    denoiser : Denoiser
        The function and its needs.
    tile : int, optional
        Side of a tile in pixels, halo included; by default planes are whole where memory allows.
    progress : callable, optional
        Called without arguments after each plane.
    channel : str or int, optional
        Denoise this channel alone, by its name or its number from 0, and pass the others through; by default all
        are denoised.

    Returns
    -------
    DataArray
        Of the same dimensions, coordinates and attributes, float32 (float64 for types that float32 does not hold);
        ``training.images.write_image`` rounds to the file's own type. A dask array, one plane a chunk: computing a
        plane denoises it, only one at a time, so a stack written plane by plane never lies in memory whole.

    Raises
    ------
    UserError
        If the tile is too small for the denoiser or the channel does not exist; while computing, if memory does
        not suffice or the denoiser gives NaN.
    """
    import dask.array as da

    if image.dims[-2:] != ("Y", "X"):
        raise ValueError(f"the last two axes must be Y and X, not {image.dims}")
    dtype = np.result_type(image.dtype, np.float32)
    chosen = None if channel is None else (channel_number(image, channel), image.dims.index("C"))
    block = _Block(denoiser.planes(tile), dtype, chosen, progress)
    leading = image.ndim - 2
    denoised = da.map_blocks(  # type: ignore[no-untyped-call]
        block,
        da.asarray(image.data).rechunk((1,) * leading + (-1, -1)),  # type: ignore[no-untyped-call]
        dtype=dtype,
        meta=np.empty((0,) * image.ndim, dtype),
        name=f"denoise-{uuid.uuid4().hex}",
    )
    return image.copy(data=denoised)


@dataclass(frozen=True)
class _Block:
    """Denoises one chunk, a plane with leading axes of length 1, and only one at a time."""

    plane: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    dtype: np.dtype[Any]
    chosen: tuple[int, int] | None  # number and axis of the one channel to denoise
    progress: Callable[[], object] | None
    lock: Lock = field(default_factory=Lock)

    def __call__(self, chunk: NDArray[Any], block_id: tuple[int, ...]) -> NDArray[Any]:
        with self.lock:
            result = chunk
            if self.chosen is None or block_id[self.chosen[1]] == self.chosen[0]:
                result = self.plane(chunk.reshape(chunk.shape[-2:]).astype(np.float32)).reshape(chunk.shape)
            if self.progress is not None:
                self.progress()
            return result.astype(self.dtype, copy=False)


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
        As ``denoise`` takes it, with one pixel at least.

    Returns
    -------
    Look

    Raises
    ------
    UserError
        If a plane cannot be read (see ``training.images.open_image``).
    """
    count = planes_in(image)
    looked_at = set(np.linspace(0, count - 1, _NOISE_PLANES).astype(int).tolist())
    step = max(1, int(np.ceil(np.sqrt(image.size / _SAMPLE))))
    sample, noise = [], []
    for number, (_, plane) in enumerate(planes(image)):
        sample.append(plane[::step, ::step].ravel())
        if number in looked_at and min(plane.shape) >= _SMALLEST_FOR_NOISE:
            noise.append(noise_level(plane))
    low, high = np.percentile(np.concatenate(sample).astype(np.float64), (0.1, 99.9))
    return Look(float(low), float(high), float(np.median(noise)) if noise else None)


def planes_in(image: xr.DataArray) -> int:
    """Return how many planes an image has: the product of all its axes but Y and X."""
    return int(np.prod([length for name, length in image.sizes.items() if name not in ("Y", "X")], dtype=int))
