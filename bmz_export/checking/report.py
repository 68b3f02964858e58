"""A certificate for people: tables and lines for a terminal, a section of the README, a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bmz_export.checking.certificate import (
    LIBRARY_TEST,
    PICTURE,
    TENSORS,
    Certificate,
    Difference,
    Row,
    TileRow,
)
from bmz_export.tools import TOOLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("tool", "engine", "version", "weights", "sizes", "largest", "mean", "s an image", "memory", "verdict")
TILE_COLUMNS = ("tool", "way", "tiles", "interior", "seam", "edge", "cut", "verdict")
FIGURES = ("largest", "mean", "s an image", "memory", "tiles", "interior", "seam", "edge", "cut")
"""Columns that hold numbers."""

_LIMITS = (1e-4, 1e-3)
_SHOWN = "shown: more than 1e-3 of the range somewhere, which that tool's user sees"
_COLOURS = {
    "passed": "#2a7f62",
    "failed": "#c0392b",
    "partly": "#b9770e",
    "not compared": "#8a8f98",
    "not run": "#8a8f98",
    "shown": "#3b6ea5",
}


def figure_of(value: float | None) -> str:
    """Return a difference as text: a power of ten, 0 where nothing differs, a dash where nothing was measured."""
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.0e}" if value < 1 else f"{value:.1f}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a run's cells, in the order of ``COLUMNS``."""
    sizes = (
        ""
        if not row.sizes
        else row.sizes[0]
        if len(row.sizes) == 1
        else f"{row.sizes[0]} and {len(row.sizes) - 1} more"
    )
    return (
        ", ".join(row.tools),
        row.title,
        row.version,
        row.weights,
        sizes or "-",
        figure_of(row.difference.largest if row.difference else None),
        figure_of(row.difference.mean if row.difference else None),
        "-" if row.seconds is None else f"{row.seconds:.2f}",
        "-" if row.peak_memory is None else f"{row.peak_memory / 2**20:.0f} MB",
        row.verdict,
    )


def tile_cells(row: TileRow) -> tuple[str, ...]:
    """Return a tiling's cells, in the order of ``TILE_COLUMNS``."""
    parts: Sequence[Difference | None] = (row.interior, row.seam, row.edge, row.cut)
    return (
        row.tool,
        row.way,
        str(row.tiles),
        *(figure_of(part.largest if part else None) for part in parts),
        row.verdict,
    )


def summary(certificate: Certificate) -> str:
    """Return the whole in one sentence."""
    ran = [row for row in certificate.rows if row.verdict != "not run"]
    if certificate.rules_only:
        engines = "rules alone, nothing was run"
    elif not ran:
        engines = "nothing was run"
    else:
        passed = sum(row.verdict == "passed" for row in ran)
        engines = f"{passed} of {len(ran)} runs passed"
        if certificate.worst is not None:
            engines += f", largest difference {figure_of(certificate.worst)} of the range"
        for what, rows in (("not compared", certificate.not_compared), ("not run", certificate.not_run)):
            if rows:
                engines += f", {len(rows)} {what}"
    found = [(len(certificate.errors), "error"), (len(certificate.warnings), "warning")]
    count = ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in found)
    return f"{certificate.package}: {engines}; {count} from {certificate.rules} rules"


def headline(certificate: Certificate) -> tuple[str, str]:
    """Return what the runs allow to say in a few words, and how good that is: a key of the colours."""
    engines: dict[str, set[str]] = {}
    for row in certificate.rows:
        if row.engine not in (TENSORS, LIBRARY_TEST):
            engines.setdefault(row.title, set()).add(row.verdict)
    count = len(engines)
    failed = sum("failed" in verdicts for verdicts in engines.values())
    agree = sum(verdicts == {"passed"} for verdicts in engines.values())
    if failed:
        return f"{failed} of {count} engines {'fails' if failed == 1 else 'fail'}", "failed"
    if certificate.exit_code:
        return "errors were found", "failed"
    if all(verdicts == {"not run"} for verdicts in engines.values()):
        return "nothing was run", "not run"
    if not any("passed" in verdicts for verdicts in engines.values()):
        return "nothing to compare with", "not compared"
    idle = sum("not run" in verdicts for verdicts in engines.values())
    alone = count - agree - idle
    if agree < count:
        rest = [f"{number} {what}" for number, what in ((alone, "not compared"), (idle, "not run")) if number]
        return f"{agree} of {count} engines agree, {', '.join(rest)}", "partly"
    return f"the same pixels in {count} engine{'' if count == 1 else 's'}", "passed"


