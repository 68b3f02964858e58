"""What each tool's user can expect, in a sentence: the worst of what the rules, the engines and the tilings say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bmz_export.checking.certificate import LATE, Fault, Place, Row, State, TileRow, ToolVerdict
from bmz_export.checking.comparison import LIMIT
from bmz_export.checking.faults import MEASURED, MORE_TIME, effect
from bmz_export.checking.runner import CheckOptions
from bmz_export.tools import TOOLS, Tool
from bmz_export.tools.rule import UNEXAMINED

PLACES: dict[Place, tuple[str, str]] = {
    "seam": ("seams", "at seams"),
    "cut": ("the last blocks", "in the last blocks"),
    "edge": ("the image's edge", "at the edge"),
}
"""Where a tool's tiling may show: away from what, and where."""
_SENTENCES = {
    "refused": ("will NOT open", "because"),
    "other pixels": ("opens, but not with the right pixels", "because"),
    "window": ("its own window will NOT open it", "because"),
    "doubt": ("opens", "but"),
}


def tool_verdicts(
    rows: Sequence[Row], tiles: Sequence[TileRow], faults: Sequence[Fault], options: CheckOptions
) -> Iterator[ToolVerdict]:
    """Yield a verdict for each tool; a cause that several tools share is told with the first of them."""
    causes: dict[str, str] = {}
    by_tool = {
        tool.title: [fault for fault in faults if fault.severity == "error" and tool.title in fault.tools]
        for tool in TOOLS.values()
    }
    told = {_cause(errors).message for errors in by_tool.values() if errors}
    for tool in TOOLS.values():
        errors = by_tool[tool.title]
        below = sum(fault.message not in told for fault in errors)
        unexamined = any(fault.message.startswith(UNEXAMINED) and tool.title in fault.tools for fault in faults)
        verdict = _without_errors(tool, rows, tiles, options, unexamined=unexamined)
        yield _with_errors(verdict, _cause(errors), below, causes) if errors else verdict


def _cause(errors: Sequence[Fault]) -> Fault:
    return min(errors, key=lambda fault: [*_SENTENCES].index(effect(fault)))


def _with_errors(ran: ToolVerdict, cause: Fault, below: int, causes: dict[str, str]) -> ToolVerdict:
    """Return the verdict of the gravest error; ``causes`` says which tool told which, and is added to.

    ``below`` are the tool's errors that no tool's sentence tells, which tables and READMEs list after them.
    """
    sentence, because = _SENTENCES[effect(cause)]
    if cause.message in causes:
        sentence += f", for the same reason as {causes[cause.message]}"
    else:
        causes[cause.message] = ran.tool
        passed = ran.verdict in ("same pixels", "differs in places")
        by_rule = passed and effect(cause) != "window" and cause.source != MEASURED
        sentence += f": a rule says that {cause.message}" if by_rule else f", {because} {cause.message}"
        sentence += f" ({cause.seen}); {cause.way_out}"
        sentence += "; the engine itself ran and gave the same pixels" if by_rule else ""
    if effect(cause) == "window":
        sentence += f"; by a script: {ran.sentence}"
    if below:
        sentence += f"; {below} more below"
    states: dict[str, State] = {"refused": "will not open", "other pixels": "other pixels"}
    state = states.get(effect(cause), ran.verdict)
    return ToolVerdict(tool=ran.tool, verdict=state, sentence=sentence, places=ran.places)


def _without_errors(
    tool: Tool, rows: Sequence[Row], tiles: Sequence[TileRow], options: CheckOptions, *, unexamined: bool
) -> ToolVerdict:
    """Return what the tool's engines and its tilings gave."""
    own = [row for row in rows if row.is_engine and tool.title in row.tools]
    found = {row.verdict: row for row in reversed(own)}
    if "failed" in found:
        return ToolVerdict(tool=tool.title, verdict="other pixels", sentence=f"fails: {found['failed'].note}")
    if "passed" in found:
        places, words = _tiled(tool, [tile for tile in tiles if tile.tool == tool.title], options)
        left = "".join(f"; {row.title} on {row.weights}: {row.verdict}" for row in own if row.verdict != "passed")
        state: State = "differs in places" if places else "same pixels"
        sentence = f"opens{', ' if words.startswith('same') else '; '}{words}{left}"
        return ToolVerdict(tool=tool.title, verdict=state, sentence=sentence, places=places)
    if "not compared" in found:
        words = "opens; it runs, with nothing to compare its pixels with"
        return ToolVerdict(tool=tool.title, verdict="not compared", sentence=words)
    if LATE in found:
        words = f"{LATE}; {MORE_TIME}"
    elif own:
        words = f"{own[0].verdict}: {own[0].note}"
    elif not options.rules_only and (options.engines is None or set(options.engines) & set(tool.engines)):
        words = "it has no weights that its engine runs"
    else:
        words = "running it was not requested"
    rules = "not known: a rule could not be examined" if unexamined else "no rule is broken"
    return ToolVerdict(tool=tool.title, verdict="not tried", sentence=f"{rules}; {words}")


def _tiled(tool: Tool, tiles: Sequence[TileRow], options: CheckOptions) -> tuple[tuple[Place, ...], str]:
    """Return where a tool's own tiling of a large image differs from the whole, and the same in words."""
    if tool.tilings and not options.tiles:
        return (), "same pixels on the test images (tiling a large one was not requested)"
    if tool.tilings and not any(tile.verdict in ("passed", "shown") for tile in tiles):
        return (), "same pixels on the test images; its tiling of a large one was not measured"
    overlapping = {way.title for way in tool.tilings if way.overlaps}
    places, differs = _places([tile for tile in tiles if tile.way in overlapping])
    _, bare = _places([tile for tile in tiles if tile.way not in overlapping])
    words = f"{away_from(places)} the same pixels, {differs}" if places else "same pixels"
    if "interior" in places:
        words = differs
    return places, f"{words} (in its own window, without halo: {bare})" if bare else words


def away_from(places: Collection[Place]) -> str:
    """Return what one must stay away from to see the same pixels, in words."""
    names = [name for place, (name, _) in PLACES.items() if place in places]
    return f"away from {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}" if names else ""


def _places(tiles: Sequence[TileRow]) -> tuple[tuple[Place, ...], str]:
    off: dict[Place, str] = {}
    for name in ("interior", *PLACES):
        largest = max((part.largest for tile in tiles if (part := getattr(tile, name)) is not None), default=0.0)
        if largest > LIMIT:
            off[name] = percent(largest)
    if "interior" in off:
        return tuple(off), f"other pixels where it tiles, up to {off['interior']}"
    return tuple(off), ", ".join(f"{PLACES[name][1]} up to {part}" for name, part in off.items())


def percent(part: float) -> str:
    """Return a part of the range in per cent."""
    return f"{part * 100:.2g} %" if part < 0.1 else f"{part * 100:.0f} %"
