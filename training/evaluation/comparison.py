"""A model beside other denoisers on the same images: what it gains over each, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.evaluation.figures import Figures, ImageFigures, Part, over_images
from training.util.text import counted

_DRAWS = 10_000  # of the bootstrap
_LEAST = 5  # fields from which an interval is told
_LEAST_RANKED = 6  # from which Wilcoxon's test can find anything at 5 %

Result = Callable[[int, NDArray[np.float32]], tuple[NDArray[np.float32], Mapping[str, float]]]
"""From the number of an image and the noisy image to the denoised one, and the settings that gave it."""


@dataclass(frozen=True)
class Other:
    """Another denoiser: its short name, what sentences call it, how it was set, and its results."""

    name: str
    title: str
    how: str
    result: Result


class Gain(Part):
    """What the model's PSNR is above another's, image by image, in dB.

    Attributes
    ----------
    mean : float
        Over the images.
    low, high : float or None
        Interval of 95 %, by a bootstrap of fields of view, wider where there are few; None below five of them.
    p : float or None
        Of Wilcoxon's signed-rank test over the fields' means, two-sided; None below six that differ.
    images, fields : int
        How many were compared.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    images: int
    fields: int

    def sentence(self, title: str) -> str:
        """Return in words what is gained over a denoiser of such a title."""
        images = counted(self.images, "image")
        if not self.images:
            return f"There is nothing to compare with {title}"
        if self.low is None or self.high is None:
            more, over = ("gains", "over") if self.mean >= 0 else ("loses", "to")
            return (
                f"The model {more} {abs(self.mean):.2f} dB {over} {title} in {images} of "
                f"{counted(self.fields, 'field')}: too few to say how sure that is"
            )
        found = f"{self.mean:.2f} dB [{self.low:.2f}, {self.high:.2f}]"
        over = f"{images}{'' if self.p is None else f', Wilcoxon p = {self.p:.2g}'}"
        if self.low > 0:
            return f"The model gains {found} over {title} ({over})"
        first = title[0].upper() + title[1:]
        if self.high < 0:
            return f"{first} would have done better: the model's difference to it is {found} ({over})"
        return f"{first} would have done: no gain over it is certain, {found} ({over})"


class Compared(Part):
    """Another denoiser on the same images.

    Attributes
    ----------
    name, title, how : str
        As it was asked for, as sentences call it, and where its settings come from.
    settings : tuple of dict
        Of each image.
    images, mean, sd
        Its figures, as those of the model.
    seconds : float
        Of an image, on average, to denoise it, or to read the result that was given.
    gain : Gain
        Of the model over it.
    """

    name: str
    title: str
    how: str
    settings: tuple[dict[str, float], ...]
    images: tuple[ImageFigures, ...]
    mean: Figures
    sd: Figures
    seconds: float
    gain: Gain


@dataclass
class Beside:
    """Scores another denoiser, an image at a time."""

    other: Other
    images: list[ImageFigures] = field(default_factory=list)
    settings: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, noisy: NDArray[np.float32], score: Callable[..., ImageFigures]) -> None:
        """Denoise the next image and score it, ``denoised``."""
        began = time.perf_counter()
        result, setting = self.other.result(len(self.images), noisy)
        self.seconds += time.perf_counter() - began
        self.settings.append(dict(setting))
        self.images.append(score(denoised=result))

    def compared(self, model: Sequence[ImageFigures], fields: Sequence[str]) -> Compared:
        """Return its figures, and what the model of these figures, of the same images, gains."""
        mean, deviation = over_images(self.images)
        both = zip(model, self.images, strict=True)
        return Compared(
            name=self.other.name,
            title=self.other.title,
            how=self.other.how,
            settings=tuple(self.settings),
            images=tuple(self.images),
            mean=mean,
            sd=deviation,
            seconds=round(self.seconds / len(self.images), 3),
            gain=gain([own.psnr_denoised - other.psnr_denoised for own, other in both], fields),
        )


def gain(differences: Sequence[float], fields: Sequence[str]) -> Gain:
    """Return the mean of differences, NaN left out, and how sure it is: images of one field are not independent.

    The percentiles of the bootstrap are as far out as Student's distribution asks of so few fields (Hesterberg, The
    American Statistician 69(4), 2015, doi:10.1080/00031305.2015.1089789): else five would give 85 %, not 95.
    """
    from scipy.stats import norm, t, wilcoxon

    values = np.asarray(differences, dtype=np.float64)
    known = np.isfinite(values)
    values, names = values[known], np.asarray(fields)[known]
    if not values.size:
        return Gain(mean=float("nan"), low=None, high=None, p=None, images=0, fields=0)
    _, of = np.unique(names, return_inverse=True)
    counts, sums = np.bincount(of), np.bincount(of, weights=values)
    low = high = p = None
    if counts.size >= _LEAST:
        drawn = np.random.default_rng(0).integers(0, counts.size, (_DRAWS, counts.size))
        means = sums[drawn].sum(1) / counts[drawn].sum(1)
        tail = 100 * norm.cdf(t.ppf(0.025, counts.size - 1) * np.sqrt(counts.size / (counts.size - 1)))
        low, high = (float(value) for value in np.percentile(means, (tail, 100 - tail)))
    ranked = (sums / counts)[np.abs(sums) > 0]
    if ranked.size >= _LEAST_RANKED:
        p = float(wilcoxon(ranked).pvalue)
    return Gain(mean=float(values.mean()), low=low, high=high, p=p, images=values.size, fields=counts.size)
