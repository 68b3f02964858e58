"""How good a denoiser is on pairs of noisy and clean images: scores, whether it measures, whether it invents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibration.intensity import fit_affine
from training.errors import UserError
from training.evaluation.metrics import Convention, psnr, ssim
from training.evaluation.residuals import SURPRISING, correlation, surprise, suspicion
from training.util.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.data import Sample
    from training.inference.denoiser import Denoiser

_WRITER = "bmz-fmd evaluate"  # what the picture says of its origin
_SHOWN = 3  # images in the picture of residuals
_LARGEST_SHOWN = 512  # pixels a side: of larger images the picture shows the part around the most suspicious place


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Figures(_Part):
    """The figures of one image, or their mean or standard deviation over images.

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
    surprising : float
        Part of the pixels where the smoothed residual is beyond 5 standard deviations of its noise: there the denoiser
        put, or took away, structure against the data. None is expected.
    most_surprising : float
        The largest such value, in standard deviations.
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
    surprising: float
    most_surprising: float


class ImageFigures(Figures):
    """The figures of one image, by the pair's name, and its most suspicious place (row and column)."""

    name: str
    most_surprising_at: tuple[int, int]


class Evaluation(_Part):
    """The figures of all images, their mean and their standard deviation (over the images as they are, ddof 0)."""

    convention: Convention
    data_range: float
    images: tuple[ImageFigures, ...]
    mean: Figures
    sd: Figures

    def findings(self) -> list[str]:
        """Return in words, a sentence each, what the figures say."""
        mean, many = self.mean, len(self.images)
        over = f"over {many} images" if many > 1 else "in one image"
        suspicious = [image for image in self.images if image.most_surprising > SURPRISING]
        found = [
            f"PSNR {mean.psnr_noisy:.2f} -> {mean.psnr_denoised:.2f} dB "
            f"({mean.psnr_denoised - mean.psnr_noisy:+.2f}), SSIM {mean.ssim_noisy:.4f} -> {mean.ssim_denoised:.4f}, "
            f"{over}; convention {self.convention}, peak {self.data_range:g}",
            f"Denoised against clean: slope {mean.slope:.4g}, offset {mean.offset:.4g}; the noisy images give "
            f"{mean.slope_noisy:.4g} and {mean.offset_noisy:.4g}, so {100 * mean.slope_kept:.1f} % of the contrast is "
            f"kept, and {100 * mean.intensity_kept:.2f} % of the total intensity",
        ]
        if suspicious:
            worst = max(suspicious, key=lambda image: image.most_surprising)
            found.append(
                f"Look for invented or lost structure in {len(suspicious)} of {many}: most in {worst.name} at row "
                f"{worst.most_surprising_at[0]}, column {worst.most_surprising_at[1]}, where the smoothed residual "
                f"is {worst.most_surprising:.1f} standard deviations from noise"
            )
        else:
            found.append(
                f"What was removed looks like noise: nowhere is the smoothed residual beyond {SURPRISING:g} "
                f"standard deviations; its correlation with the clean image is {mean.structure_removed:.3f}"
            )
        return found


def evaluate(
    samples: Iterable[Sample],
    denoiser: Denoiser,
    *,
    convention: Convention,
    data_range: float,
    tile: int | None = None,
    progress: Callable[[], object] | None = None,
) -> Evaluation:
    """Denoise the noisy image of each pair and compare it, and the noisy one, with the clean image.

    Parameters
    ----------
    samples : iterable of Sample
        Read one after the other; only one lies in memory.
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

    Returns
    -------
    Evaluation

    Raises
    ------
    UserError
        If there is no pair, one cannot be read, or ``data_range`` is not above 0.
    """
    if not (np.isfinite(data_range) and data_range > 0):
        raise UserError(f"`data_range` {data_range:g}: give the peak value to count from, above 0, such as 255")
    planes = denoiser.tiled(tile)
    images = []
    for sample in samples:
        noisy, clean = sample.pair()
        images.append(
            _figures(
                sample.name,
                noisy=noisy,
                denoised=planes(noisy),
                clean=clean,
                convention=convention,
                data_range=data_range,
            )
        )
        if progress is not None:
            progress()
    if not images:
        raise UserError("nothing to evaluate: there is no pair of a noisy and a clean image")
    return Evaluation(
        convention=convention,
        data_range=data_range,
        images=tuple(images),
        mean=_over(images, np.mean),
        sd=_over(images, np.std),
    )


