"""A median filter, which keeps edges and takes away hot pixels."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.baselines.baseline import Baseline


def median(plane: NDArray[np.float32], *, size: float) -> NDArray[np.float32]:
    """Return the median around each pixel of a plane, of a square of so many pixels a side."""
    from scipy import ndimage

    return np.asarray(ndimage.median_filter(plane, int(size)), np.float32)


BASELINE = Baseline("median", "a median filter", median, stabilised=False, grid={"size": (3, 5, 7, 9)})
