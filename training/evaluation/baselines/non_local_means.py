"""Non-local means: a pixel is the mean of those whose surroundings look like its own.

A. Buades, B. Coll, J.-M. Morel: A non-local algorithm for image denoising. CVPR 2005. doi:10.1109/CVPR.2005.38.
"""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.baselines.baseline import Baseline

_REACH = 9  # pixels around a pixel that are looked at


def non_local_means(plane: NDArray[np.float32], *, strength: float, patch: float) -> NDArray[np.float32]:
    """Return a plane whose noise is of deviation 1 denoised, by surroundings of ``patch`` pixels a side."""
    from skimage.restoration import denoise_nl_means

    return np.asarray(denoise_nl_means(plane, int(patch), _REACH, strength, sigma=1.0), np.float32)


BASELINE = Baseline(
    "non-local-means",
    "non-local means",
    non_local_means,
    grid={"strength": (0.2, 0.3, 0.4, 0.5, 0.6, 0.8), "patch": (5, 7, 9)},
)