def tables(certificate: Certificate) -> Iterator[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """Yield title, columns and rows of each table: the runs, and the tools' tilings where there are any."""
    if certificate.rows:
        yield certificate.package, COLUMNS, [cells(row) for row in certificate.rows]
    if certificate.tiles:
        height, width = certificate.tiles[0].image
        title = f"As each tool tiles {width} x {height} pixels: largest difference to the whole image ({_SHOWN})"
        yield title, TILE_COLUMNS, [tile_cells(row) for row in certificate.tiles]


def lines(certificate: Certificate) -> list[str]:
    """Return a line for each fault, for the seam, and for what was not run or failed."""
    found = [fault.line() for fault in certificate.faults]
    if certificate.seam:
        seam = certificate.seam
        stated = "" if seam.stated is None else f" (stated: {figure_of(seam.stated)})"
        found.append(f"seam: {figure_of(seam.difference.largest)} of the range with the halo of {seam.halo}{stated}")
    elif certificate.seam_note:
        found.append(f"seam: not measured: {certificate.seam_note}")
    for row in certificate.rows:
        if row.verdict != "passed":
            found.append(f"{row.verdict}: {row.title} on {row.weights}: {row.note}")
    for tile in certificate.tiles:
        if tile.verdict == "not run":
            found.append(f"not run: {tile.tool}'s tiling, {tile.way}: {tile.note}")
    return found


def section(certificate: Certificate) -> str:
    """Return the certificate as a section of a README (Markdown), with its picture."""
    told, _ = headline(certificate)
    parts = [
        "## The same pixels in every tool?",
        "",
        f"{told[0].upper()}{told[1:]}.",
        "",
        f"![Largest difference in each engine]({PICTURE})",
        "",
        "Each engine ran the weights of this package in a process of its own, on the test image, at other sizes and on",
        "two images at once. Differences are parts of the output's range. What was not run is not claimed.",
        "",
        _markdown(COLUMNS, [cells(row) for row in certificate.rows]),
    ]
    if certificate.tiles:
        height, width = certificate.tiles[0].image
        parts += [
            "",
            f"As each tool tiles an image of {width} x {height} pixels: the largest difference to the whole image, away"
            " from seams and edges, at the seams, at the image's edges, and in blocks that the image cuts"
            f" ({_SHOWN}).",
            "",
            _markdown(TILE_COLUMNS, [tile_cells(row) for row in certificate.tiles]),
        ]
    if certificate.seam:
        seam = certificate.seam
        parts += [
            "",
            f"Seam with the declared halo of {seam.halo} pixels: {figure_of(seam.difference.largest)} of the range at"
            f" most, {figure_of(seam.difference.mean)} on average.",
        ]
    elif certificate.seam_note:
        parts += ["", f"Seams between tiles were not measured: {certificate.seam_note}."]
    if certificate.faults:
        parts += ["", *(f"- {fault.line()}" for fault in certificate.faults)]
    tested = ", ".join(f"`{name}` {digest[:12]}" for name, digest in certificate.hashes.items())
    parts += [
        "",
        f"{certificate.made_by}, {certificate.created[:10]}, {certificate.machine}. Tested files (sha256): {tested};"
        f" description {certificate.description_sha256[:12]}. All of it is in `certificate.json`.",
        "",
    ]
    return "\n".join(parts)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table)


def draw(certificate: Certificate, path: Path) -> Path:
    """Draw each run as a row: the mean and the largest difference on a logarithmic scale; the tools' tilings below.

    Parameters
    ----------
    certificate : Certificate
        What was found.
    path : Path
        The PNG to write.

    Returns
    -------
    Path
        ``path``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(certificate.rows, key=_group)
    tiles = certificate.tiles
    heights = [0.3 * max(len(rows), 1) + 0.75, *([0.3 * len(tiles) + 0.95] if tiles else [])]
    total = _HEAD + sum(heights) + 0.1
    figure = Figure(figsize=(_WIDTH, total), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    _draw_title(figure, certificate, total)
    top = total - _HEAD
    for index, height in enumerate(heights):
        frame = (_LEFT / _WIDTH, (top - height + 0.5) / total, (_WIDTH - _LEFT - 0.3) / _WIDTH, (height - 0.55) / total)
        axes = figure.add_axes(frame)
        if index == 0:
            _draw_rows(axes, rows)
        else:
            _draw_tiles(axes, tiles)
        top -= height
    figure.savefig(path, metadata={"Software": None})
    return path


_WIDTH, _LEFT, _HEAD = 10.5, 4.75, 0.95
_FLOOR, _CEILING = 3e-9, 1.0
_MARKS = {"interior": ("o", "#2a7f62"), "seam": ("D", "#3b6ea5"), "edge": ("s", "#d98a29"), "cut": ("^", "#8e5ea2")}
_REGION_NAMES = {"interior": "interior", "seam": "at seams", "edge": "image's edge", "cut": "cut blocks"}
_INK, _PALE = "#20242a", "#868c96"


def _group(row: Row) -> tuple[int, str, str]:
    order = [tool.title for tool in TOOLS.values()]
    return (order.index(row.tools[0]) if row.tools[0] in order else len(order), row.tools[0], row.weights)


def _draw_title(figure: Figure, certificate: Certificate, total: float) -> None:
    verdict, colour = headline(certificate)
    name = certificate.package if len(certificate.package) < 60 else f"{certificate.package[:57]}..."
    told = summary(certificate).removeprefix(f"{certificate.package}: ")
    left, right = 0.2 / _WIDTH, 1 - 0.3 / _WIDTH
    figure.text(left, 1 - 0.3 / total, name, fontsize=15, fontweight="bold", color=_INK, va="center")
    figure.text(left, 1 - 0.58 / total, told, fontsize=9, color=_PALE, va="center")
    figure.text(right, 1 - 0.32 / total, verdict,
                fontsize=10, fontweight="bold", color="white", ha="right", va="center",
                bbox={"boxstyle": "round,pad=0.5", "facecolor": _COLOURS[colour],
                      "edgecolor": "none"})  # fmt: skip


def _frame(axes: Axes, count: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(_FLOOR, _CEILING)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xticks([10.0**power for power in range(-8, 1)])
    axes.tick_params(axis="x", which="both", length=0, labelsize=7.5, labelcolor=_PALE, pad=2)
    axes.minorticks_off()
    axes.grid(axis="x", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axvspan(_LIMITS[0], _LIMITS[1], color="#fbf1d3", linewidth=0, zorder=0)
    axes.axvspan(_LIMITS[1], _CEILING, color="#f9e2de", linewidth=0, zorder=0)
    for line in range(1, count):
        axes.axhline(line - 0.5, color="#f3f4f6", linewidth=0.8, xmin=-1, clip_on=False, zorder=0)


def _label(axes: Axes, row: int, inches: float, text: str, **style: object) -> None:
    """Write left of the plot, so many inches from the figure's left edge."""
    width = _WIDTH - _LEFT - 0.3
    axes.text((inches - _LEFT) / width, row, text, transform=axes.get_yaxis_transform(), va="center", clip_on=False,
              **{"fontsize": 8.5, "color": _INK, **style})  # type: ignore[arg-type]  # fmt: skip


