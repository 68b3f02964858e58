"""A stack of images on disk, and the command line in a process of its own."""

import subprocess
import sys

import numpy as np
import tifffile


def stack(path, *, shape=(3, 40, 50), axes="ZYX", mean=200, seed=0):
    values = np.random.default_rng(seed).poisson(mean, shape).astype(np.uint16)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes, "unit": "um"}, resolution=(10, 10))
    return values


def child(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "bmz_fmd", *words], capture_output=True, text=True, check=False, **options
    )
