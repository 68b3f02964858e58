"""How good a denoiser is on pairs of noisy and clean images: scores, whether it measures, whether it invents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from training.calibration.intensity import Intensity
from training.errors import UserError
from training.evaluation.comparison import Beside, Compared, Other
from training.evaluation.figures import Figures, ImageFigures, Part, image_figures, over_images
from training.evaluation.metrics import EQUAL, OWN_PEAK, Convention
from training.evaluation.overlap import Overlap
from training.evaluation.pictures import Shown
from training.evaluation.residuals import LIMIT
from training.evaluation.trust import Judgement, Trust, judge_result

if TYPE_CHECKING:
    from pathlib import Path

    from training.data import Sample
    from training.inference.denoiser import Denoiser

_SHOWN = 3  # images in the picture of residuals


class Evaluation(Part):
    """The figures of all images, and mean and standard deviation (ddof 0) over those that have the figure."""

    convention: Convention
    data_range: float
    """The peak; 1 where the convention brings its own."""

    images: tuple[ImageFigures, ...]
    mean: Figures
    sd: Figures
    baselines: tuple[Compared, ...] = ()
    """Other denoisers on the same images, and what the model gains over each."""

    trust: Trust | None = None
    """The judgements on the results, which do not look at the clean images; None in files of earlier versions."""

    overlap: Overlap | None = None
    """With the images that the model was made with; None where nothing is recorded of them."""

    @property
    def counted_by(self) -> str:
        """Fit and peak in words."""
        peak = "its own peak" if self.convention in OWN_PEAK else f"peak {self.data_range:g}"
        return f"convention {self.convention}, {peak}"

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
        found += [compared.gain.sentence(compared.title) for compared in self.baselines]
        found.append(self._structure())
        if self.trust is not None:
            found.append(self.trust.summary())
        if not np.isnan(self.mean.nrmse_denoised):
            found.append(self._further())
        return found if self.overlap is None else [*found, self.overlap.sentence()]

    def _scores(self, over: str) -> list[str]:
        mean = self.mean
        found = [
            f"PSNR {mean.psnr_noisy:.2f} -> {mean.psnr_denoised:.2f} dB "
            f"({mean.psnr_denoised - mean.psnr_noisy:+.2f}), SSIM {mean.ssim_noisy:.4f} -> {mean.ssim_denoised:.4f}, "
            f"{over}; {self.counted_by}",
            f"Denoised against clean: slope {mean.slope:.4g}, offset {mean.offset:.4g}; the noisy images give "
            f"{mean.slope_noisy:.4g} and {mean.offset_noisy:.4g}, so {100 * mean.slope_kept:.1f} % of the contrast is "
            f"kept, and {100 * mean.intensity_kept:.2f} % of the total intensity",
        ]
        if mean.psnr_denoised >= EQUAL:
            found.append("The results equal the clean images: were clean images given as noisy ones?")
        if mean.psnr_denoised <= mean.psnr_noisy:
            found.append("By PSNR the denoised images are no closer to the clean ones than the noisy images are")
        return found

    def _further(self) -> str:
        """Return the scores beside PSNR and SSIM in words."""
        mean = self.mean
        return (
            f"NRMSE {mean.nrmse_noisy:.3g} -> {mean.nrmse_denoised:.3g}, MAE {mean.mae_noisy:.3g} -> "
            f"{mean.mae_denoised:.3g}, mean gradient {100 * mean.gradient_noisy:+.0f} % -> "
            f"{100 * mean.gradient_denoised:+.0f} % of the clean image's (below 0: blurred)"
        )

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
    data_range: float = 1.0,
    tile: int | None = None,
    others: Sequence[Other] = (),
    progress: Callable[[], object] | None = None,
) -> Evaluation:
    """Denoise the noisy image of each pair and compare it, and the noisy one, with the clean image; one pair at a time.

    Parameters
    ----------
    samples : iterable of Sample
    denoiser : Denoiser
        Takes images in the units of the noisy ones.
    convention : {"raw", "affine", "percentile", "minmax"}
        How noisy and denoised images are brought to the clean one before they are scored; see ``metrics.Convention``.
    data_range : float
        The peak of PSNR and SSIM, in the units of the clean images; of no meaning where the convention has its own.
    tile : int, optional
        Side of a tile in pixels; by default images are whole where memory allows.
    others : sequence of Other
        What is scored on the same images, and compared with the denoiser.
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
    fields: list[str] = []
    beside = [Beside(other) for other in others]
    for sample in samples:
        noisy, clean = sample.pair()
        denoised = denoise(noisy)
        score = partial(
            image_figures, sample.name, noisy=noisy, clean=clean, convention=convention, data_range=data_range
        )
        images.append(score(denoised=denoised, trained_on=denoiser.trained_on))
        for other in beside:
            other.add(noisy, score)
        fields.append(sample.field)
        judgements.append(judge_result(sample.name, noisy, denoised).judgement)
        if progress is not None:
            progress()
    if not images:
        raise UserError("nothing to evaluate: there is no pair of a noisy and a clean image")
    mean, deviation = over_images(images)
    return Evaluation(
        convention=convention,
        data_range=data_range,
        images=tuple(images),
        mean=mean,
        sd=deviation,
        baselines=tuple(other.compared(images, fields) for other in beside),
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
