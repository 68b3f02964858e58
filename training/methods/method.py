"""What training asks of any way to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn

from training.errors import DataError

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.calibration.intensity import Range
    from training.calibration.layer import Constants
    from training.calibration.statistics import Statistics
    from training.data.sample import Sample

Batch = tuple[torch.Tensor, ...]
"""Patches of the same places, (B, 1, Y, X) or (B, 1, Z, Y, X) each, in the noisy images' own units: see ``Method``."""


@dataclass(frozen=True)
class Needs:
    """What a method needs of each training sample, and of the camera.

    Attributes
    ----------
    frames : int
        Noisy images of the same field with independent noise.
    clean : bool
        A clean image. Without it, noise is measured on noisy images alone, clean images judge where there are any, and
        nothing else, and only test images with a clean one are scored.
    noise_model : bool
        The variance of the noise by intensity.
    independent : bool
        Noise that is independent from pixel to pixel.
    training : bool
        Epochs; without, the calibrated start is the result.
    """

    frames: int = 1
    clean: bool = True
    noise_model: bool = False
    independent: bool = False
    training: bool = True

    def check(self, samples: Sequence[Sample], method: str) -> None:
        """Raise ``DataError`` for the first sample that lacks something."""
        for sample in samples:
            if len(sample.noisy) < self.frames:
                raise DataError(
                    f"{sample.name}: `method` {method} learns from {self.frames} noisy images of each field, here is "
                    f"{len(sample.noisy)}; choose another method"
                )
            if self.clean and sample.clean is None:
                raise DataError(f"{sample.name}: `method` {method} learns from clean images: give `clean`")

    def check_camera(self, camera: CameraProfile | None, method: str) -> None:
        """Raise ``DataError`` where the camera's noise is not what the method assumes, or is needed and not known."""
        if camera is None:
            if self.noise_model:
                raise DataError(
                    f"`method` {method} needs the noise of the camera, and the images are too few or too small to "
                    "measure it: give `camera` FILE, or choose `method` noise2void"
                )
            return
        correlated = camera.correlated() if self.independent else ()
        if correlated:
            found = " and ".join(f"{camera.correlation[axis]:.2f} along {axis}" for axis in correlated)
            raise DataError(
                f"`method` {method} assumes noise that is independent from pixel to pixel, here neighbours are "
                f"correlated, {found}: choose `method` noise2void, which masks along that axis, or noise2noise for "
                "several frames of a field"
            )


class Method(Protocol):
    """A way to learn.

    Parameters
    ----------
    loss, alpha
        The recipe's, see ``training.methods.losses.choose``.
    intensities : Range
        Of the training images: losses and scores compare images with this range mapped onto [0, 1], so that a learning
        rate means the same for 8 and 16 bits.
    camera : CameraProfile, optional
        Of the noisy images; None where it is not known.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]
    learns: ClassVar[str]
    """From what, and how, as a paper says it after "the network learned"."""

    papers: ClassVar[tuple[str, ...]]
    """Where it was published: "Authors: Title. Where, year. doi:..."."""

    def __init__(
        self,
        loss: Any,  # noqa: ANN401
        alpha: float,
        intensities: Range,
        camera: CameraProfile | None = None,
    ) -> None: ...

    def batch(self, patches: Batch, rng: np.random.Generator) -> Batch:
        """Return what ``loss`` takes, from patches of as many noisy frames as are needed.

        The clean image comes last where the method needs it.

        ``rng`` is the same for the same seed, epoch and step.
        """

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return what training makes small, a tensor of no dimension."""

    def score(self, model: nn.Module, patches: Batch) -> dict[str, float]:
        """Return ``validation_loss`` of one patch, and where it can be judged, ``psnr`` in dB and ``ssim``.

        The clean image comes last where every validation image has one. The best epoch is that of the highest ``psnr``,
        or where there is none, of the lowest ``validation_loss``.
        """

    def constants(
        self,
        measured: Statistics,
        samples: Sequence[Sample],
        denoiser: nn.Module,
        **search: Any,  # noqa: ANN401
    ) -> Constants:
        """Return the calibration that training starts from; ``search`` is what ``find_constants`` takes besides.

        ``samples`` have no clean image where the method needs none.
        """
