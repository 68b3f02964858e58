"""Nothing is learned: published weights stay as they are, inside the map that suits the noisy images best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from training.calibration.search import find_constants
from training.methods.method import Needs
from training.methods.noise2void import Noise2Void

if TYPE_CHECKING:
    from torch import nn

    from training.calibration.layer import Constants
    from training.calibration.statistics import Statistics
    from training.data.sample import Sample


class ZeroShot(Noise2Void):
    """A run of no epochs, whose start is the result; judged as Noise2Void is, by masked pixels."""

    name: ClassVar[str] = "zero_shot"
    needs: ClassVar[Needs] = Needs(clean=False, noise_model=True, training=False)
    learns: ClassVar[str] = "nothing: its weights stayed as they were"
    papers: ClassVar[tuple[str, ...]] = (
        "S. Ramani, T. Blu, M. Unser: Monte-Carlo SURE: A Black-Box Optimization of Regularization Parameters for "
        "General Denoising Algorithms. IEEE Transactions on Image Processing 17(9), 2008. doi:10.1109/TIP.2008.2001404",
    )

    def constants(
        self,
        measured: Statistics,
        samples: Sequence[Sample],
        denoiser: nn.Module,
        **search: Any,  # noqa: ANN401
    ) -> Constants:
        """Return the constants of least risk, a spline tried over the Anscombe transform as well."""
        return find_constants(measured, samples, denoiser, spline=True, **search)


METHOD = ZeroShot
