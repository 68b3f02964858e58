"""What a run hands over beside its weights: scores on the test images, curves, and a panel of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from training.calibration.layer import Calibrated
from training.data import ImageDataset, Sample
from training.evaluation import pictures as figures
from training.evaluation.metrics import Fit, mean_and_deviation, psnr, ssim
from training.evaluation.trust import Trust, judge_result
from training.runs.model import as_denoiser
from training.runs.provenance import Believed, Provenance, Risk, Score, Scores
from training.runs.run import CURVES, PANEL, Run, load_checkpoint
from training.util.progress import Listener

_SHOWN = 3  # test images in the panel


def finish(run: Run, dataset: ImageDataset, device: str, listener: Listener) -> None:
    """Score the best weights on the test images, and draw what a person looks at first."""
    provenance = run.provenance
    model = run.model("best")
    epoch = int(load_checkpoint(run.checkpoint("best"))["epoch"])
    before = provenance.scores
    peak = before["raw"].data_range if before else 1.0
    scores = score(dataset.test, model, provenance, device, listener, data_range=peak, before=before)
    rows = run.history()
    best = next((row["psnr"] for row in rows if row["epoch"] == epoch), None)
    chosen = provenance.validation
    if chosen is not None and best is not None:
        chosen = chosen.model_copy(update={"denoised": best})
    shown = list(_rows(dataset.test, model, provenance, device, data_range=peak))
    trust = _judged(shown, provenance)
    found = {
        "scores": scores,
        "validation": chosen,
        "trust": trust,
        "risk": _risk(rows, epoch) if chosen is None and run.settings.recipe.validation else None,
        "best_epoch": epoch,
        "epochs": max((int(row["epoch"]) for row in rows), default=epoch),
    }
    run.write_provenance(provenance.model_copy(update={**found, "scored": True, "recipe": run.settings.recipe}))
    if epoch == 0 and found["epochs"]:
        listener.warn("training did not improve on the calibrated start: more `epochs`, or a lower `lr`")
    risk = run.provenance.risk
    if risk is not None and found["epochs"]:
        change = 100 * (risk.best / risk.start - 1) if risk.start else 0.0
        listener.note(
            f"no clean image judged: the risk of {provenance.method} on validation patches was {risk.start:.5g} before "
            f"training and is {risk.best:.5g} at epoch {epoch} ({change:+.2g} %)"
        )
    if not scores:
        listener.note("there are no clean images to judge by: how close the results are to the truth is not known")
    elif run.provenance.beats_noisy() is False:
        listener.warn(str(run.provenance.judgement()))
    listener.note(trust.sentence)
    figures.curves(rows, run.folder / CURVES, best_epoch=epoch)
    figures.panel(shown, run.folder / PANEL, pixel_size=dataset.source.pixel_size)


def _judged(shown: Sequence[figures.Shown], provenance: Provenance) -> Believed:
    """Return whether the results in the panel can be believed, as far as noisy images alone can tell."""
    judged = [judge_result(row.name, row.noisy, row.denoised, camera=provenance.camera).judgement for row in shown]
    trust = Trust(images=tuple(judged))
    verdicts = {image.name: image.verdict for image in trust.images}
    return Believed(verdict=trust.verdict, images=verdicts, sentence=trust.summary())


def _risk(rows: Sequence[dict[str, float]], epoch: int) -> Risk | None:
    """Return the validation loss before training and of an epoch; None where the table of losses is lost."""
    losses = {int(row["epoch"]): row["validation_loss"] for row in rows}
    return Risk(start=losses[0], best=losses[epoch]) if {0, epoch} <= losses.keys() else None


def score(
    samples: Sequence[Sample],
    model: Calibrated,
    provenance: Provenance,
    device: str,
    listener: Listener,
    *,
    data_range: float,
    before: dict[str, Scores] | None = None,
) -> dict[str, Scores]:
    """Return raw and affine scores over the test images that have a clean one; without ``before``, of the start."""
    samples = [sample for sample in samples if sample.clean is not None]
    if not samples:
        return {}
    denoise = as_denoiser(model, provenance, device).tiled()
    conventions: tuple[Fit, ...] = ("raw", "affine")
    found: dict[tuple[str, str], list[list[float]]] = {}
    with listener.progress("scoring the test images", len(samples)) as advance:
        for sample in samples:
            noisy, clean = sample.pair()
            images = {"denoised": denoise(noisy)} | ({"noisy": noisy} if before is None else {})
            for convention, (which, image) in product(conventions, images.items()):
                measured = [
                    measure(clean, image, data_range=data_range, convention=convention) for measure in (psnr, ssim)
                ]
                found.setdefault((convention, which), []).append(measured)
            advance(1, "")
    result: dict[str, Scores] = {}
    for convention in conventions:
        denoised = _summary(found[convention, "denoised"])
        result[convention] = Scores(
            convention=convention,
            data_range=data_range,
            images=len(samples),
            noisy=_summary(found[convention, "noisy"]) if before is None else before[convention].noisy,
            start=denoised if before is None else before[convention].start,
            denoised=denoised,
        )
    return result


def _summary(values: Sequence[Sequence[float]]) -> Score:
    (ratio, ratio_std), (similarity, similarity_std) = map(mean_and_deviation, zip(*values, strict=True))
    return Score(psnr=ratio, psnr_std=ratio_std, ssim=similarity, ssim_std=similarity_std)


def _rows(
    samples: Sequence[Sample], model: Calibrated, provenance: Provenance, device: str, *, data_range: float
) -> Iterator[figures.Shown]:
    """Yield a few test images, spread over all, any clean ones on the noisy scale; PSNR by the affine convention."""
    denoise = as_denoiser(model, provenance, device).tiled()
    for index in np.unique(np.linspace(0, len(samples) - 1, _SHOWN).round().astype(int)):
        sample = samples[int(index)]
        noisy, clean = sample.pair() if sample.clean is not None else (sample.frame(), None)
        denoised = denoise(noisy)
        shown, scores = [noisy, denoised], []
        if clean is not None:
            scores = [psnr(clean, image, data_range=data_range, convention="affine") for image in shown]
            shown.append(provenance.intensity_fit.apply(noisy, clean))
        planes = (image[(image.shape[0] // 2,) * (image.ndim - 2)] for image in shown)  # the middle one of a volume
        yield figures.Shown(sample.name, *planes, *scores)
