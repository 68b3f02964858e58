"""The figures of a study: validation curves, PSNR over the number of pairs, and panels of test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.pictures import Shown, new_figure, panel, save
from training.studies.report.answers import Curve, title_of

if TYPE_CHECKING:
    from training.studies.reading import Results
    from training.studies.results import Result, Row

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
_LINES = ("-", "--", ":", "-.")


def validation_curves(rows: list[Row], path: Path) -> bool:
    """Draw PSNR on the validation crops over the epochs, a line a row; return whether there was anything to draw."""
    from matplotlib.ticker import MaxNLocator

    drawn = [(row, choice) for row in rows for choice in row.choices[:1] if len(choice.history) > 1]
    if not drawn:
        return False
    figure = new_figure(8, 4.2)
    axes = figure.subplots()
    networks = list(dict.fromkeys((row.data, row.network) for row, _ in drawn))
    many = len({data for data, _ in networks}) > 1
    for number, (row, choice) in enumerate(drawn):
        epochs, values = (np.array([line.get(key) for line in choice.history], float) for key in ("epoch", "psnr"))
        axes.plot(
            epochs, values, _LINES[networks.index((row.data, row.network)) % len(_LINES)],
            color=_COLOURS[number % len(_COLOURS)], label=f"{title_of(row)}{f', {row.data}' if many else ''}",
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="PSNR on validation crops in dB", title=rows[0].experiment)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    save(figure, path)
    return True


def few_shot_curve(curve: Curve, baselines: Mapping[str, float], path: Path) -> None:
    """Draw the mean PSNR of the test images over the number of pairs, with its standard error, and the baselines."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    means = curve.scores.mean(1)
    errors = curve.scores.std(1, ddof=1) / np.sqrt(curve.scores.shape[1]) if curve.scores.shape[1] > 1 else None
    axes.errorbar(curve.pairs, means, errors, fmt="o-", color=_COLOURS[0], capsize=3, label=curve.network)
    for number, (name, value) in enumerate(baselines.items(), start=1):
        axes.axhline(value, color=_COLOURS[number % len(_COLOURS)], linestyle="--", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(curve.pairs, [str(count) for count in curve.pairs])
    axes.minorticks_off()
    axes.set(
        xlabel="pairs to learn from", ylabel="PSNR of the test images in dB", title=f"{curve.network} on {curve.data}"
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    save(figure, path)


def panels(results: Results, cells: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Draw for each data set one test image, noisy, denoised and clean, by each tested row; yield title and path.

    The image is the one whose PSNR is the middle one for the first row.
    """
    for number, data in enumerate(dict.fromkeys(row.data for row in results.rows)):
        finals: dict[str, tuple[str, Result]] = {}
        for row in results.rows:
            if row.data == data and row.final is not None and row.final.evaluation is not None:
                finals.setdefault(title_of(row), (row.choices[0].cell.id, row.final))
        shown = list(_shown(finals, cells))
        if shown:
            path = folder / f"panel-{number}.png"
            panel(shown, path)
            yield data, path


def _shown(finals: Mapping[str, tuple[str, Result]], cells: Path) -> Iterator[Shown]:
    from training.runs.run import open_run

    name = sample = None
    for title, (choice, final) in finals.items():
        assert final.evaluation is not None
        own = cells / final.cell.id / "run"  # none where the choice itself was tested
        run = open_run(own if own.is_dir() else cells / choice / "run")
        if sample is None:
            ordered = sorted(final.evaluation.images, key=lambda image: image.psnr_denoised)
            name = ordered[len(ordered) // 2].name
            sample = next(each for each in run.dataset(compared=False).test if each.name == name)
        noisy, clean = sample.pair()
        figures = next(image for image in final.evaluation.images if image.name == name)
        denoised = run.denoiser(device="cpu").tiled()(noisy)
        fitted = run.provenance.intensity_fit.apply(noisy, clean)
        middle = (noisy.shape[0] // 2,) * (noisy.ndim - 2)
        images = (noisy[middle], denoised[middle], fitted[middle])
        yield Shown(title, *images, figures.psnr_noisy, figures.psnr_denoised)
