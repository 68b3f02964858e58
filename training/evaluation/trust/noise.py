"""How strong a camera's noise is at each pixel of an image, by the intensity around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.calibration.noise import NoiseModel

_LOCAL = 2.0  # standard deviation in pixels of the Gaussian that gives a pixel's intensity
_LEAST = 0.1  # of the median variance: no pixel is taken to have less


def noise_at(image: NDArray[Any], model: NoiseModel, smoothing: float = _LOCAL) -> NDArray[np.float64]:
    """Return the standard deviation of a camera's noise at each pixel of an image, in its units.

    ``smoothing`` is the standard deviation in pixels of the Gaussian that gives a pixel's intensity.
    """
    from scipy.ndimage import gaussian_filter

    variance = model.variance(gaussian_filter(np.asarray(image, np.float64), smoothing))
    return np.asarray(np.sqrt(np.maximum(variance, max(_LEAST * float(np.median(variance)), 1e-12))))
