"""A plane in tiles: cut with a halo, denoised one by one, and put together to the whole plane's result.

A tile is the part of a plane that goes through the network; its core is the part of it that is kept. Between core
and cut lies the halo, as wide as the network's receptive radius and a multiple of its stride, so that a strided grid
keeps its phase. At the plane's own edges tiles are clipped rather than padded: the network meets the true edge and
treats it as it would in the whole plane. So for a finite radius the result equals the whole plane's, edges included.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, isqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BYTES_PER_PIXEL = 8192
"""Working memory that a pixel of a tile is taken to need where nothing is known of the network: that of KBNet."""

_SHARE = 0.5  # of the free memory that a tile may use
_CGROUPS = (  # a container's memory, version 2 and version 1: folder, limit, use, and what of it counts old file pages
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "std::bad_alloc",
    "bad allocation",
    "alloc_failed",
)


class TilesChangeTheResult(UserWarning):
    """A network that looks at the whole image was given tiles of it."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the plane: ``start <= core_start < core_stop <= stop``."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def tile(self) -> slice:
        """What goes through the network, within the plane."""
        return slice(self.start, self.stop)

    @property
    def core(self) -> slice:
        """What is kept, within the plane."""
        return slice(self.core_start, self.core_stop)

    @property
    def core_in_tile(self) -> slice:
        """What is kept, within the tile."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


def smallest_tile(halo: int, stride: int = 1) -> int:
    """Return the side of the smallest tile that has a core: twice the halo, in whole strides, and one stride."""
    return 2 * _round_up(halo, stride) + stride


def spans(length: int, tile: int, halo: int, stride: int = 1) -> list[Span]:
    """Cut an axis into tiles whose cores, all of about the same length, cover it without overlap.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    tile : int
        Most pixels in a tile, halo included; at least ``smallest_tile(halo, stride)`` unless the axis is no longer.
    halo : int
        Pixels between core and cut; rounded up to a multiple of ``stride``.
    stride : int
        Tiles start at multiples of it.

    Returns
    -------
    list of Span
        From low to high; a single one if the axis is no longer than a tile.

    Raises
    ------
    ValueError
        If the tile has no room for a core.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    if tile < smallest_tile(halo, stride):
        raise ValueError(f"a tile of {tile} has no core: halo {halo}, stride {stride}")
    halo = _round_up(halo, stride)
    largest_core = (tile - 2 * halo) // stride * stride
    count = ceil(length / largest_core)
    core = _round_up(ceil(length / count), stride)
    return [
        Span(max(at - halo, 0), min(at + core + halo, length), at, min(at + core, length))
        for at in range(0, length, core)
    ]


def plan(shape: tuple[int, int], tile: int, halo: int, stride: int = 1) -> list[tuple[Span, Span]]:
    """Return the tiles of a plane of shape (H, W) as pairs of spans along y and x; see ``spans``."""
    height, width = shape
    return [(y, x) for y in spans(height, tile, halo, stride) for x in spans(width, tile, halo, stride)]


