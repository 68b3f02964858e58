"""What is cut from each image before anything else: the whole, its quarters, or the quarters of its middle."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from training.data.sample import Pair
from training.errors import DataError

PREPARATIONS = {"whole": None, "quarter": 1024, "c-quarter": 2048}
"""Name to the height and width that it takes; ``quarter`` and ``c-quarter`` give four images of 512 x 512."""

_SIDE = 512


def prepare(pair: Pair, preparation: str, shape: tuple[int, ...], where: str) -> Iterator[Pair]:
    """Yield what is cut from a pair; the cuts stay in its field of view.

    Parameters
    ----------
    pair
        A pair of whole planes.
    preparation
        A name of ``PREPARATIONS``.
    shape
        Height and width of the planes.
    where
        What an error calls the images.

    Raises
    ------
    UserError
        Where the name is unknown, or the planes have not the size that it takes.
    """
    if preparation not in PREPARATIONS:
        raise DataError(f"`preparation` {preparation} is unknown: the names are {', '.join(PREPARATIONS)}")
    size = PREPARATIONS[preparation]
    if size is None:
        yield pair
        return
    if shape != (size, size):
        held = " x ".join(map(str, shape))
        raise DataError(f"`preparation` {preparation} takes images of {size} x {size}, {where} holds {held}: use whole")
    border = (size - 2 * _SIDE) // 2
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), start=1):
        cut = partial(_cut, border + row * _SIDE, border + column * _SIDE)
        yield replace(
            pair, name=f"{pair.name}_q{number}", noisy=partial(cut, pair.noisy), clean=partial(cut, pair.clean)
        )


def _cut(top: int, left: int, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    return read()[top : top + _SIDE, left : left + _SIDE]
