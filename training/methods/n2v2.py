"""N2V2: Noise2Void whose masks hold the median of what lies around them, in every other mask.

In the paper every mask holds a median, and the U-Net has no outermost skip connection. A network that can copy a pixel,
as all do here, would learn to copy medians, and then the noise: so the other half of the masks are those of Noise2Void.
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
    learns: ClassVar[str] = "from noisy images alone by N2V2, each masked pixel from those around it or their median"
    papers: ClassVar[tuple[str, ...]] = (
        "E. Hoeck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag: N2V2 - Fixing Noise2Void Checkerboard Artifacts "
        "with Modified Sampling Strategies and a Tweaked Network Architecture. ECCV Workshops 2022. "
        "doi:10.1007/978-3-031-25069-9_33",
        *Noise2Void.papers,
    )

    def _values(
        self, noisy: torch.Tensor, centres: NDArray[np.intp], around: NDArray[np.intp], size: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:  # fmt: skip
        """Return the median of the pixels around every other mask, and pixels drawn from around the others."""
        values = super()._values(noisy, centres, around, size, rng)
        medians = around_centres(noisy, centres, around[None]).median(dim=1, keepdim=True).values
        every_other = torch.from_numpy(rng.random((len(centres), 1)) < 0.5).to(noisy.device)
        return torch.where(every_other, medians, values)


METHOD = N2V2
