"""A certificate in words: lines and tables for a terminal, a section of the README."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

from bmz_export.checking.certificate import PICTURE, Certificate, Difference, Row, TileRow
from bmz_export.checking.comparison import LIMIT
from bmz_export.checking.faults import effect
from bmz_export.checking.verdicts import away_from, listed, percent, seen_tiles
from bmz_export.tools import TOOLS

COLUMNS = ("engine", "weights", "largest", "s", "memory", "verdict")
TILE_COLUMNS = ("tool", "inside", "seams", "edge", "cut", "verdict")
HEADING = "## The same pixels in every tool?"
"""Of a certificate's section in a README."""
FIGURES = ("largest", "s", "memory", "inside", "seams", "edge", "cut")
"""Columns that hold numbers."""
FORMATS = {"pytorch_state_dict": "state dict", "torchscript": "TorchScript", "onnx": "ONNX", "all": "all formats"}

_READING = "Largest difference of a pixel, as a part of the output's range."
_IMAGE = f"![Largest difference in each engine]({PICTURE})"
_TILE_READING = (
    "The test image made larger ({width} x {height}), without symmetry, and cut into tiles as each tool does; {by}. "
    "Largest difference to the whole image inside, within {near} pixels of seams, of the image's edge, and (cut) in "
    "the last tiles, which are smaller since the image ends. Shown: more than 1e-3 somewhere."
)
_COMPUTED = " (computed; the tool itself was not run)"
_SAME = "Same pixels: none differs by more than 1e-3 of the output's range, BioImage.IO's own tolerance."


def figure_of(difference: Difference | float | None) -> str:
    """Return a difference as text: a power of ten, in per cent from 1e-3 on, a dash where nothing was measured."""
    if difference is None:
        return "-"
    value = difference.largest if isinstance(difference, Difference) else difference
    return "0" if value == 0 else f"{value:.0e}" if value < 1e-3 else percent(value)


def engine_name(row: Row) -> str:
    """Return an engine's title without what it is wrapped in."""
    return re.sub(r" \([^)]*\)$", "", row.title)


def way_name(row: TileRow) -> str:
    """Return how a tool tiles, in a few words."""
    return row.way.partition(",")[0].partition(" (")[0]


def edges(certificate: Certificate) -> dict[str, str]:
    """Return how far each way to cut images is off at the image's edge, by its tool and a few words of it."""
    idle = not_run(certificate)
    return {
        f"{row.tool}, {way_name(row)}{_COMPUTED * (row.tool in idle)}": figure_of(row.edge)
        for row in seen_tiles(certificate.tiles, certificate.errors)
        if row.edge
    }


def not_run(certificate: Certificate) -> list[str]:
    """Return the titles of the tools whose tiles were computed while none of their own engines ran."""
    ran = {tool for row in certificate.rows if row.verdict in ("passed", "failed", "not compared") and row.is_engine
           for tool in row.tools}  # fmt: skip
    return list(dict.fromkeys(row.tool for row in certificate.tiles if row.engine != "-" and row.tool not in ran))


def computed_by(certificate: Certificate) -> str:
    """Return what computed the tools' tiles, and which of these tools were not run; empty where nothing did."""
    by_engine: dict[str, list[str]] = {}
    for row in seen_tiles(certificate.tiles, certificate.errors):
        if row.engine != "-":
            title, _, weights = row.engine.rpartition(" on ")
            engine = f"{title} ({FORMATS.get(weights, weights)})" if title else row.engine
            by_engine.setdefault(engine, []).append(row.tool.partition(" (")[0])
    if not by_engine:
        return ""
    idle = [tool.partition(" (")[0] for tool in not_run(certificate)]
    rest = f"; {listed(idle)} {'itself was' if len(idle) == 1 else 'themselves were'} not run" if idle else ""
    if len(by_engine) == 1:
        return f"computed by {next(iter(by_engine))}{rest}"
    each = [f"by {engine} for {listed([*dict.fromkeys(tools)])}" for engine, tools in by_engine.items()]
    return f"computed {', '.join(each)}{rest}"