def telling(evaluation: Evaluation) -> list[str]:
    """Return the names of the images worth a look: the most suspicious, the worst and the middle one by PSNR."""
    by_score = sorted(evaluation.images, key=lambda image: image.psnr_denoised)
    most = max(evaluation.images, key=lambda image: image.most_surprising)
    names = [most.name, by_score[0].name, by_score[len(by_score) // 2].name]
    return list(dict.fromkeys(names))[:_SHOWN]


def residual_picture(samples: Sequence[Sample], denoiser: Denoiser, path: Path, *, tile: int | None = None) -> None:
    """Draw what the denoiser did to a few images, so that invented structure can be seen.

    A row an image; from left to right: noisy, denoised, clean, what was removed (noisy minus denoised: it should look
    like noise), the error (denoised minus clean, the clean image fitted to the noisy one's units), and the map of
    suspicion (the smoothed residual in standard deviations of its noise: it should show nothing).

    Parameters
    ----------
    samples : sequence of Sample
        Few: see ``telling``.
    denoiser : Denoiser
        The same as for ``evaluate``.
    path : Path
        Written as PNG, whole or not at all.
    tile : int, optional
        As for ``evaluate``.
    """
    from matplotlib.figure import Figure

    planes = denoiser.tiled(tile)
    figure = Figure(figsize=(15, 2.9 * len(samples)), layout="constrained")
    grid: list[list[Axes]] = figure.subplots(len(samples), 6, squeeze=False).tolist()
    for axes, sample in zip(grid, samples, strict=True):
        noisy, clean = sample.pair()
        _draw_row(axes, sample.name, noisy, planes(noisy), clean)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=110, format="png", metadata={"Software": _WRITER})


def is_result(path: Path) -> bool:
    """Return whether a file that exists, ``.json`` or ``.png``, is one that an evaluation wrote."""
    if path.suffix.lower() == ".png":
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                return picture.info.get("Software") == _WRITER
        except (UnidentifiedImageError, OSError):
            return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and {"convention", "data_range", "images", "mean", "sd"} <= content.keys()


def _figures(
    name: str,
    *,
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    clean: NDArray[np.float32],
    convention: Convention,
    data_range: float,
) -> ImageFigures:
    slope, offset = fit_affine(clean, denoised)
    slope_noisy, offset_noisy = fit_affine(clean, noisy)
    seen = suspicion(surprise(noisy, denoised))
    return ImageFigures(
        name=name,
        psnr_noisy=psnr(clean, noisy, data_range=data_range, convention=convention),
        psnr_denoised=psnr(clean, denoised, data_range=data_range, convention=convention),
        ssim_noisy=ssim(clean, noisy, data_range=data_range, convention=convention),
        ssim_denoised=ssim(clean, denoised, data_range=data_range, convention=convention),
        slope=slope,
        offset=offset,
        slope_noisy=slope_noisy,
        offset_noisy=offset_noisy,
        slope_kept=_ratio(slope, slope_noisy),
        intensity_kept=_ratio(float(denoised.sum(dtype=np.float64)), float(noisy.sum(dtype=np.float64))),
        structure_removed=correlation(noisy.astype(np.float64) - denoised, clean),
        surprising=seen.share,
        most_surprising=seen.largest,
        most_surprising_at=(seen.y, seen.x),
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")


def _over(images: Sequence[Figures], summary: Callable[..., np.floating]) -> Figures:
    """Return the mean or the standard deviation of each figure; NaN where an image has none."""
    with np.errstate(invalid="ignore"):
        return Figures(
            **{key: float(summary([getattr(image, key) for image in images])) for key in Figures.model_fields}
        )


def _draw_row(
    axes: Sequence[Axes],
    name: str,
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    clean: NDArray[np.float32],
) -> None:
    """Draw one image: three pictures in one grey scale, three maps around 0 in blue and red."""
    slope, offset = fit_affine(clean, noisy)
    fitted = slope * clean.astype(np.float64) + offset
    removed, error, map_ = noisy - denoised, denoised - fitted, surprise(noisy, denoised)
    seen = suspicion(map_)
    window = (_around(seen.y, noisy.shape[0]), _around(seen.x, noisy.shape[1]))
    low, high = np.percentile(fitted, (0.1, 99.9))
    spread = max(float(np.percentile(np.abs(removed), 99.5)), 1e-12)
    greys: tuple[tuple[str, NDArray[Any]], ...] = (("noisy", noisy), ("denoised", denoised), ("clean", fitted))
    for axis, (title, picture) in zip(axes[:3], greys, strict=True):
        axis.imshow(picture[window], cmap="gray", vmin=low, vmax=high)
        axis.set_title(title, fontsize=9)
    maps = (
        ("removed: noisy - denoised", removed, spread),
        ("error: denoised - clean", error, spread),
        (f"against the data, in sd (most {seen.largest:.1f})", map_, 2 * SURPRISING),
    )
    for axis, (title, around_zero, limit) in zip(axes[3:], maps, strict=True):
        shown = axis.imshow(around_zero[window], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(title, fontsize=9)
        axis.get_figure(root=True).colorbar(shown, ax=axis, shrink=0.8)  # type: ignore[union-attr]
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].set_ylabel(name, fontsize=8)


def _around(centre: int, length: int) -> slice:
    start = min(max(centre - _LARGEST_SHOWN // 2, 0), max(length - _LARGEST_SHOWN, 0))
    return slice(start, start + _LARGEST_SHOWN)
