"""An interval around each denoised pixel that holds the clean one in a stated share of pixels: split conformal.

Half of the pairs of noisy and clean images fix how many standard deviations of the camera's noise the interval reaches
to each side; the others, which it has not seen, tell how many clean pixels it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.camera import measure_camera
from training.calibration.intensity import fit_affine
from training.errors import DataError, SettingError
from training.evaluation.trust.measures import noise_at
from training.util.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.data import Sample
    from training.inference.denoiser import Denoiser

_STEPS = 2001  # of the candidate half widths, which are quantiles over all pixels


class Interval(BaseModel):
    """How far the interval of a pixel reaches, and how many clean pixels it held in images that it had not seen."""

    model_config = ConfigDict(frozen=True)

    share: float
    """Of the clean pixels, which the interval is to hold."""

    factor: float
    """The half width of a pixel's interval in standard deviations of the camera's noise at its intensity."""

    calibrated: tuple[str, ...]
    """The images that fixed the factor."""

    held: dict[str, float]
    """Share of the clean pixels within the interval, of each image that was not used for it."""

    guaranteed: float
    """Share of the clean pixels that it holds at least, on average over further images like these, however errors are
    distributed: below ``share`` by what so few images leave open."""

    @property
    def coverage(self) -> float:
        """Mean of ``held``."""
        return float(np.mean(list(self.held.values())))

    def half_width(self, noisy: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the half width of the interval of each pixel of a noisy image, in its units."""
        return self.factor * _noise(noisy)

    def sentence(self) -> str:
        """Return in words what the interval is and how it did."""
        certain = round(100 * self.guaranteed)
        fixed, checked = counted(len(self.calibrated), "image"), counted(len(self.held), "image")
        return (
            f"Error bar: {100 * self.share:g} % of the clean pixels are to lie within ± {self.factor:.3g} standard "
            f"deviations of the noise around the result, as fixed on {fixed} (at least {certain} % is "
            f"certain for images like these); in {checked} not used for it, {100 * self.coverage:.1f} % do, at least "
            f"{100 * min(self.held.values()):.1f} % in each"
        )


def fit_interval(
    samples: Sequence[Sample],
    denoiser: Denoiser,
    *,
    share: float = 0.9,
    seed: int = 0,
    tile: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Interval:
    """Fix the interval on half of the samples, and see how many clean pixels it holds in the others.

    Each clean image is brought onto the scale of its noisy one by least squares first.

    Parameters
    ----------
    samples : sequence of Sample
        With a clean image each, which the model was not trained on; two or more, large enough for their noise to be
        measured.
    denoiser : Denoiser
        Takes images in the units of the noisy ones.
    share : float
        Of the clean pixels that the interval is to hold, above 0 and below 1.
    seed : int
        Which half fixes it.
    tile : int, optional
        Side of a tile in pixels.
    progress : callable
        Called after each image.

    Raises
    ------
    UserError
        If there are fewer than two samples, one has no clean image or is too small, or ``share`` is not possible.

    Notes
    -----
    The factor is the smallest at which the interval holds the share, on average over the n images that fix it. For a
    further image like these it then holds ``n / (n + 1)`` of the share at least, on average and whatever the errors'
    distribution: conformal risk control, of the share of pixels outside (Angelopoulos et al., ICLR 2024,
    https://arxiv.org/abs/2208.02814). Images count, not pixels, since those of one image are not independent.
    """
    check_possible(samples, share)
    denoise = denoiser.tiled(tile)
    order = np.random.default_rng(seed).permutation(len(samples))
    half = (len(samples) + 1) // 2
    errors: list[NDArray[np.float32]] = []
    for number in order:
        errors.append(_error(samples[number], denoise))
        progress()
    names = [samples[number].name for number in order]
    factor = _factor(errors[:half], share)
    held = {name: float(np.mean(error <= factor)) for name, error in zip(names[half:], errors[half:], strict=True)}
    certain = share * half / (half + 1)
    return Interval(share=share, factor=factor, calibrated=tuple(names[:half]), held=held, guaranteed=certain)


def check_possible(samples: Sequence[Sample], share: float) -> None:
    """Raise a ``UserError`` where no interval of that share can be fixed on the samples."""
    if not 0 < share < 1:
        raise SettingError(f"`share` {share:g}: give a part of the pixels above 0 and below 1, such as 0.9")
    if len(samples) < 2:
        raise DataError(
            f"an error bar needs two pairs or more, one to fix it and one to check it; here are {len(samples)}"
        )


def _error(sample: Sample, denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the size of each pixel's error in standard deviations of the noise."""
    noisy, clean = sample.pair()
    slope, offset = fit_affine(clean, noisy)
    truth = slope * clean.astype(np.float64) + offset
    return np.asarray(np.abs(denoise(noisy) - truth) / _noise(noisy), np.float32).ravel()


def _noise(noisy: NDArray[np.float32]) -> NDArray[np.float64]:
    return noise_at(noisy, measure_camera([noisy], axes="ZYX"[-noisy.ndim :]).model)


def _factor(errors: Sequence[NDArray[np.float32]], share: float) -> float:
    candidates = np.quantile(np.concatenate(errors), np.linspace(0, 1, _STEPS))
    held = np.mean([np.searchsorted(np.sort(error), candidates, side="right") / error.size for error in errors], axis=0)
    return float(candidates[min(int(np.searchsorted(held, share)), _STEPS - 1)])
