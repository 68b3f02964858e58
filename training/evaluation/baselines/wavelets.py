"""Wavelets whose coefficients are shrunk by how much of each scale is noise, averaged over shifts of the image.

S. G. Chang, B. Yu, M. Vetterli: Adaptive wavelet thresholding for image denoising and compression. IEEE Transactions
on Image Processing 9(9), 2000. doi:10.1109/83.862633. Shifts: R. R. Coifman, D. L. Donoho: Translation-invariant
de-noising. 1995. doi:10.1007/978-1-4612-2544-7_9.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.evaluation.baselines.baseline import Baseline

_SHIFTS = 4  # along each axis, a pixel apart


def wavelets(plane: NDArray[np.float32], *, strength: float) -> NDArray[np.float32]:
    """Return a plane whose noise is of deviation 1 denoised, as if that deviation were ``strength``."""
    from skimage.restoration import denoise_wavelet

    total = np.zeros(plane.shape)
    for shift in product(range(_SHIFTS), repeat=2):
        shrunk = denoise_wavelet(np.roll(plane, shift, (0, 1)), strength, "db2", wavelet_levels=_levels(plane.shape))
        total += np.roll(shrunk, [-each for each in shift], (0, 1))
    return np.asarray(total / _SHIFTS**2, np.float32)


def _levels(shape: tuple[int, ...]) -> int:
    """Return to how many scales a plane is taken apart: the coarsest keeps 8 pixels a side, but five at most."""
    return int(np.clip(np.log2(min(shape) / 4) - 1, 1, 5))


BASELINE = Baseline("wavelets", "wavelets", wavelets, grid={"strength": (0.7, 0.8, 0.9, 1.0, 1.2, 1.5)}, smallest=16)
