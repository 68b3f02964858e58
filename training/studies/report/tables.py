"""The tables of a study, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from training.evaluation.scoring import Evaluation
from training.studies.reading import Results
from training.studies.report.answers import difference, over, title_of
from training.studies.results import Result, Row
from training.util.text import duration

_LATEX = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "$": r"\$"})


@dataclass(frozen=True)
class Table:
    """A table: its title, the heads of its columns, and its rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return it as Markdown, under a heading."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        return f"## {self.title}\n\n{text}\n" + (f"\n{self.note}\n" if self.note else "")

    def latex(self) -> str:
        """Return it as a LaTeX table for the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

        body = "\n".join(map(line, self.rows))
        return (
            f"\\begin{{table}}\n\\caption{{{self.title.translate(_LATEX)}}}\n"
            f"\\begin{{tabular}}{{{'l' * len(self.columns)}}}\n\\toprule\n{line(self.columns)}\n\\midrule\n{body}\n"
            "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
        )


def tables(results: Results) -> list[Table]:
    """Return a table for each experiment: its rows, the baselines, and published numbers of the same data."""
    found = []
    for experiment in dict.fromkeys(row.experiment for row in results.rows):
        rows = [row for row in results.rows if row.experiment == experiment]
        lines = []
        for data in dict.fromkeys(row.data for row in rows):
            baselines = results.baselines.get(data, [])
            first = next((each.evaluation for each in baselines if each.evaluation), None)
            lines += [_line(row, first) for row in rows if row.data == data]
            lines += [_baseline(data, baseline) for baseline in baselines]
        columns = ("data", "network", "PSNR in dB", "SSIM", _over(results), "pairs", "epochs", "parameters", "training")
        found.append(Table(experiment, columns, tuple(lines), _convention(results)))
    published = _published(results)
    return [*found, published] if published.rows else found


def as_csv(results: Results) -> str:
    """Return all tested rows and baselines, with all their figures and no rounding."""
    stream = io.StringIO()
    known = [row for row in results.rows if row.final is not None and row.final.evaluation is not None]
    factors = list(dict.fromkeys(key for row in known for key in row.compared))
    figures = list(known[0].final.evaluation.mean.model_fields_set) if known and known[0].final else []  # type: ignore[union-attr]
    figures = sorted(figures)
    heads = ["experiment", "data", "network", *factors, "validation", "pairs", "epochs", "parameters", "seconds"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*heads, *(f"{key}_{which}" for key in figures for which in ("mean", "sd"))])

    def scores(tested: Evaluation | None) -> list[object]:
        return [getattr(getattr(tested, which), key) for key in figures for which in ("mean", "sd")] if tested else []

    for row in known:
        final = row.final
        assert final is not None
        values = [row.compared.get(key, "") for key in factors]
        about = [final.validation, final.pairs, final.epochs, final.parameters, round(final.seconds, 1)]
        writer.writerow([row.experiment, row.data, row.network, *values, *about, *scores(final.evaluation)])
    for data, baselines in results.baselines.items():
        for each in baselines:
            blank = [""] * (len(factors) + 4)
            writer.writerow(["", data, each.cell.network, *blank, round(each.seconds, 1), *scores(each.evaluation)])
    return stream.getvalue()


def _line(row: Row, baseline: Evaluation | None) -> tuple[str, ...]:
    final = row.final
    if final is None or final.evaluation is None:
        validated = (
            f"{row.choices[0].validation:.2f} on validation" if row.choices and row.choices[0].validation else ""
        )
        return (row.data, title_of(row), validated or "not finished", *[""] * 6)
    tested = final.evaluation
    gained = "" if baseline is None else difference(over(tested, baseline))
    about = (str(final.pairs), str(final.epochs), f"{final.parameters:,}", duration(final.seconds))
    return (row.data, title_of(row), *_scores(tested), gained, *about)


def _baseline(data: str, result: Result) -> tuple[str, ...]:
    assert result.evaluation is not None
    return (data, result.cell.network, *_scores(result.evaluation), "", "", "", "", duration(result.seconds))


def _scores(tested: Evaluation) -> tuple[str, str]:
    mean, deviation = tested.mean, tested.sd
    return (
        f"{mean.psnr_denoised:.2f} ± {deviation.psnr_denoised:.2f}",
        f"{mean.ssim_denoised:.3f} ± {deviation.ssim_denoised:.3f}",
    )


def _over(results: Results) -> str:
    names = results.study.get("baselines") or []
    return f"over {names[0]}, dB" if names else "over a baseline, dB"


def _convention(results: Results) -> str:
    tested = next((row.final.evaluation for row in results.rows if row.final and row.final.evaluation), None)
    if tested is None:
        return ""
    return (
        f"Mean ± standard deviation over {len(tested.images)} test images, {tested.counted_by}; "
        f"differences image by image, with the 95 % interval over fields of view."
    )


def _published(results: Results) -> Table:
    """Return what the thesis printed for the data sets of the study, to stand beside."""
    text = files("training.studies.report").joinpath("published.csv").read_text(encoding="utf-8")
    wanted = {options.get("dataset") for options in results.study["data"].values()}
    rows = tuple(
        (
            row["dataset"],
            row["network"],
            row["mode"],
            _with(row["psnr"], row["psnr_sd"]),
            _with(row["ssim"], row["ssim_sd"]),
        )
        for row in csv.DictReader(io.StringIO(text))
        if row["dataset"] in wanted
    )
    note = (
        "As printed in the thesis on fine-tuning these networks; its data range and convention are not stated there, "
    )
    note += "so these numbers stand beside ours and are not compared with them."
    return Table("Published", ("data", "network", "images", "PSNR in dB", "SSIM"), rows, note)


def _with(value: str, deviation: str) -> str:
    return f"{value} ± {deviation}" if deviation else value
