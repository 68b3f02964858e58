"""Images of random values."""

import numpy as np

RNG = np.random.default_rng(0)


def values(shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())
