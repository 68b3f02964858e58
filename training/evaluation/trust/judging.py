"""The judgements on a denoiser's results of several images, and what a picture of each needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, computed_field

from training.errors import DataError, ModelError, UserError
from training.evaluation.trust.intervals import Errors, Interval, check_possible, errors_of, fix_interval
from training.evaluation.trust.measures import Maps, measure
from training.evaluation.trust.verdict import Judgement, Verdict, judge, too_small, worst
from training.util.text import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.calibration.camera import CameraProfile
    from training.data import Sample
    from training.inference.denoiser import Denoiser

_NAMED = 3  # images that a summary names


class Trust(BaseModel):
    """Whether a denoiser's results can be believed, as far as noisy images alone can tell."""

    model_config = ConfigDict(frozen=True)

    images: tuple[Judgement, ...]
    interval: Interval | None = None
    """The error bar, where there are clean images."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """That of the worst image."""
        return worst(image.verdict for image in self.images)

    def summary(self) -> str:
        """Return in a sentence how many images are green, amber and red, and what was found in the worst."""
        counts = [(colour, [image for image in self.images if image.verdict == colour]) for colour in _COLOURS]
        parts = [f"{len(found)} {colour}" for colour, found in counts if found]
        text = f"Judged without clean images: of {counted(len(self.images), 'image')} {', '.join(parts)}"
        bad = [image for colour, found in counts[:2] for image in found][:_NAMED]
        return "; ".join([text, *(image.sentence() for image in bad)])


_COLOURS: tuple[Verdict, ...] = ("red", "amber", "green")


@dataclass(frozen=True)
class Judged:
    """An image, what became of it, and the judgement on it."""

    judgement: Judgement
    noisy: NDArray[np.float32]
    denoised: NDArray[np.float32]
    maps: Maps | None


def judge_result(
    name: str,
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    *,
    denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    second: NDArray[np.float32] | None = None,
    camera: CameraProfile | None = None,
) -> Judged:
    """Judge one result.

    Parameters
    ----------
    name : str
        Of the image.
    noisy, denoised, denoise, second
        As for ``measures.measure``.
    camera : CameraProfile, optional
        That of the model's training images.
    """
    try:
        measures, maps = measure(noisy, denoised, denoise=denoise, second=second)
    except DataError as error:
        return Judged(too_small(name, str(error)), noisy, denoised, None)
    return Judged(judge(name, measures, camera), noisy, denoised, maps)


def judge_images(
    samples: Sequence[Sample],
    denoiser: Denoiser,
    *,
    camera: CameraProfile | None = None,
    tile: int | None = None,
    turned: bool = True,
    share: float | None = None,
    each: Callable[[Judged], object] = lambda judged: None,
) -> Trust:
    """Denoise the noisy image of each sample and judge the result; no verdict looks at a clean image.

    Parameters
    ----------
    samples : sequence of Sample
        Of a second noisy frame, where there is one, the contrast by frequency is taken with it.
    denoiser : Denoiser
        Takes images in the units of the noisy ones.
    camera : CameraProfile, optional
        That of the model's training images.
    tile : int, optional
        Side of a tile in pixels; by default images are whole where memory allows.
    turned : bool
        Whether turned and mirrored inputs are denoised too, which takes four times as long.
    share : float, optional
        Of the clean pixels of an image that an error bar is to hold, which half of the samples fix and the others
        check; each needs a clean image then. Those that are too small to be judged are left out.
    each : callable
        Called with each image once it is judged, in turn: only one is in memory.

    Raises
    ------
    UserError
        If there is no sample, one cannot be read or has other axes than the denoiser's, or there can be no error bar.
    """
    if share is not None:
        check_possible(len(samples), share)
    denoise = denoiser.tiled(tile)
    found = []
    errors: dict[str, Errors] = {}
    for sample in samples:
        if len(sample.axes) != len(denoiser.axes):
            own = "".join(denoiser.axes)
            raise ModelError(f"{sample.name}: has the axes {sample.axes}, and this model denoises images of {own}")
        noisy = sample.frame()
        second = sample.frame(number=1) if len(sample.noisy) > 1 else None
        judged = judge_result(
            sample.name, noisy, denoise(noisy), denoise=denoise if turned else None, second=second, camera=camera
        )
        found.append(judged.judgement)
        if share is not None and judged.maps is not None:
            errors[sample.name] = errors_of(noisy, judged.denoised, sample.clean_frame(), judged.maps)
        each(judged)
    if not found:
        raise UserError("nothing to judge: there is no image")
    return Trust(images=tuple(found), interval=None if share is None else fix_interval(errors, share=share))
