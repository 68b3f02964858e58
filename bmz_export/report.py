"""A certificate for people: as a table in the terminal, as a section of the README, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bmz_export.certificate import PICTURE, Certificate, Difference, Row, TileRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("tool", "engine", "version", "weights", "sizes", "largest", "mean", "s an image", "memory", "verdict")
REGIONS = ("interior", "seam", "edge", "cut")

_LIMITS = (1e-4, 1e-3)
_COLOURS = {"passed": "#2a7f62", "failed": "#c0392b", "not run": "#8a8f98", "shown": "#3b6ea5"}


def figure_of(value: float | None) -> str:
    """Return a difference as text: a power of ten, 0 where nothing differs, a dash where nothing was measured."""
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.0e}" if value < 1 else f"{value:.1f}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table, in the order of ``COLUMNS``."""
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
    """Return a row of the tiles' table: tool, way, tiles, four regions, verdict."""
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
        if certificate.not_run:
            engines += f", {len(certificate.not_run)} not run"
    count = f"{len(certificate.errors)} errors, {len(certificate.warnings)} warnings of {certificate.rules} rules"
    return f"{certificate.package}: {engines}; {count}"


def show(certificate: Certificate) -> None:
    """Print the table on stdout, and below it one line for each thing that is wrong or was not run."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=220)
    if certificate.rows:
        table = Table(title=certificate.package, title_justify="left", title_style="bold", show_lines=False)
        for name in COLUMNS:
            right = name in ("largest", "mean", "s an image", "memory")
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in certificate.rows:
            table.add_row(*cells(row)[:-1], Text(row.verdict, style=_STYLES[row.verdict]))
        console.print(table)
    if certificate.tiles:
        height, width = certificate.tiles[0].image
        table = Table(title=f"As each tool tiles {width} x {height} pixels: largest difference to the whole image",
                      title_justify="left", title_style="bold")  # fmt: skip
        for name in ("tool", "way", "tiles", *REGIONS, "verdict"):
            table.add_column(name, justify="right" if name in REGIONS else "left", overflow="fold")
        for tiled in certificate.tiles:
            table.add_row(*tile_cells(tiled)[:-1], Text(tiled.verdict, style=_STYLES[tiled.verdict]))
        console.print(table)
    for line in lines(certificate):
        console.print(Text(line), soft_wrap=True)
    console.print(Text(summary(certificate), style="bold"), soft_wrap=True)


_STYLES = {"passed": "green", "failed": "bold red", "not run": "dim", "shown": "blue"}


def lines(certificate: Certificate) -> list[str]:
    """Return a line for each fault, for the seam, and for what was not run or failed."""
    found = [fault.line() for fault in certificate.faults]
    if certificate.seam:
        seam = certificate.seam
        stated = "" if seam.stated is None else f" (stated: {figure_of(seam.stated)})"
        found.append(f"seam: {figure_of(seam.difference.largest)} of the range with the halo of {seam.halo}{stated}")
    for row in certificate.rows:
        if row.verdict != "passed":
            found.append(f"{row.verdict}: {row.title} on {row.weights}: {row.note}")
    return found


def section(certificate: Certificate) -> str:
    """Return the certificate as a section of a README (Markdown), with its picture."""
    parts = [
        "## The same pixels in every tool",
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
            " from seams and edges, at the seams, at the image's edges, and in blocks that the image cuts.",
            "",
            _markdown(("tool", "way", "tiles", *REGIONS, "verdict"), [tile_cells(row) for row in certificate.tiles]),
        ]
    if certificate.seam:
        seam = certificate.seam
        parts += [
            "",
            f"Seam with the declared halo of {seam.halo} pixels: {figure_of(seam.difference.largest)} of the range at"
            f" most, {figure_of(seam.difference.mean)} on average.",
        ]
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
    """Draw the largest difference of each run on a logarithmic scale, the tools' tilings below, and write a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(certificate.rows)
    tiles = [row for row in certificate.tiles if row.seam]
    height = 1.6 + 0.32 * len(rows) + (1.0 + 0.42 * len(tiles) if tiles else 0)
    figure = Figure(figsize=(10, height), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if tiles:
        top, bottom = figure.subplots(2, 1, height_ratios=[len(rows) + 1.5, 1.3 * len(tiles) + 1.5])
        _draw_tiles(bottom, tiles)
    else:
        top = figure.subplots()
    _draw_rows(top, rows)
    verdict = "passed" if certificate.exit_code == 0 else "failed"
    figure.suptitle(f"{certificate.package}: the same pixels in every tool", x=0.01, ha="left", fontsize=13,
                    fontweight="bold", color="#222222" if verdict == "passed" else _COLOURS["failed"])  # fmt: skip
    figure.savefig(path, metadata={"Software": None})
    return path


_FLOOR, _CEILING = 1e-8, 1.0


def _frame(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(_FLOOR, _CEILING)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.axvspan(_LIMITS[0], _LIMITS[1], color="#f6e3b4", alpha=0.5, linewidth=0)
    axes.axvspan(_LIMITS[1], _CEILING, color="#f3c6c0", alpha=0.5, linewidth=0)


def _draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    _frame(axes, [f"{', '.join(row.tools[:2])}   {row.title} · {row.weights}" for row in rows])
    for index, row in enumerate(rows):
        colour = _COLOURS[row.verdict]
        if row.difference is None:
            told = f"{row.verdict}: {row.note[:70]}" if row.note else row.verdict
            axes.text(_FLOOR * 1.3, index, told, va="center", fontsize=7.5,
                      color=colour, style="italic")  # fmt: skip
            continue
        value = min(max(row.difference.largest, _FLOOR * 1.15), _CEILING)
        mean = min(max(row.difference.mean, _FLOOR * 1.05), _CEILING)
        axes.plot([mean, value], [index, index], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot([mean], [index], "|", color=colour, markersize=8, markeredgewidth=1.6)
        axes.plot([value], [index], "o", color=colour, markersize=6.5)
        axes.text(
            min(value * 1.5, 0.2), index, figure_of(row.difference.largest), va="center", fontsize=8, color=colour
        )
    axes.set_xlabel("difference, as a part of the output's range: bar = mean, dot = largest pixel; "
                    "yellow above 1e-4, red above 1e-3 (BioImage.IO's limit)", fontsize=8)  # fmt: skip


def _draw_tiles(axes: Axes, tiles: Sequence[TileRow]) -> None:
    _frame(
        axes, [f"{row.tool}   {row.tiles} tiles" + ("\n(no halo)" if row.verdict == "shown" else "") for row in tiles]
    )
    marks = {"interior": ("o", "#2a7f62"), "seam": ("D", "#3b6ea5"), "edge": ("s", "#d98a29"), "cut": ("^", "#8e5ea2")}
    for name, (mark, colour) in marks.items():
        points = [(getattr(row, name), index) for index, row in enumerate(tiles)]
        known = [(min(max(part.largest, _FLOOR * 1.15), _CEILING), index) for part, index in points if part]
        if known:
            xs, ys = zip(*known, strict=True)
            axes.plot(
                xs,
                ys,
                mark,
                color=colour,
                markersize=6.5,
                label={"cut": "cut blocks", "edge": "image's edge"}.get(name, name),
            )
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.02), ncols=4, fontsize=8, frameon=False, handletextpad=0.3)
    axes.set_ylim(len(tiles) - 0.5, -1.3)
    axes.set_xlabel("largest difference to the whole image, as each tool tiles", fontsize=8)
