"""A package's test tensors, read without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 2**25
"""What a test tensor may hold: an image of 5792 x 5792. Rules read all of it as float64 (256 MB)."""
_NUMBERS = "biuf"


@dataclass(frozen=True)
class TestTensor:
    """A ``.npy`` file: its array (memory-mapped), or why it cannot be read."""

    array: NDArray[Any] | None = None
    fortran: bool = False
    error: str | None = None

    __test__ = False  # no test case, whatever its name looks like to pytest


def read_tensor(path: Path) -> TestTensor:
    """Read a ``.npy`` file, its header before any of its data; whatever is wrong with it becomes its ``error``."""
    try:
        return _read(path)
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return TestTensor(error=f"no .npy file ({' '.join(str(error).split())[:120]})")


def _read(path: Path) -> TestTensor:
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        offset = stream.tell()
    if dtype.hasobject:
        return TestTensor(error="it holds pickled Python objects")
    if dtype.kind not in _NUMBERS:
        return TestTensor(error=f"it holds {dtype}, no real numbers")
    count = prod(shape)
    if not all(size > 0 for size in shape) or count > MAX_VALUES:
        return TestTensor(error=f"its shape {shape} holds {count:,} values; a test image has 1 to {MAX_VALUES:,}")
    size, stated = path.stat().st_size, offset + count * dtype.itemsize
    if size != stated:
        return TestTensor(error=f"it is {size:,} bytes, but its header says {stated:,}")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return TestTensor(array, bool(fortran) and not array.flags.c_contiguous)
