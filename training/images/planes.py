"""An image plane by plane, whatever was done to its axes since it was opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray


class PlaneReader:
    """Reads single planes of an image in the calling thread.

    ``image[index].compute()`` would look through the tasks of all planes for each; here the tasks are laid out once,
    so what a plane costs does not grow with their number. The last two axes of the image are those of the planes
    (H, W); its values are NumPy's or dask's. It can be pickled where the image can.
    """

    def __init__(self, image: xarray.DataArray) -> None:
        self._data = image.data
        self._tasks = None
        if image.chunks is not None:
            self._data = image.data.rechunk((1,) * (image.ndim - 2) + (-1, -1))  # as open_image gives it already
            self._tasks = dict(self._data.__dask_graph__())

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Return the plane (H, W) at an index over all axes but the last two, in the image's own units and type."""
        if self._tasks is None:
            return np.asarray(self._data[index])
        from dask.local import get_sync
        from dask.optimization import cull

        key = (self._data.name, *index, 0, 0)
        needed, _ = cull(self._tasks, [key])  # type: ignore[no-untyped-call]
        block = np.asarray(get_sync(needed, key))
        return block.reshape(block.shape[-2:])


def planes(image: xarray.DataArray) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Yield the index over all axes but the last two, and the (H, W) plane there, in the image's own units."""
    read = PlaneReader(image)
    for index in np.ndindex(image.shape[:-2]):
        yield index, read(index)
