"""How good a denoiser is on pairs of noisy and clean images: scores, whether it measures, whether it invents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.intensity import Intensity, fit_affine
from training.errors import UserError
from training.evaluation.metrics import Convention, is_constant, mean_and_deviation, psnr, ssim
from training.evaluation.overlap import Overlap
from training.evaluation.pictures import Shown
from training.evaluation.residuals import LIMIT, correlation, deviation_map, largest_deviation
from training.evaluation.trust import Judgement, Trust, judge_result
from training.inference.statistics import image_statistics

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data import Sample
    from training.inference.denoiser import Denoiser
    from training.inference.statistics import TrainedOn

_SHOWN = 3  # images in the picture of residuals


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Figures(_Part):
    """The figures of one image, or their mean or standard deviation over images; NaN, null in JSON, is none.

    Attributes
    ----------
    psnr_noisy, psnr_denoised : float
        dB, at most 100.
    ssim_noisy, ssim_denoised : float
        1 at best.
    slope, offset : float
        Least squares: ``denoised = slope * clean + offset``, in the files' own units.
    slope_noisy, offset_noisy : float
        The same of the noisy image: what a denoiser that keeps intensities gives too, since noise averages out.
    slope_kept : float
        ``slope / slope_noisy``: 1 for a quantitative result; below, contrast is lost.
    intensity_kept : float
        Sum over the denoised image by that over the noisy one; 1 for a quantitative result.
    structure_removed : float
        Correlation of what was removed (noisy minus denoised) with the clean image: 0 if it is noise alone; above 0
        where bright structure was weakened, below where it was strengthened.
    beyond_noise : float
        Part of the pixels where the smoothed residual is beyond 5 standard deviations of its noise: there the denoiser
        put, or took away, structure against the data. None is expected.
    largest_deviation : float
        The largest value of the smoothed residual, in standard deviations.
    """

    psnr_noisy: float
    psnr_denoised: float
    ssim_noisy: float
    ssim_denoised: float
    slope: float
    offset: float
    slope_noisy: float
    offset_noisy: float
    slope_kept: float
    intensity_kept: float
    structure_removed: float
    beyond_noise: float
    largest_deviation: float


class ImageFigures(Figures):
    """The figures of one image.

    Attributes
    ----------
    name : str
        Of the pair.
    largest_deviation_at : tuple of int
        Row and column (of a volume: depth, row, column) of the largest deviation.
    constant : bool
        Whether the clean image has one value only: there is nothing to score then.
    unlike_training : tuple of str
        In what the noisy image differs from those that the model was trained on, with the figures.
    """

    name: str
    largest_deviation_at: tuple[int, ...]
    constant: bool
    unlike_training: tuple[str, ...] = ()


class Evaluation(_Part):
    """The figures of all images, and mean and standard deviation (ddof 0) over those that have the figure."""

    convention: Convention
    data_range: float
    images: tuple[ImageFigures, ...]
    mean: Figures
    sd: Figures
    trust: Trust | None = None
    """The judgements on the results, which do not look at the clean images; None in files of earlier versions."""

    overlap: Overlap | None = None
    """With the images that the model was made with; None where nothing is recorded of them."""

    def findings(self) -> list[str]:
        """Return in words, a sentence each, what the figures say."""
        many = len(self.images)
        over = f"over {many} images" if many > 1 else "in one image"
        constant = [image.name for image in self.images if image.constant]
        found = []
        if constant:
            found.append(
                f"{', '.join(constant[:_SHOWN])}{', ...' if len(constant) > _SHOWN else ''}: the clean image has one "
                f"value only, so there is nothing to score; {len(constant)} of {many} left out of the means"
            )
            over = f"over {many - len(constant)} of {many} images"
        if len(constant) < many:
            found += self._scores(over)
        found.append(self._structure())
        if self.trust is not None:
            found.append(self.trust.summary())
        return found if self.overlap is None else [*found, self.overlap.sentence()]

    def _scores(self, over: str) -> list[str]:
        mean = self.mean
        found = [
            f"PSNR {mean.psnr_noisy:.2f} -> {mean.psnr_denoised:.2f} dB "
            f"({mean.psnr_denoised - mean.psnr_noisy:+.2f}), SSIM {mean.ssim_noisy:.4f} -> {mean.ssim_denoised:.4f}, "
            f"{over}; convention {self.convention}, peak {self.data_range:g}",
            f"Denoised against clean: slope {mean.slope:.4g}, offset {mean.offset:.4g}; the noisy images give "
            f"{mean.slope_noisy:.4g} and {mean.offset_noisy:.4g}, so {100 * mean.slope_kept:.1f} % of the contrast is "
            f"kept, and {100 * mean.intensity_kept:.2f} % of the total intensity",
        ]
        if mean.psnr_denoised <= mean.psnr_noisy:
            found.append("By PSNR the denoised images are no closer to the clean ones than the noisy images are")
        return found

    def _structure(self) -> str:
        beyond = [image for image in self.images if image.largest_deviation > LIMIT]
        if beyond:
            worst = max(beyond, key=lambda image: image.largest_deviation)
            *_, row, column = worst.largest_deviation_at
            return (
                f"Look for invented or lost structure in {len(beyond)} of {len(self.images)}: most in {worst.name} at "
                f"row {row}, column {column}, where the smoothed residual is {worst.largest_deviation:.1f} standard "
                "deviations from noise"
            )
        removed = self.mean.structure_removed
        related = "" if np.isnan(removed) else f"; its correlation with the clean image is {removed:.3f}"
        return (
            "What was removed looks like noise: nowhere is the smoothed residual beyond "
            f"{LIMIT:g} standard deviations{related}"
        )


def evaluate(
    samples: Iterable[Sample],
    denoiser: Denoiser,
    *,
    convention: Convention,
    data_range: float,
    tile: int | None = None,
    progress: Callable[[], object] | None = None,
) -> Evaluation:
    """Denoise the noisy image of each pair and compare it, and the noisy one, with the clean image; one pair at a time.

    Parameters
    ----------
    samples : iterable of Sample
    denoiser : Denoiser
        Takes images in the units of the noisy ones.
    convention : {"raw", "affine"}
        Whether images are fitted to the clean one before they are scored, noisy and denoised alike.
    data_range : float
        The peak of PSNR and SSIM, in the units of the clean images.
    tile : int, optional
        Side of a tile in pixels; by default images are whole where memory allows.
    progress : callable, optional
        Called without arguments after each image.

    Raises
    ------
    UserError
        If there is no sample, one has no clean image or cannot be read, or ``data_range`` is not above 0.
    """
    if not (np.isfinite(data_range) and data_range > 0):
        raise UserError(f"`data_range` {data_range:g}: give the peak value to count from, above 0, such as 255")
    denoise = denoiser.tiled(tile)
    images: list[ImageFigures] = []
    judgements: list[Judgement] = []
    for sample in samples:
        noisy, clean = sample.pair()
        denoised = denoise(noisy)
        images.append(_figures(sample.name, (noisy, denoised, clean), denoiser.trained_on, convention, data_range))
        judgements.append(judge_result(sample.name, noisy, denoised).judgement)
        if progress is not None:
            progress()
    if not images:
        raise UserError("nothing to evaluate: there is no pair of a noisy and a clean image")
    over = {key: mean_and_deviation([getattr(image, key) for image in images]) for key in Figures.model_fields}
    return Evaluation(
        convention=convention,
        data_range=data_range,
        images=tuple(images),
        mean=Figures(**{key: mean for key, (mean, _) in over.items()}),
        sd=Figures(**{key: deviation for key, (_, deviation) in over.items()}),
        trust=Trust(images=tuple(judgements)),
    )


def images_to_show(
    evaluation: Evaluation, samples: Iterable[Sample], denoiser: Denoiser, *, tile: int | None = None
) -> list[Shown]:
    """Return the images worth a look: of the largest deviation, and the worst and the middle one by PSNR.

    Of a volume the plane with its largest deviation. Parameters as for ``evaluate``, whose result they were.
    """
    scored = [image for image in evaluation.images if not image.constant] or evaluation.images
    by_score = sorted(scored, key=lambda image: image.psnr_denoised)
    largest = max(scored, key=lambda image: image.largest_deviation)
    chosen = {image.name: image for image in (largest, by_score[0], by_score[len(by_score) // 2])}
    denoise = denoiser.tiled(tile)
    found = []
    for sample in samples:
        if sample.name in chosen:
            noisy, clean = sample.pair()
            fitted = Intensity("image", 1.0, 0.0).apply(noisy, clean)
            image = chosen[sample.name]
            plane = image.largest_deviation_at[:-2]  # of a volume
            noisy, denoised, fitted = (part[plane] for part in (noisy, denoise(noisy), fitted))
            found.append(Shown(sample.name, noisy, denoised, fitted, image.psnr_noisy, image.psnr_denoised))
    return found


def is_result(path: Path, of: type[BaseModel]) -> bool:
    """Return whether a JSON file that exists holds the figures of an earlier result of that kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    wanted = {name for name, field in of.model_fields.items() if field.is_required()} | of.model_computed_fields.keys()
    return isinstance(content, dict) and wanted <= content.keys()


