"""A denoiser as a function over arrays, and what one must know to run it on images of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from training.errors import ModelError
from training.inference.memory import available_memory, is_out_of_memory, release_memory
from training.inference.statistics import TrainedOn
from training.inference.tiles import in_tiles, largest_tile, plan, smallest_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.inference.backends import Predict

BYTES_PER_PIXEL = 8192
"""Working memory that a pixel of a tile is taken to need where nothing is known of the network: that of KBNet."""

_SHARE = 0.5  # of the free memory that a tile may use
_FASTEST = 384**2  # pixels of a tile: larger ones save little time and take half a gigabyte more of memory
_PLANES_NEED = 64  # bytes a pixel of functions of whole planes, which take most of their memory by parts
_LEAST_HALOS = 16  # a tile's side in halos: what tiles compute twice stays below a third in a plane


class TilesChangeTheResult(UserWarning):
    """A network that looks at the whole image was given tiles of it."""


@dataclass(frozen=True)
class Denoiser:
    """A denoiser as a function, and what one must know to give it tiles.

    Attributes
    ----------
    predict : callable
        From float32 (B, C, *space), of any size and in the units of the training images, to the same.
    halo : tuple of int
        Pixels around an output pixel that it depends on, one number a space axis, (y, x) or (z, y, x): the receptive
        radius, or what is taken for it.
    stride : tuple of int
        Total stride in pixels, likewise: tiles start at multiples of it.
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

    predict: Predict
    halo: tuple[int, ...]
    stride: tuple[int, ...]
    trained_on: TrainedOn | None = None
    local: bool = True
    bytes_per_pixel: float = BYTES_PER_PIXEL
    device: str = "cpu"

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that one image of it has: Y and X, or Z, Y and X."""
        return ("Z", "Y", "X")[-len(self.halo) :]

    def tiled(self, tile: int | None = None) -> Tiled:
        """Return a function that denoises an image (Y, X) or (Z, Y, X) of any size; see ``Tiled``."""
        return Tiled(self, tile)


def of_planes(denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]], device: str = "cpu") -> Denoiser:
    """Return a function over whole planes (Y, X), which needs little memory a pixel, as a ``Denoiser``."""

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([[denoise(plane) for plane in channels] for channels in images])

    return Denoiser(predict, (0, 0), (1, 1), local=False, bytes_per_pixel=_PLANES_NEED, device=device)


class Tiled:
    """A denoiser of images of any size, in tiles where that is faster or memory asks for them.

    Tiles are of the size that is fastest on the device, or as free memory allows, and smaller if it runs out; the size
    that fitted is kept for the next image. A network that is not local gets the image whole where memory allows.

    Parameters
    ----------
    denoiser : Denoiser
        The function and its needs.
    tile : int, optional
        Most pixels of a tile along each axis, halo included.

    Raises
    ------
    UserError
        If ``tile`` leaves no room for a core.
    """

    def __init__(self, denoiser: Denoiser, tile: int | None = None) -> None:
        self._denoiser = denoiser
        self._smallest = tuple(map(smallest_tile, denoiser.halo, denoiser.stride))
        self._sides = None if tile is None else (tile,) * len(denoiser.halo)
        least = max(self._smallest)
        if tile is not None and tile < least:
            raise ModelError(
                f"`tile` {tile} is too small: this model needs a halo of {max(denoiser.halo)} pixels on every side "
                f"of a tile; give {least} or more, better {-(-4 * least // 64) * 64}, or leave it out"
            )

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the denoised image.

        Parameters
        ----------
        image : ndarray, float32, (Y, X) or (Z, Y, X)
            In the units that the denoiser takes.

        Returns
        -------
        ndarray, float32, of the same shape

        Raises
        ------
        UserError
            If memory does not suffice for the smallest tile, or the denoiser gives NaN or infinity.
        """
        sides = tuple(map(min, self._sides or self._best(image.shape), image.shape))
        while (result := self._attempt(image, sides)) is None:
            release_memory(self._denoiser.device)
            if all(map(int.__le__, sides, self._smallest)):
                raise ModelError(
                    f"memory ran out even for a tile of {_size(sides)} pixels: close other programs, "
                    "or use a model with a smaller network"
                )
            halves = (side // 2 // stride * stride for side, stride in zip(sides, self._denoiser.stride, strict=True))
            sides = self._sides = tuple(map(max, halves, self._smallest))
        if not np.isfinite(result).all():
            raise ModelError(
                f"the model gave NaN or infinity for an image of {_size(image.shape)} pixels with values from "
                f"{image.min():g} to {image.max():g}: its weights are broken, or such values are far outside what it "
                "was trained on"
            )
        return result

    def _best(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the sides of the tile that is fastest, as far as memory allows it."""
        denoiser = self._denoiser
        pixels = available_memory(denoiser.device) * _SHARE / denoiser.bytes_per_pixel
        if denoiser.local and denoiser.device == "cpu":
            side = _FASTEST ** (1 / len(shape))
            pixels = min(pixels, prod(max(side, _LEAST_HALOS * halo) for halo in denoiser.halo))
        return largest_tile(shape, pixels, denoiser.halo, denoiser.stride)

    def _attempt(self, image: NDArray[np.float32], sides: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return the image denoised in tiles of these sides, or None if memory ran out."""
        denoiser = self._denoiser
        tiles = plan(image.shape, sides, denoiser.halo, denoiser.stride)
        if len(tiles) > 1 and not denoiser.local:
            warnings.warn(
                f"tiles of {_size(sides)} pixels change the result: this network, or its statistics, look at the "
                f"whole image of {_size(image.shape)}; with more memory, or a larger `tile`, it is denoised whole",
                TilesChangeTheResult,
                stacklevel=3,
            )
        try:
            result: NDArray[np.float32] = in_tiles(denoiser.predict, image[None, None], tiles)[0, 0]
            return result
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return None


def _size(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))
