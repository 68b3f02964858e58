"""When to stop a fit without a clean image: where the results of neighbouring iterations differ least.

Wang et al.: Early stopping for deep image prior. TMLR 2023, https://openreview.net/forum?id=231ZzrLC8X (ES-WMV).
While a network learns structure its results settle; once it learns noise they move again. The variance of the last
results over a window of iterations is smallest in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Iteration:
    """What one iteration gave.

    Attributes
    ----------
    number : int
        From 1.
    loss : float
        Mean square of output minus noisy image, on the scale from 0 to 1.
    image : ndarray, float32, (Y, X)
        The result so far.
    """

    number: int
    loss: float
    image: NDArray[np.float32]


class MovingVariance:
    """Follows the variance of the results over a window of iterations.

    Parameters
    ----------
    window : int
        Iterations that the variance is taken over.
    patience : int
        Iterations without a smaller variance after which the fit ends.
    """

    def __init__(self, window: int = 100, patience: int = 1000) -> None:
        self._window, self._patience = window, patience
        self._least = np.inf
        self._count = 0
        self._results: NDArray[np.float32] | None = None

    def ended(self, iteration: Iteration) -> bool:
        """Take in the next iteration and return whether the fit should end; ``best`` is its result then."""
        image = iteration.image
        if self._results is None:
            self._results = np.zeros((self._window, *image.shape), np.float32)
            self._sum, self._squares = np.zeros(image.shape), 0.0
            self.best = iteration
        slot = self._count % self._window
        oldest = self._results[slot].astype(np.float64)
        newest = image.astype(np.float64)
        self._sum += newest - oldest
        self._squares += float((newest**2).sum() - (oldest**2).sum())
        self._results[slot] = image
        self._count += 1
        if self._count < self._window:
            self.best = iteration
            return False
        variance = self._squares / self._window - float(((self._sum / self._window) ** 2).sum())
        if variance < self._least:
            self._least, self.best = variance, iteration
        return iteration.number - self.best.number >= self._patience
