"""An interval around each denoised pixel that holds the clean one in a stated share of an image's pixels.

Half of the pairs of noisy and clean images fix how far it reaches, the others, which it has not seen, tell how it does.
It is wide where the noise is strong and where the results of turned inputs are apart: of the two the geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.intensity import fit_affine
from training.errors import DataError, SettingError
from training.util.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.trust.measures import Maps

IMAGES = 0.9
"""Share of further images of which the stated share of pixels is to be held; of few images less can be promised."""

_LOCAL = 2.0  # standard deviation in pixels of the Gaussian over which the disagreement is taken
_LEAST = 0.01  # standard deviations of the noise: no disagreement is taken to be less
_STEPS = 1001  # shares of an image's pixels at which its errors are kept


class Interval(BaseModel):
    """How far the interval of a pixel reaches, and how many clean pixels it held in images that it had not seen."""

    model_config = ConfigDict(frozen=True)

    share: float
    """Of the clean pixels of an image, which the interval is to hold."""

    images: float
    """Share of further images like these, at least, of which it holds as many, however errors are distributed."""

    factor: float
    """The half width of a pixel's interval as a multiple of ``scale``."""

    width: float
    """The half width in standard deviations of the noise: the median over pixels, of the images that fixed it."""

    calibrated: tuple[str, ...]
    """The images that fixed the factor."""

    held: dict[str, float]
    """Share of the clean pixels within the interval, of each image that was not used for it."""

    def sentence(self) -> str:
        """Return in words what is promised, how wide the interval is, and how it did."""
        fixed, others = counted(len(self.calibrated), "image"), counted(len(self.held), "image")
        kept = sum(held >= self.share for held in self.held.values())
        return (
            f"Error bar: {100 * self.share:g} % of the clean pixels of an image lie within it, in at least "
            f"{math.floor(100 * self.images)} % of images like these: it reaches {self.width:.2g} standard deviations "
            f"of the noise to each side of the result at half of the pixels, as fixed on {fixed}; of {others} not used "
            f"for it, {kept} kept the promise, and {100 * min(self.held.values()):.1f} % of the clean pixels lie "
            "within it in the worst"
        )


def scale(maps: Maps) -> NDArray[np.float64]:
    """Return what the half width of the interval is a multiple of, at each pixel of an image, in its units."""
    from scipy.ndimage import gaussian_filter

    if maps.disagreement is None:
        raise SettingError("an error bar asks the network with turned inputs too: leave `turned` on")
    apart = np.sqrt(gaussian_filter(maps.disagreement**2, _LOCAL) + _LEAST**2)
    return np.asarray(maps.noise * np.sqrt(apart), np.float64)


class Errors(NamedTuple):
    """The errors of one image."""

    quantiles: NDArray[np.float64]
    """Their sizes as multiples of ``scale``, at equally spaced shares of the pixels from 0 to 1."""

    scale: float
    """The median of ``scale``, in standard deviations of the noise."""


def errors_of(
    noisy: NDArray[np.float32], denoised: NDArray[np.float32], clean: NDArray[np.float32], maps: Maps
) -> Errors:
    """Return the errors of a measured image, (H, W) or (D, H, W).

    The clean image is brought onto the scale of the noisy one by least squares first.

    Raises
    ------
    UserError
        If turned inputs were not asked for.
    """
    slope, offset = fit_affine(clean, noisy)
    unit = scale(maps)
    sizes = np.abs(denoised - (slope * clean.astype(np.float64) + offset)) / unit
    return Errors(np.quantile(sizes, np.linspace(0, 1, _STEPS)), float(np.median(unit / maps.noise)))


def fix_interval(errors: Mapping[str, Errors], *, share: float, seed: int = 0) -> Interval:
    """Fix the interval on half of the images, and see how many clean pixels it holds in the others.

    Parameters
    ----------
    errors : mapping of str to Errors
        Of two images or more, which the model was not trained on, by name.
    share : float
        Of the clean pixels of an image that the interval is to hold, above 0 and below 1.
    seed : int
        Which half fixes it.

    Raises
    ------
    UserError
        If there are fewer than two images, or ``share`` is not possible.

    Notes
    -----
    Of each of the n images that fix it, the score is the factor at which the interval holds the share of its pixels.
    The k-th smallest score, k being ``ceil(IMAGES * (n + 1))`` or n where that is less, is reached by a further image
    of the same kind with a probability of ``k / (n + 1)`` at least: split conformal prediction with one score an image
    (Angelopoulos and Bates, Foundations and Trends in Machine Learning 16(4), 2023,
    https://doi.org/10.1561/2200000101), since pixels of one image are not independent. Images of the same kind are
    those whose order tells nothing: of other specimens, cameras or exposures nothing is promised.
    """
    check_possible(len(errors), share)
    names = list(errors)
    order = [names[number] for number in np.random.default_rng(seed).permutation(len(names))]
    half = (len(order) + 1) // 2
    fixing, checking = order[:half], order[half:]
    shares = np.linspace(0, 1, _STEPS)
    scores = sorted(float(np.interp(share, shares, errors[name].quantiles)) for name in fixing)
    rank = min(math.ceil(IMAGES * (half + 1)), half)
    factor = scores[rank - 1]
    return Interval(
        share=share,
        images=rank / (half + 1),
        factor=factor,
        width=factor * float(np.median([errors[name].scale for name in fixing])),
        calibrated=tuple(fixing),
        held={name: float(np.interp(factor, errors[name].quantiles, shares)) for name in checking},
    )


def check_possible(images: int, share: float) -> None:
    """Raise a ``UserError`` where no interval of that share can be fixed on so many images with a clean one each."""
    if not 0 < share < 1:
        raise SettingError(f"`share` {share:g}: give a part of the pixels above 0 and below 1, such as 0.9")
    if images < 2:
        raise DataError(f"an error bar needs two pairs or more, one to fix it and one to check it; here are {images}")