def headline(certificate: Certificate) -> tuple[str, str]:
    """Return what the worst of the tools allows to say of all, and how good that is: a row's verdict, or "partly"."""
    by_verdict: dict[str, list[str]] = {}
    for tool in certificate.tools:
        by_verdict.setdefault(tool.verdict, []).append(tool.tool)
    for verdict in ("will not open", "other pixels"):
        if verdict in by_verdict:
            return f"{verdict} in {', '.join(by_verdict[verdict])}", "failed"
    windows = {tool for fault in certificate.errors if effect(fault) == "window" for tool in fault.tools}
    if windows:
        return (
            f"will not open in {', '.join(sorted(windows))}'s own window; {_agreement(certificate, by_verdict)[0]}",
            "failed",
        )
    if certificate.exit_code:
        return "errors were found", "failed"
    return _agreement(certificate, by_verdict)


def _agreement(certificate: Certificate, by_verdict: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Return where the tools that open the package show the same pixels, how far off they are else, and the verdict."""
    untried = len(by_verdict.get("not tried", ()))
    compared = len(by_verdict.get("same pixels", ())) + len(by_verdict.get("differs in places", ()))
    if not compared:
        ran = "not compared" in by_verdict
        alone = any(row.is_engine and row.verdict == "passed" for row in certificate.rows)
        nothing = "no tool's own engine was run" if alone else "nothing was run"
        return ("nothing to compare with", "not compared") if ran else (nothing, "not run")
    places = {place for tool in certificate.tools for place in tool.places}
    where = f" {away_from(places)}" if places else "" if _tiled(certificate) else " on the test images"
    rest = len(certificate.tools) - untried - compared
    left = "".join(f", {count} {words}" for count, words in ((rest, "not compared"), (untried, "not tried")) if count)
    farthest = max(certificate.tools, key=lambda tool: tool.off)
    worst = f", up to {percent(farthest.off)} off there ({farthest.tool.partition(' (')[0]})" if farthest.off else ""
    left += _worse_where_not_run(certificate, farthest.off)
    if "interior" in places:
        which = "1 tool tiles" if compared == 1 else f"some of {compared} tools tile"
        return f"other pixels where {which}{worst}{left}", "partly"
    tools = f"{compared} tool{'' if compared == 1 else 's'}"
    return f"the same pixels{where} in {tools}{worst}{left}", "partly" if left or places else "passed"


def _worse_where_not_run(certificate: Certificate, off: float) -> str:
    """Return how a tool that was not run tiles, where that is farther off than what was seen in those that were."""
    idle = not_run(certificate)
    ways = {(tool.title, way.title) for tool in TOOLS.values() for way in tool.tilings if way.recommended}
    found = [
        (part.largest, row.tool.partition(" (")[0])
        for row in certificate.tiles
        if row.tool in idle and (row.tool, row.way) in ways
        for part in (row.interior, row.seam, row.edge, row.cut)
        if part is not None
    ]
    worst, name = max(found, default=(0, ""))
    return f"; up to {percent(worst)} off as {name} tiles, which was not run" if worst > max(off, LIMIT) else ""


def _tiled(certificate: Certificate) -> bool:
    """Whether a larger image was cut as each tool cuts it that gave pixels to compare."""
    measured = {(row.tool, row.way) for row in certificate.tiles if row.verdict in ("passed", "shown")}
    gave = {tool.tool for tool in certificate.tools if tool.verdict in ("same pixels", "differs in places")}
    return bool(measured) and all(
        (tool.title, way.title) in measured
        for tool in TOOLS.values()
        for way in tool.tilings
        if way.recommended and tool.title in gave
    )


def _runs(certificate: Certificate) -> str:
    """Return what the engines were given that ran, empty where none did."""
    sizes = max((row.sizes for row in certificate.rows if row.is_engine), key=len, default=())
    if not sizes:
        return ""
    pairs = ", two images at once among them" if len({size.partition("x")[0] for size in sizes}) > 1 else ""
    return f"Each engine that ran was given images of {len(sizes)} shape{'s' * (len(sizes) > 1)}{pairs}."


def verdict_lines(certificate: Certificate) -> list[str]:
    """Return a line for a licence that is missing, one for each tool, and one where the noisy input is not beaten.

    Where no tiles were measured, what the certificate inside the package says of them is repeated.
    """
    found = [fault.line() for fault in certificate.errors if fault.rule == "license-field"]
    found += [f"{tool.tool}: {tool.sentence}" for tool in certificate.tools]
    if certificate.stated and not certificate.tiles:
        found.append(f"its own certificate says: {certificate.stated}")
    return [*found, f"warning: {certificate.judgement}"] if certificate.beats_noisy is False else found


def tables(certificate: Certificate) -> Iterator[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """Yield title, columns and rows of each table: the runs, and the tools' tilings where there are any."""
    if certificate.rows:
        yield _READING, COLUMNS, [_cells(row) for row in certificate.rows]
    if tiles := seen_tiles(certificate.tiles, certificate.errors):
        height, width = tiles[0].image
        by = computed_by(certificate) or "none was computed"
        reading = _TILE_READING.format(near=tiles[0].near or "a few", width=width, height=height, by=by)
        idle = not_run(certificate)
        yield reading, TILE_COLUMNS, [_tile_cells(row, ran=row.tool not in idle) for row in tiles]


def _cells(row: Row) -> tuple[str, ...]:
    seconds = "-" if row.seconds is None else f"{row.seconds:.2f}"
    memory = "-" if row.peak_memory is None else f"{row.peak_memory / 2**20:.0f} MB"
    weights = FORMATS.get(row.weights, row.weights)
    return engine_name(row), weights, figure_of(row.difference), seconds, memory, row.verdict


def _tile_cells(row: TileRow, *, ran: bool) -> tuple[str, ...]:
    figures = map(figure_of, (row.interior, row.seam, row.edge, row.cut))
    return (f"{row.tool.partition(' (')[0]}: {way_name(row)}", *figures, row.verdict if ran else "computed")


def detail_lines(certificate: Certificate) -> list[str]:
    """Return a line for each fault that no tool's line tells, for the seam, and for what did not run."""
    found = [
        fault.line()
        for fault in certificate.faults
        if fault.severity == "warning" or not any(fault.message in tool.sentence for tool in certificate.tools)
    ]
    if certificate.seam:
        seam = certificate.seam
        stated = "" if seam.stated is None else f" (stated: {figure_of(seam.stated)})"
        found.append(f"seam: {figure_of(seam.difference)} of the range with the halo of {seam.halo}{stated}")
    elif certificate.seam_note not in ("", "not requested"):
        found.append(f"seam: not measured: {certificate.seam_note}")
    causes: dict[tuple[str, str], list[str]] = {}
    for row in certificate.rows:
        if row.verdict not in ("passed", "failed", "not installed"):  # of which the tools' lines tell
            causes.setdefault((row.verdict, row.note), []).append(f"{engine_name(row)} ({FORMATS[row.weights]})")
    for tile in certificate.tiles:
        if tile.verdict not in ("passed", "failed", "shown"):
            causes.setdefault((tile.verdict, tile.note), []).append(f"{tile.tool}'s tiling, {way_name(tile)}")
    return [*found, *(f"{verdict}: {', '.join(which)}: {note}" for (verdict, note), which in causes.items())]


def summary(certificate: Certificate) -> str:
    """Return the whole in one sentence."""
    ran = [row for row in certificate.rows if row.verdict not in ("not run", "not installed")]
    passed = sum(row.verdict == "passed" for row in ran)
    engines = f"{passed} of {len(ran)} runs passed" if ran else "nothing was run"
    if certificate.worst is not None:
        engines += f", largest difference {figure_of(certificate.worst)} of the range"
    found = [(len(certificate.errors), "error"), (len(certificate.warnings), "warning")]
    count = ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in found)
    return f"{certificate.package}: {engines}; {count} from {certificate.rules} rules"


def section(certificate: Certificate) -> str:
    """Return the certificate as a section of a README (Markdown), with its picture.

    Nothing in it is for whoever made the package: neither what to install, nor the judgement, which the README has.
    """
    words, _ = headline(certificate)
    parts = [HEADING, "", f"{words[0].upper()}{words[1:]}.", ""]
    hints = {f"{row.verdict}: {row.note}" for row in certificate.rows if row.verdict == "not installed"}
    for tool in certificate.tools:
        sentence = reduce(lambda text, hint: text.replace(hint, "not run"), hints, tool.sentence)
        parts.append(f"- **{tool.tool}**: {sentence}")
    if certificate.rows:
        tiled = [f"Each tool's cutting into tiles was {by}." for by in [computed_by(certificate)] if by]
        parts += ["", _SAME, *filter(None, [_runs(certificate)]), *tiled, "", _IMAGE]
    if details := detail_lines(certificate):
        parts += ["", *(f"- {line}" for line in details)]
    made = f"{certificate.made_by}, {certificate.created[:10]}, {certificate.machine}"
    return "\n".join([*parts, "", f"{made}; all figures are in `certificate.json`.", ""])