def largest_tile(memory: int, bytes_per_pixel: float, halo: int, stride: int = 1) -> int:
    """Return the side of the largest square tile that ``memory`` bytes allow, at least the smallest that there is."""
    side = isqrt(max(int(memory * _SHARE / bytes_per_pixel), 0))
    return max(side // stride * stride, smallest_tile(halo, stride))


def available_memory(device: str = "cpu") -> int:
    """Return the bytes that are free on a device: of the machine, or of the container that the program runs in.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda``, ``cuda:1``; any other shares the machine's memory.
    """
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(device))
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + reserved)
    import psutil

    return min(int(psutil.virtual_memory().available), *_container_memory(_CGROUPS), sys.maxsize)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, in the words of NumPy, torch or ONNX Runtime."""
    # each library has a class of its own for it, few of which can be named without importing that library
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)


class Tiled:
    """A denoiser of planes of any size: whole where memory allows, in tiles where not, in smaller ones if it runs out.

    The size that fitted is kept for the next plane.

    Parameters
    ----------
    predict : callable
        From float32 (1, 1, h, w) to the same shape.
    halo : int
        Receptive radius in pixels, or more.
    stride : int
        Total stride of the network.
    tile : int, optional
        Side of a tile in pixels, halo included; by default as free memory allows.
    local : bool
        Whether an output pixel depends on nothing further away than ``halo``. If not, tiles change the result: they
        are still used where memory asks for them, with a warning.
    bytes_per_pixel : float
        Working memory a pixel, for the default size of tiles.
    device : str
        Whose memory counts.

    Raises
    ------
    UserError
        If ``tile`` leaves no room for a core.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        halo: int,
        stride: int = 1,
        tile: int | None = None,
        local: bool = True,
        bytes_per_pixel: float = BYTES_PER_PIXEL,
        device: str = "cpu",
    ) -> None:
        smallest = smallest_tile(halo, stride)
        if tile is not None and tile < smallest:
            raise ModelError(
                f"`tile` {tile} is too small: this model needs a halo of {_round_up(halo, stride)} pixels on every "
                f"side of a tile; give {smallest} or more, better {_round_up(4 * smallest, 64)}, or leave it out"
            )
        self._predict = predict
        self._halo = halo
        self._stride = stride
        self._local = local
        self._bytes_per_pixel = bytes_per_pixel
        self._device = device
        self._tile = tile

    def __call__(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the denoised plane.

        Parameters
        ----------
        plane : ndarray, float32, (H, W)
            In the units that the denoiser takes.

        Returns
        -------
        ndarray, float32, (H, W)

        Raises
        ------
        UserError
            If memory does not suffice for the smallest tile.
        """
        tile = self._tile
        if tile is None:
            tile = largest_tile(available_memory(self._device), self._bytes_per_pixel, self._halo, self._stride)
        side = min(tile, max(plane.shape))
        smallest = smallest_tile(self._halo, self._stride)
        while (result := self._attempt(plane, side)) is None:
            _release(self._device)
            if side <= smallest:
                raise ModelError(
                    f"memory ran out even for a tile of {side} x {side} pixels: close other programs, "
                    "or use a model with a smaller network"
                )
            side = self._tile = max(side // 2 // self._stride * self._stride, smallest)
        return result

    def _attempt(self, plane: NDArray[np.float32], side: int) -> NDArray[np.float32] | None:
        """Return the plane denoised in tiles of this side, or None if memory ran out."""
        tiles = plan((plane.shape[0], plane.shape[1]), side, self._halo, self._stride)
        if len(tiles) > 1 and not self._local:
            warnings.warn(
                f"tiles of {side} pixels change the result: this network, or its statistics, look at the whole image "
                f"of {plane.shape[0]} x {plane.shape[1]}; with more memory, or a larger `tile`, it is denoised whole",
                TilesChangeTheResult,
                stacklevel=3,
            )
        try:
            result = np.empty(plane.shape, np.float32)
            for y, x in tiles:
                denoised = self._predict(np.ascontiguousarray(plane[y.tile, x.tile])[None, None])
                result[y.core, x.core] = denoised[0, 0, y.core_in_tile, x.core_in_tile]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return result
        return None


def _round_up(value: int, multiple: int) -> int:
    return ceil(value / multiple) * multiple


def _container_memory(groups: tuple[tuple[str, str, str, str], ...]) -> list[int]:
    """Return what a container's limit leaves, for each kind that states one; file pages give way, so they are free."""
    left = []
    for folder, limit, use, pages in groups:
        try:
            used = int(Path(folder, use).read_text()) - _counted(Path(folder, "memory.stat"), pages)
            left.append(max(int(Path(folder, limit).read_text()) - max(used, 0), 0))
        except (OSError, ValueError):  # no such kind of container, or the limit is "max"
            continue
    return left


def _counted(stat: Path, name: str) -> int:
    """Return a figure of a ``memory.stat``; 0 where it is not there."""
    lines = stat.read_text().splitlines() if stat.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def _release(device: str) -> None:
    """Give back what torch keeps of a GPU's memory for reuse."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