def _figures(
    name: str,
    images: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    trained_on: TrainedOn | None,
    convention: Convention,
    data_range: float,
) -> ImageFigures:
    noisy, denoised, clean = images
    constant = is_constant(clean)
    slope = offset = slope_noisy = offset_noisy = removed = float("nan")
    unlike: tuple[str, ...] = ()
    if not constant:
        slope, offset = fit_affine(clean, denoised)
        slope_noisy, offset_noisy = fit_affine(clean, noisy)
        removed = correlation(noisy.astype(np.float64) - denoised, clean)
        unlike = () if trained_on is None else tuple(image_statistics(noisy).differences(trained_on))
    deviation = largest_deviation(deviation_map(noisy, denoised))
    scores = {
        f"{score.__name__}_{which}": score(clean, image, data_range=data_range, convention=convention)
        for score in (psnr, ssim)
        for which, image in (("noisy", noisy), ("denoised", denoised))
    }
    return ImageFigures(
        name=name,
        **scores,
        slope=slope,
        offset=offset,
        slope_noisy=slope_noisy,
        offset_noisy=offset_noisy,
        slope_kept=_ratio(slope, slope_noisy),
        intensity_kept=_ratio(float(denoised.sum(dtype=np.float64)), float(noisy.sum(dtype=np.float64))),
        structure_removed=removed,
        beyond_noise=deviation.share,
        largest_deviation=deviation.largest,
        largest_deviation_at=deviation.at,
        constant=constant,
        unlike_training=unlike,
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")
