"""A certificate as a picture: each engine's difference on a logarithmic scale, and the tools' tilings below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bmz_export.checking.certificate import Certificate, Row, TileRow
from bmz_export.checking.comparison import CLOSE, LIMIT
from bmz_export.checking.report import (
    FORMATS,
    computed_by,
    engine_name,
    figure_of,
    headline,
    not_run,
    summary,
    way_name,
)
from bmz_export.checking.verdicts import seen_tiles
from bmz_export.tools import TOOLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"passed": "#2a7f62", "failed": "#c0392b", "partly": "#b9770e", "shown": "#3b6ea5"}
_GREY = "#8a8f98"


def draw(certificate: Certificate, path: Path) -> Path:
    """Write the picture as PNG to ``path``, and return that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(certificate.rows, key=_group)
    tiles = seen_tiles(certificate.tiles, certificate.errors)
    heights = [0.3 * len(rows) + 0.75, *([0.3 * len(tiles) + 0.95] if tiles else [])] if rows else []
    total = _HEAD + (sum(heights) or 0.3 * len(certificate.tools)) + 0.1
    figure = Figure(figsize=(_WIDTH, total), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    _draw_title(figure, certificate, total)
    top = total - _HEAD
    for number, tool in enumerate(() if rows else certificate.tools):
        text = f"{tool.tool}: {tool.sentence}"
        figure.text(0.2 / _WIDTH, (top - 0.3 * number - 0.15) / total, textwrap.shorten(text, 140, placeholder=" ..."),
                    fontsize=8.5, color=_INK, va="center")  # fmt: skip
    drawers = partial(_draw_rows, rows=rows), partial(_draw_tiles, certificate, tiles=tiles)
    for height, drawn in zip(heights, drawers, strict=False):
        frame = (_LEFT / _WIDTH, (top - height + 0.5) / total, (_WIDTH - _LEFT - 0.3) / _WIDTH, (height - 0.55) / total)
        drawn(figure.add_axes(frame))
        top -= height
    figure.savefig(path, metadata={"Software": None})
    return path


_WIDTH, _LEFT, _HEAD = 10.0, 4.6, 1.1
_TITLE = 95  # letters of 12 points that fit the width
_FLOOR, _CEILING = 3e-9, 1.0
_MARKS = {
    "interior": ("o", "#2a7f62", "inside"),
    "seam": ("D", "#3b6ea5", "at seams"),
    "edge": ("s", "#d98a29", "at the image's edge"),
    "cut": ("^", "#8e5ea2", "in the last, smaller tiles"),
}
_INK, _PALE = "#20242a", "#868c96"


def _group(row: Row) -> tuple[int, str, str]:
    order = [tool.title for tool in TOOLS.values()]
    return (order.index(row.tools[0]) if row.tools[0] in order else len(order), row.tools[0], row.weights)


def _draw_title(figure: Figure, certificate: Certificate, total: float) -> None:
    words, state = headline(certificate)
    name = certificate.package if len(certificate.package) < 75 else f"{certificate.package[:72]}..."
    counts = summary(certificate).removeprefix(f"{certificate.package}: ")
    size = 12 * min(1, _TITLE / len(words))
    lines = ((0.28, name, 15, _INK), (0.62, f"{words[0].upper()}{words[1:]}", size, _COLOURS.get(state, _GREY)),
             (0.9, counts, 9.5, _PALE))  # fmt: skip
    for inches, text, points, colour in lines:
        weight = "normal" if colour == _PALE else "bold"
        place = 0.2 / _WIDTH, 1 - inches / total
        figure.text(*place, text, fontsize=points, fontweight=weight, color=colour, va="center")


def _frame(axes: Axes, count: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(_FLOOR, _CEILING)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xticks([10.0**power for power in range(-8, 1)])
    axes.tick_params(axis="x", which="both", length=0, labelsize=8, labelcolor=_PALE, pad=2)
    axes.minorticks_off()
    axes.grid(axis="x", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axvspan(CLOSE, LIMIT, color="#fbf1d3", linewidth=0, zorder=0)
    axes.axvspan(LIMIT, _CEILING, color="#f9e2de", linewidth=0, zorder=0)
    for line in range(1, count):
        axes.axhline(line - 0.5, color="#f3f4f6", linewidth=0.8, xmin=-1, clip_on=False, zorder=0)


def _label(axes: Axes, row: int, inches: float, text: str, *, color: str = _INK, weight: str = "normal") -> None:
    """Write left of the plot, so many inches from the figure's left edge."""
    width = _WIDTH - _LEFT - 0.3
    axes.text((inches - _LEFT) / width, row, text, transform=axes.get_yaxis_transform(), va="center", clip_on=False,
              fontsize=8.5, color=color, fontweight=weight)  # fmt: skip


def _draw_words(axes: Axes, index: int, row: Row | TileRow) -> None:
    """Say in the plot why there is nothing to draw, but not what to install: whoever reads it did not make it."""
    text = f"{row.verdict}: {row.note}" if row.note and row.verdict != "not installed" else row.verdict
    axes.text(_FLOOR * 1.4, index, text if len(text) < 70 else f"{text[:67]}...", va="center", fontsize=8,
              color=_COLOURS.get(row.verdict, _GREY), style="italic")  # fmt: skip


def _draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    _frame(axes, len(rows))
    before = ""
    for index, row in enumerate(rows):
        colour = _COLOURS.get(row.verdict, _GREY)
        tool = "every tool" if row.tools == ("all",) else row.tools[0]
        _label(axes, index, 0.2, tool if tool != before else "", weight="bold")
        before = tool
        _label(axes, index, 1.65, engine_name(row))
        _label(axes, index, 3.6, FORMATS.get(row.weights, row.weights), color=_PALE)
        if row.difference is None:
            _draw_words(axes, index, row)
            continue
        value = _clip(row.difference.largest)
        axes.plot([value], [index], "o", color=colour, markersize=7, clip_on=False)
        x, side = (value * 1.8, "left") if value < 0.05 else (value / 1.8, "right")
        axes.text(x, index, figure_of(row.difference), va="center", ha=side, fontsize=8, color=colour)
    _caption(axes, "largest difference of a pixel, as a part of the output's range. BioImage.IO fails above 1e-3")


def _draw_tiles(certificate: Certificate, axes: Axes, tiles: Sequence[TileRow]) -> None:
    _frame(axes, len(tiles))
    idle = not_run(certificate)
    for index, row in enumerate(tiles):
        ran = row.tool not in idle
        _label(axes, index, 0.2, row.tool, weight="bold", color=_INK if ran else _PALE)
        _label(axes, index, 1.65, way_name(row))
        if row.verdict not in ("passed", "shown"):
            _draw_words(axes, index, row)
        for name, (mark, colour, _) in _MARKS.items():
            if (part := getattr(row, name)) is not None:
                axes.plot([_clip(part.largest)], [index], mark, color=colour, markersize=7, alpha=0.85, clip_on=False,
                          fillstyle="full" if ran else "none")  # fmt: skip
    for mark, colour, name in _MARKS.values():
        axes.plot([], [], mark, color=colour, markersize=6, label=name)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False, handletextpad=0.2,
                borderaxespad=0.2, columnspacing=1.2, labelcolor=_PALE)  # fmt: skip
    height, width = tiles[0].image
    words = f"{width} x {height} pixels tiled as each tool does, against the whole image. Red: its user sees it"
    if by := computed_by(certificate):
        words += "\n".join([".", *textwrap.wrap(f"{by[0].upper()}{by[1:]}{' (hollow)' if idle else ''}", 120)])
    _caption(axes, words)


def _clip(value: float) -> float:
    return min(max(value, _FLOOR * 1.5), _CEILING)


def _caption(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, fontsize=8, color=_PALE, loc="right", labelpad=3)
