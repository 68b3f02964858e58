"""A Gaussian filter, which keeps intensities and blurs."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.baselines.baseline import Baseline


def gaussian(plane: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    """Return a plane filtered by a Gaussian of so many pixels."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(plane, sigma), np.float32)


BASELINE = Baseline(
    "gaussian", "a Gaussian filter", gaussian, stabilised=False, grid={"sigma": (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)}
)
