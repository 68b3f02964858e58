"""Total variation: the image nearest to the noisy one whose slopes add up to little.

L. I. Rudin, S. Osher, E. Fatemi: Nonlinear total variation based noise removal algorithms. Physica D 60, 1992.
doi:10.1016/0167-2789(92)90242-F; solved as in A. Chambolle: An algorithm for total variation minimization and
applications. 2004. doi:10.1023/B:JMIV.0000011325.36760.1e.
"""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.baselines.baseline import Baseline


def total_variation(plane: NDArray[np.float32], *, weight: float) -> NDArray[np.float32]:
    """Return a plane whose noise is of deviation 1 denoised; the greater the weight, the smoother."""
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(plane, weight), np.float32)  # type: ignore[no-untyped-call]


BASELINE = Baseline(
    "total-variation", "total variation", total_variation, grid={"weight": (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)}
)
