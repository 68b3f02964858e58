"""The report of a study: tables in three forms, figures, and one HTML page that holds them all."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path

import yaml

from training.errors import RunError
from training.evaluation.pictures import is_ours
from training.studies.reading import Results, read_results
from training.studies.report.answers import comparisons, few_shot
from training.studies.report.drawings import few_shot_curve, panels, validation_curves
from training.studies.report.tables import as_csv, tables
from training.studies.running import CELLS
from training.util.text import counted, duration
from training.util.writing import clear_parts, write_text

REPORT = "report"
_MARK = "<!-- written by bmz-fmd study report -->"


def write_report(folder: Path, *, images: bool = True) -> Path:
    """Write the report of a study, finished or not, into the folder ``report`` of its own.

    Parameters
    ----------
    folder : Path
        As ``bmz-fmd study run`` wrote it.
    images : bool
        Whether test images are shown; without, no pixel of the data is in the report.

    Returns
    -------
    Path
        ``report/index.html``; beside it ``tables.md``, ``tables.csv``, ``tables.tex`` and the figures.

    Raises
    ------
    UserError
        Where the folder is no study's, nothing of it is finished, or its report's place is taken by other files.
    """
    results = read_results(folder)
    if not any(row.choices for row in results.rows):
        raise RunError(f"{folder}: nothing of it is finished yet; go on with bmz-fmd study run")
    place = folder / REPORT
    page = place / "index.html"
    place.mkdir(exist_ok=True)
    clear_parts(place)
    _check_ours(place, page)
    for picture in place.glob("*.png"):
        picture.unlink()  # of an earlier report, which may have had more of them
    made = tables(results)
    write_text(place / "tables.md", "\n".join(table.markdown() for table in made))
    write_text(place / "tables.tex", "\n".join(table.latex() for table in made))
    write_text(place / "tables.csv", as_csv(results))
    write_text(page, _page(results, place, list(panels(results, folder / CELLS, place)) if images else []))
    return page


def _check_ours(place: Path, page: Path) -> None:
    """Refuse a folder that holds something else than an earlier report, whole or cut off while it was written."""
    ours = not page.is_file() or _MARK in page.read_text(encoding="utf-8", errors="replace")
    strange = [] if ours else [page.name]
    if place.is_dir():
        known = {page.name, "tables.md", "tables.tex", "tables.csv"}
        strange += [
            path.name
            for path in sorted(place.iterdir())
            if path.name not in known and not (path.suffix == ".png" and is_ours(path))
        ]
    if strange:
        raise RunError(f"{place}: holds {strange[0]}, which is not overwritten; move it away")


def _page(results: Results, place: Path, shown: list[tuple[str, Path]]) -> str:
    from jinja2 import Environment, StrictUndefined

    figures: dict[str, list[tuple[str, str]]] = {}
    for number, experiment in enumerate(dict.fromkeys(row.experiment for row in results.rows)):
        path = place / f"validation-{number}.png"
        if validation_curves([row for row in results.rows if row.experiment == experiment], path):
            figures.setdefault(experiment, []).append((f"validation PSNR over epochs, {experiment}", _embedded(path)))
    curves = list(few_shot(results))
    for number, curve in enumerate(curves):
        path = place / f"pairs-{number}.png"
        beside = {
            each.cell.network: each.evaluation.mean.psnr_denoised
            for each in results.baselines.get(curve.data, ())
            if each.evaluation is not None
        }
        few_shot_curve(curve, beside, path)
        experiment = next(row.experiment for row in results.rows if "pairs" in row.compared)
        figures.setdefault(experiment, []).append((f"PSNR over pairs, {curve.network}", _embedded(path)))
    found = comparisons(results)
    template = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True).from_string(
        files("training.studies.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    text = template.render(
        name=results.name,
        missing=results.missing,
        failed=results.failed,
        sentences=[each.sentence() for each in found] + [curve.advice for curve in curves],
        compared=_many(len(found)),
        tables=tables(results),
        figures=figures,
        panels=[(title, _embedded(path)) for title, path in shown],
        made=_made(results),
        study=yaml.safe_dump(_without_paths(results.study), sort_keys=False, allow_unicode=True),
    )
    return f"{text}\n{_MARK}\n"


def _many(count: int) -> str:
    if count < 2:
        return ""
    return (
        f"{count} comparisons were made: of so many intervals of 95 %, about {max(round(count / 20), 1)} may miss "
        "the truth by chance."
    )


def _made(results: Results) -> str:
    """Return seeds, threads, versions and time, in words."""
    every = [choice for row in results.rows for choice in row.choices]
    every += [row.final for row in results.rows if row.final is not None]
    every += [*results.pretraining, *(each for some in results.baselines.values() for each in some)]
    cells = {result.cell.id: result for result in every}
    versions = next(iter(cells.values())).versions
    said = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    seconds = sum(result.seconds for result in cells.values())
    seed = results.study["recipe"].get("seed", 0)
    return (
        f"{counted(len(cells), 'cell')}, {duration(seconds)} of training and testing in all, "
        f"{counted(results.study['threads'], 'thread')} each, seed {seed}. The settings with the best PSNR on "
        f"validation images were trained again on training and validation images, and tested once. Versions: {said}."
    )


def _without_paths(content: object) -> object:
    """Return the study's file with the names alone of what lies on this machine."""
    if isinstance(content, dict):
        return {key: _without_paths(value) for key, value in content.items() if value not in (None, {}, [])}
    if isinstance(content, list):
        return [_without_paths(value) for value in content]
    return Path(content).name if isinstance(content, str) and Path(content).is_absolute() else content


def _embedded(path: Path) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
