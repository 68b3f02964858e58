"""N2V2: Noise2Void whose masks hold the median of what lies around them.

E. Hoeck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag: N2V2 - Fixing Noise2Void Checkerboard Artifacts with
Modified Sampling Strategies and a Tweaked Network Architecture. ECCV Workshops 2022. doi:10.1007/978-3-031-25069-9_33.
The tweaks of a U-Net (no outermost skip connection, blurred pooling) have no meaning for the networks here.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from training.methods.noise2void import Noise2Void, around_centres


class N2V2(Noise2Void):
    """As ``noise2void``, without its checkerboards."""

    name: ClassVar[str] = "n2v2"

    def _values(
        self, noisy: torch.Tensor, centres: NDArray[np.intp], around: NDArray[np.intp], size: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:  # fmt: skip
        """Return the median of the pixels around each mask."""
        return around_centres(noisy, centres, around[None]).median(dim=1, keepdim=True).values.expand(-1, size)


METHOD = N2V2
