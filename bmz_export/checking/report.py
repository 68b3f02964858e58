"""A certificate in words: lines and tables for a terminal, a section of the README."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bmz_export.checking.certificate import PICTURE, Certificate, Difference, Row, TileRow
from bmz_export.checking.faults import effect
from bmz_export.checking.verdicts import away_from, percent
from bmz_export.tools import TOOLS

COLUMNS = ("engine", "weights", "largest", "s", "memory", "verdict")
TILE_COLUMNS = ("tool", "inside", "seams", "edge", "cut", "verdict")
FIGURES = ("largest", "s", "memory", "inside", "seams", "edge", "cut")
"""Columns that hold numbers."""
FORMATS = {"pytorch_state_dict": "state dict", "torchscript": "TorchScript", "onnx": "ONNX", "all": "all formats"}

_READING = "Largest difference of a pixel, as a part of the output's range."
_IMAGE = f"![Largest difference in each engine]({PICTURE})"
_TILE_READING = (
    "The test image made larger, without symmetry, and cut into tiles as each tool does: largest difference to the "
    "whole image inside, within {near} pixels of seams, of the image's edge, and in the last blocks that the image "
    "cuts. Shown: more than 1e-3 somewhere."
)
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
    return {f"{row.tool}, {way_name(row)}": figure_of(row.edge) for row in certificate.tiles if row.edge}


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
        return f"will not open in {', '.join(sorted(windows))}'s own window", "failed"
    if certificate.exit_code:
        return "errors were found", "failed"
    untried = len(by_verdict.get("not tried", ()))
    compared = len(by_verdict.get("same pixels", ())) + len(by_verdict.get("differs in places", ()))
    if not compared:
        ran = "not compared" in by_verdict
        return ("nothing to compare with", "not compared") if ran else ("nothing was run", "not run")
    places = {place for tool in certificate.tools for place in tool.places}
    where = f" {away_from(places)}" if places else "" if _tiled(certificate) else " on the test images"
    rest = len(certificate.tools) - untried - compared
    left = "".join(f", {count} {words}" for count, words in ((rest, "not compared"), (untried, "not tried")) if count)
    farthest = max(certificate.tools, key=lambda tool: tool.off)
    worst = f", up to {percent(farthest.off)} off there ({farthest.tool.partition(' (')[0]})" if farthest.off else ""
    if "interior" in places:
        return f"other pixels where some of {compared} tools tile{worst}{left}", "partly"
    tools = f"{compared} tool{'' if compared == 1 else 's'}"
    return f"the same pixels{where} in {tools}{worst}{left}", "partly" if left or places else "passed"


def _tiled(certificate: Certificate) -> bool:
    """Whether a larger image was cut as each tool cuts it that gave pixels to compare."""
    measured = {(row.tool, row.way) for row in certificate.tiles if row.verdict in ("passed", "shown")}
    gave = {tool.tool for tool in certificate.tools if tool.verdict in ("same pixels", "differs in places")}
    return all(
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
    """Return a line for a licence that is missing, one for each tool, and one where the noisy input is not beaten."""
    found = [fault.line() for fault in certificate.errors if fault.rule == "license-field"]
    found += [f"{tool.tool}: {tool.sentence}" for tool in certificate.tools]
    return [*found, f"warning: {certificate.judgement}"] if certificate.beats_noisy is False else found


def tables(certificate: Certificate) -> Iterator[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """Yield title, columns and rows of each table: the runs, and the tools' tilings where there are any."""
    if certificate.rows:
        yield _READING, COLUMNS, [_cells(row) for row in certificate.rows]
    if certificate.tiles:
        yield (
            _TILE_READING.format(near=certificate.tiles[0].near or "a few"),
            TILE_COLUMNS,
            [_tile_cells(row) for row in certificate.tiles],
        )


def _cells(row: Row) -> tuple[str, ...]:
    seconds = "-" if row.seconds is None else f"{row.seconds:.2f}"
    memory = "-" if row.peak_memory is None else f"{row.peak_memory / 2**20:.0f} MB"
    weights = FORMATS.get(row.weights, row.weights)
    return engine_name(row), weights, figure_of(row.difference), seconds, memory, row.verdict


def _tile_cells(row: TileRow) -> tuple[str, ...]:
    figures = map(figure_of, (row.interior, row.seam, row.edge, row.cut))
    return (f"{row.tool.partition(' (')[0]}: {way_name(row)}", *figures, row.verdict)


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
    """Return the certificate as a section of a README (Markdown), with its picture."""
    words, _ = headline(certificate)
    parts = ["## The same pixels in every tool?", "", f"{words[0].upper()}{words[1:]}.", ""]
    parts += [f"- **{tool.tool}**: {tool.sentence}" for tool in certificate.tools]
    if certificate.beats_noisy is False:
        parts += ["", f"**{certificate.judgement}**"]
    if certificate.rows:
        parts += ["", _SAME, *filter(None, [_runs(certificate)]), "", _IMAGE]
    if details := detail_lines(certificate):
        parts += ["", *(f"- {line}" for line in details)]
    made = f"{certificate.made_by}, {certificate.created[:10]}, {certificate.machine}"
    return "\n".join([*parts, "", f"{made}; all figures are in `certificate.json`.", ""])
