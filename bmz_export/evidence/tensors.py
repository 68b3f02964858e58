"""A package's test tensors, read without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ELEMENTS = 2**31


@dataclass(frozen=True)
class TestTensor:
    """A ``.npy`` file: its array (memory-mapped), or why it cannot be read."""

    array: NDArray[Any] | None = None
    fortran: bool = False
    error: str | None = None

    __test__ = False  # no test case, whatever its name looks like to pytest


def read_tensor(path: Path) -> TestTensor:
    """Read a ``.npy`` file whose header is looked at before any of its data."""
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(stream)
            offset = stream.tell()
    except (ValueError, OSError, SyntaxError, RecursionError) as error:
        return TestTensor(error=f"no .npy file ({' '.join(str(error).split())[:120]})")
    if dtype.hasobject:
        return TestTensor(error="it holds pickled Python objects")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if not 0 < count < MAX_ELEMENTS:
        return TestTensor(error=f"its shape {shape} holds {count:,} values")
    if path.stat().st_size != offset + count * dtype.itemsize:
        return TestTensor(
            error=f"it is {path.stat().st_size:,} bytes, but its header says {offset + count * dtype.itemsize:,}"
        )
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return TestTensor(array, bool(fortran) and not array.flags.c_contiguous)
