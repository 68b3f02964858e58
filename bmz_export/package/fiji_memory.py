"""How much memory deepImageJ takes for a model, and how large an image it can be given."""

from dataclasses import dataclass
from math import sqrt

MOST_PIXELS = 50_331_648
"""Above as many pixels a tile deepImageJ's search for a tile size never ends [run]."""
SIZES = (4, 8, 16, 32)
"""Gigabytes for which a README states the largest image."""
MACRO_GIGABYTES = 4
"""What the macro lets deepImageJ take at a time unless its user changes it."""


@dataclass(frozen=True)
class Memory:
    """Bytes that deepImageJ's worker holds: ``fixed``, and ``per_pixel`` for each pixel of an image and its halo.

    Attributes
    ----------
    fixed : int
        Without an image.
    per_pixel : float
        For each pixel; planes that are given together count together.
    measured : int
        Pixels of the largest image that was measured; 0 where all is estimated from what the network is.
    """

    fixed: int
    per_pixel: float
    measured: int = 0

    def pixels(self, gigabytes: float) -> float:
        """Return how many pixels, halo included, so many gigabytes (1e9 bytes) hold, and deepImageJ takes at most."""
        return min(MOST_PIXELS, max(gigabytes * 1e9 - self.fixed, 0) / self.per_pixel)

    def side(self, gigabytes: float, halo: int) -> int:
        """Return the height and width in pixels of the largest square image for so many gigabytes."""
        return max(int(sqrt(self.pixels(gigabytes))) - 2 * halo, 0)

    def was_measured(self, side: int, halo: int) -> bool:
        """Whether an image of this height and width is no larger than what was measured."""
        return 0 < (side + 2 * halo) ** 2 <= self.measured
