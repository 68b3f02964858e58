"""What each tool's user can expect, in a sentence: the worst of what the rules, the engines and the tilings say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import get_args

from bmz_export.checking.certificate import LATE, Fault, Place, Row, State, TileRow, ToolVerdict
from bmz_export.checking.comparison import LIMIT
from bmz_export.checking.faults import MEASURED, MORE_TIME, effect
from bmz_export.checking.runner import CheckOptions
from bmz_export.tools import TOOLS, Tool
from bmz_export.tools.rule import UNEXAMINED

PLACES: dict[Place, str] = {"seam": "seams", "cut": "the last, smaller tiles", "edge": "the image's edge"}
"""Where a tool's tiling may show."""
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
        usable = seen_tiles(tiles, errors)
        verdict = _without_errors(tool, rows, usable, options, unexamined=unexamined)
        yield _with_errors(verdict, _cause(errors), below, causes) if errors else verdict


def seen_tiles(tiles: Sequence[TileRow], faults: Sequence[Fault]) -> tuple[TileRow, ...]:
    """Return the tilings that a user sees: not those of a tool's own window where that does not open the package."""
    closed = {tool for fault in faults if effect(fault) == "window" for tool in fault.tools}
    windows = {(tool.title, way.title) for tool in TOOLS.values() for way in tool.tilings if not way.recommended}
    return tuple(tile for tile in tiles if tile.tool not in closed or (tile.tool, tile.way) not in windows)


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
        sentence += f"; by a script: {ran.sentence.removeprefix('no rule is broken; ')}"
    if below:
        sentence += f"; {below} more below"
    states: dict[str, State] = {"refused": "will not open", "other pixels": "other pixels"}
    state = states.get(effect(cause), ran.verdict)
    return ToolVerdict(tool=ran.tool, verdict=state, sentence=sentence, places=ran.places, off=ran.off)


def _without_errors(
    tool: Tool, rows: Sequence[Row], tiles: Sequence[TileRow], options: CheckOptions, *, unexamined: bool
) -> ToolVerdict:
    """Return what the tool's engines and its tilings gave."""
    own = [row for row in rows if row.is_engine and tool.title in row.tools]
    found = {row.verdict: row for row in reversed(own)}
    if "failed" in found:
        return ToolVerdict(tool=tool.title, verdict="other pixels", sentence=f"fails: {found['failed'].note}")
    if "passed" in found:
        off, words = _tiled(tool, [tile for tile in tiles if tile.tool == tool.title], options)
        left = "".join(f"; {row.title} on {row.weights}: {row.verdict}" for row in own if row.verdict != "passed")
        return ToolVerdict(tool=tool.title, verdict="differs in places" if off else "same pixels", places=tuple(off),
                           off=max(off.values(), default=0), sentence=f"opens, {words}{left}")  # fmt: skip
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


def _tiled(tool: Tool, tiles: Sequence[TileRow], options: CheckOptions) -> tuple[dict[Place, float], str]:
    """Return where the README's way of tiling a large image differs from the whole, by how much, and all in words."""
    by_way = {tile.way: tile for tile in tiles if tile.verdict in ("passed", "shown")}
    advised = [by_way.get(way.title) for way in tool.tilings if way.recommended]
    if tool.tilings and not options.tiles:
        return {}, "same pixels on the test images (tiling a large one was not requested)"
    if None in advised or (tool.tilings and not advised):
        return {}, "same pixels on the test images; its tiling of a large one was not measured"
    off, words = _seen(list(filter(None, advised)))
    others = [by_way[way.title] for way in tool.tilings if not way.recommended and way.title in by_way]
    for other in others:
        words += f"; not so in {other.way.partition(',')[0]}: {_seen([other])[1]}" if _seen([other])[0] else ""
    return off, words


def _seen(tiles: Sequence[TileRow]) -> tuple[dict[Place, float], str]:
    """Return where a user sees other pixels than the whole image has, and what is seen inside, at seams and edges."""
    parts: dict[Place, list[float]] = {
        place: [part.largest for tile in tiles if (part := getattr(tile, place)) is not None]
        for place in get_args(Place)
    }
    off = {place: max(found) for place, found in parts.items() if max(found, default=0) > LIMIT}
    near = max((tile.near for tile in tiles), default=0)
    if "interior" in off:
        return off, f"other pixels wherever it tiles, up to {percent(max(off.values()))} of the range off"
    same = [name for place, name in PLACES.items() if parts[place] and place not in off]
    size = f" on an image of {tiles[0].image[1]} x {tiles[0].image[0]}" if tiles else ""
    if not off:
        return off, f"same pixels{', also at ' * bool(same)}{listed(same)}{size}"
    around = f"within {near} pixels of" if near else "at"
    where = [
        f"up to {percent(part)}{{}} {'in' if place == 'cut' else around} {PLACES[place]}" for place, part in off.items()
    ]
    differs = listed(where).format(" of the range off", *[""] * len(where))
    return off, f"same pixels inside{' and at ' * bool(same)}{listed(same)}{size}, but {differs}"


def away_from(places: Collection[Place]) -> str:
    """Return what one must stay away from to see the same pixels, in words."""
    found = listed([name for place, name in PLACES.items() if place in places])
    return f"away from {found}" if found else ""


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def percent(part: float) -> str:
    """Return a part of the range in per cent."""
    return f"{part * 100:.2g} %" if part < 0.1 else f"{part * 100:.0f} %"