def _write(axes: Axes, index: int, row: Row | TileRow) -> None:
    """Say in the plot why there is nothing to draw."""
    told = f"{row.verdict}: {row.note}" if row.note else row.verdict
    axes.text(_FLOOR * 1.4, index, told if len(told) < 75 else f"{told[:72]}...", va="center", fontsize=7.5,
              color=_COLOURS[row.verdict], style="italic")  # fmt: skip


def _draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    _frame(axes, max(len(rows), 1))
    before = ""
    for index, row in enumerate(rows):
        colour = _COLOURS[row.verdict]
        tool = "every tool" if row.tools == ("all",) else row.tools[0]
        if tool != before:
            _label(axes, index, 0.2, tool, fontweight="bold")
        before = tool
        _label(axes, index, 1.55, row.title.partition(" (")[0])
        _label(axes, index, 3.35, _FORMATS.get(row.weights, row.weights), color=_PALE, fontsize=8)
        if row.difference is None:
            _write(axes, index, row)
            continue
        value, mean = (min(max(each, _FLOOR * 1.5), _CEILING) for each in (row.difference.largest, row.difference.mean))
        axes.plot([mean, value], [index, index], color=colour, linewidth=2.4, solid_capstyle="round", alpha=0.45)
        axes.plot([mean], [index], "|", color=colour, markersize=7, markeredgewidth=1.6)
        axes.plot([value], [index], "o", color=colour, markersize=6, clip_on=False)
        told = "identical" if row.difference.largest == 0 else figure_of(row.difference.largest)
        if value < 0.05:
            axes.text(value * 1.8, index, told, va="center", fontsize=7.5, color=colour)
        else:
            axes.text(value / 1.8, index, told, va="center", ha="right", fontsize=7.5, color=colour)
    axes.set_xlabel("difference as a part of the output's range: | mean, ● largest pixel. BioImage.IO fails above 1e-3",
                    fontsize=7.5, color=_PALE, loc="left", labelpad=3)  # fmt: skip


_FORMATS = {"pytorch_state_dict": "state dict", "torchscript": "TorchScript", "onnx": "ONNX", "all": "all formats"}


def _draw_tiles(axes: Axes, tiles: Sequence[TileRow]) -> None:
    _frame(axes, len(tiles))
    for index, row in enumerate(tiles):
        _label(axes, index, 0.2, row.tool, fontweight="bold")
        _label(axes, index, 1.55, row.way.partition(",")[0].partition(" (")[0], fontsize=8)
        if row.verdict in ("failed", "not run"):
            _write(axes, index, row)
        known = [(name, part) for name in _MARKS if (part := getattr(row, name)) is not None]
        for name, part in known:
            mark, colour = _MARKS[name]
            axes.plot([min(max(part.largest, _FLOOR * 1.5), _CEILING)], [index], mark, color=colour, markersize=6.5,
                      alpha=0.85, clip_on=False)  # fmt: skip
    for mark, colour, name in ((*_MARKS[name], _REGION_NAMES[name]) for name in _MARKS):
        axes.plot([], [], mark, color=colour, markersize=6, label=name)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=7.5, frameon=False, handletextpad=0.2,
                borderaxespad=0.2, columnspacing=1.2, labelcolor=_PALE)  # fmt: skip
    height, width = tiles[0].image
    told = f"as each tool tiles {width} x {height} pixels: largest difference to the whole image. Red: its user sees it"
    axes.set_xlabel(told, fontsize=7.5, color=_PALE, loc="left", labelpad=3)
