"""A model scored on pairs, baselines beside it, and figures stored with all that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import DataError, SettingError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bmz_fmd.models import Model
    from bmz_fmd.pairs import Pairs
    from training.evaluation.metrics import Convention
    from training.evaluation.scoring import Evaluation


def score(
    model: Model,
    pairs: Pairs,
    *,
    convention: Convention,
    data_range: float | None = None,
    tile: int | None = None,
    baselines: Sequence[str] = (),
    progress: Callable[[], object] | None = None,
    note: Callable[[str], object] = lambda line: None,
) -> Evaluation:
    """Score a model, and count the images that it was made with; see ``interface.evaluate``.

    ``note`` is told what takes minutes before anything is scored.
    """
    from bmz_fmd.baselines import open_others
    from training.evaluation.metrics import OWN_PEAK
    from training.evaluation.overlap import overlap
    from training.evaluation.scoring import evaluate

    if convention in OWN_PEAK and data_range is not None:
        raise SettingError(
            f"`data_range` has no meaning for `convention` {convention}, which has its own peak: leave it out"
        )
    peak = _peak(model, pairs, convention) if data_range is None else data_range
    result = evaluate(
        pairs.samples,
        model.denoiser,
        convention=convention,
        data_range=peak,
        tile=tile,
        others=open_others(baselines, model, pairs, convention=convention, data_range=peak, note=note),
        progress=progress,
    )
    if model.provenance is None or pairs.own:
        return result
    data = model.provenance.data
    return result.model_copy(update={"overlap": overlap(pairs.samples, data.hashes, data.splits)})


def store(path: Path, model: Model, settings: Mapping[str, object], result: BaseModel) -> None:
    """Write the figures, and all that they depend on, as JSON; infinity and NaN become null."""
    import json

    from training.runs.provenance import now, versions
    from training.util.writing import write_text

    content = {
        "model": {"path": str(model.path), "kind": model.kind, "file": model.hashed, "sha256": model.sha256},
        "settings": dict(settings),
        **json.loads(result.model_dump_json()),
        "versions": versions(),
        "created": now(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _peak(model: Model, pairs: Pairs, convention: Convention) -> float:
    """Return the peak that the run counted from on its own test images, or that of 8 bits."""
    from training.evaluation.metrics import OWN_PEAK

    if convention in OWN_PEAK:
        return 1.0
    if pairs.own and model.provenance is not None and convention in model.provenance.scores:
        return model.provenance.scores[convention].data_range
    dtype = pairs.samples[0].truth.dtype
    if dtype == "uint8":
        return 255.0
    raise DataError(
        f"`data_range` is missing: PSNR of {dtype} images needs the peak to count from, such as 4095 for a camera of "
        "12 bits"
    )
