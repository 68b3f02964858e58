"""A description against the specification itself: the schema that bioimageio.spec ships, validated by jsonschema.

The library is not asked: importing it takes seconds, and it raises on descriptions that are odd enough. What it accepts
leniently (numbers and truth values as text, plain strings where newer formats have objects) is accepted here too.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cache
from keyword import iskeyword
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from bmz_export.package.description import Description
from bmz_export.package.reading import show

NEWEST = (0, 5, 12)
"""The newest format that the schema holds."""
FIRST_OBJECTS = (0, 5, 11)
"""From this format on documentation, covers and icon are objects; before, each may be the bare name of a file."""

_NAME = re.compile(r"[A-Za-z0-9_+\- ()]*")
_DOI_PREFIX = re.compile(r"https?://(dx\.)?doi\.org/")
_OWN_RULES = frozenset({"format_version", "type", "license"})
_MOVED = frozenset({"dependencies", "parent"})  # of formats before 0.4.5, which the library rearranges
_IDENTIFIERS = frozenset({"AxisId", "Identifier", "TensorId", "TensorName"})
_COVERS = (".gif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff")
_TRUTH = frozenset({"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"})

Departure = tuple[str, str]
"""Where in the description, and what is wrong there."""


def shipped(name: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """Return a JSON file that bioimageio.spec brings along, without importing the library."""
    spec = importlib.util.find_spec("bioimageio.spec")
    folders = spec.submodule_search_locations if spec else None
    return json.loads((Path(next(iter(folders or []))) / "static" / name).read_text("utf-8"))


def departures(description: Description) -> Iterator[Departure]:
    """Yield where a description of format 0.4 or 0.5 departs from its specification; nothing for other formats."""
    if description.version[:2] not in ((0, 4), (0, 5)) or description.version > NEWEST:
        return
    new = description.version >= (0, 5)
    raw = _as_newest(description)
    name = f"bioimageio__spec__model__v0_{description.version[1]}__ModelDescr"
    yield from ((_where(fault.path), _said(fault)) for fault in _validator(name).iter_errors(raw))
    yield from _beyond_the_schema(description.raw, new=new)


def _as_newest(description: Description) -> Mapping[str, Any]:
    """Return what is written, without what has rules of its own, with bare file names as the schema wants them."""
    raw = {key: value for key, value in description.raw.items() if key not in _OWN_RULES}
    if description.version < (0, 5):
        if isinstance(raw.get("authors"), list):
            raw["authors"] = [{"name": author} if isinstance(author, str) else author for author in raw["authors"]]
        return {key: value for key, value in raw.items() if key not in _MOVED}
    if description.version < FIRST_OBJECTS:
        for key in ("documentation", "icon"):
            if isinstance(raw.get(key), str) and len(raw[key]) > 2:  # an icon of one or two characters is an emoji
                raw[key] = {"source": raw[key]}
        if isinstance(raw.get("covers"), list):
            raw["covers"] = [{"source": cover} if isinstance(cover, str) else cover for cover in raw["covers"]]
    return raw


def _beyond_the_schema(raw: Mapping[str, Any], *, new: bool) -> Iterator[Departure]:
    """Yield what the library's code refuses and its schema does not say."""
    name, stamp, readme = raw.get("name"), raw.get("timestamp"), _source(raw.get("documentation"))
    if new and isinstance(name, str) and not _NAME.fullmatch(name):
        yield "name", f"{show(name)} may have letters of English, digits, spaces and _+-() alone"
    if isinstance(stamp, str) and not _is_time(stamp):
        yield "timestamp", f"{show(stamp)} is no time such as 2024-05-31T12:00:00"
    if new and readme is not None and not readme.endswith(".md"):
        yield "documentation", f"{show(readme)} is no .md file"
    covers = raw.get("covers")
    for index, cover in enumerate(covers if isinstance(covers, list) else ()):
        source = _source(cover)
        if source is not None and not source.lower().endswith(_COVERS):
            yield f"covers[{index}]", f"{show(source)} is none of {', '.join(_COVERS)}"
    cite = raw.get("cite")
    for index, entry in enumerate(cite if isinstance(cite, list) else ()):
        if isinstance(entry, Mapping) and not entry.get("doi") and not entry.get("url"):
            yield f"cite[{index}]", "has neither doi nor url"


def _source(value: object) -> str | None:
    """Return the file that a field names, as a string or as an object."""
    if isinstance(value, Mapping):
        value = value.get("source")
    return value if isinstance(value, str) else None


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return re.fullmatch(r"\d{4}(-\d\d)?", text, re.ASCII) is not None
    return True


def _is_version(value: object) -> bool:
    try:
        return isinstance(value, str | int | float) and bool(Version(str(value)))
    except InvalidVersion:
        return False


# --- the schema, validated as leniently as the library reads -------------------------------------------------------


@cache
def _validator(name: str) -> Any:  # noqa: ANN401 -- jsonschema has no types
    """Return the validator of one definition: numbers and truth values may be text, and YAML may have read a date."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.validators import extend

    strict = Draft202012Validator.VALIDATORS

    def of_numbers(keyword: str) -> Callable[..., Any]:
        def check(validator: object, limit: float, value: object, schema: object) -> Any:  # noqa: ANN401
            number = _number(value) if isinstance(value, str) else value
            # jsonschema raises at multiples of infinity
            odd = keyword == "multipleOf" and isinstance(number, float) and not math.isfinite(number)
            return () if odd else strict[keyword](validator, limit, number, schema)

        return check

    def of_kind(validator: object, kind: str, value: object, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401
        dated = isinstance(value, date) and str(schema.get("format")).startswith("date")
        return () if dated else strict["type"](validator, kind, value, schema)

    definitions = {**shipped("bioimageio_schema.json")["$defs"], "YamlValue": {}, "Version": {"format": "version"}}
    types = {kind: lambda _, value, fits=fits: fits(value) for kind, fits in _KINDS.items()}
    formats = FormatChecker(())
    formats.checks("version")(_is_version)
    formats.checks("uri")(lambda value: not isinstance(value, str) or re.match("https?://.", value))
    keywords = {
        **{keyword: of_numbers(keyword) for keyword in _OF_NUMBERS},
        "type": of_kind, "pattern": _pattern, "title": _title, "required": _required,
        "additionalProperties": _others, "oneOf": _alternatives, "anyOf": _alternatives,
    }  # fmt: skip
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(types)
    schema = {**definitions[name], "$defs": definitions}
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in _OWN_RULES}
    schema["required"] = [key for key in schema["required"] if key not in _OWN_RULES]
    return extend(Draft202012Validator, keywords, type_checker=checker)(schema, format_checker=formats)


def _fault(message: str, *path: object) -> Any:  # noqa: ANN401
    from jsonschema import ValidationError

    return ValidationError(message, path=path)


def _pattern(_: object, pattern: str, value: object, schema: object) -> Iterator[Any]:
    if isinstance(value, str) and not re.search(pattern, _DOI_PREFIX.sub("", value, count=1)):
        yield _fault(f"{show(value)} is not of the form {pattern}")


def _title(_: object, title: str, value: object, schema: object) -> Iterator[Any]:
    if title in _IDENTIFIERS and isinstance(value, str) and (not value.isidentifier() or iskeyword(value)):
        yield _fault(f"{show(value)} is no name as Python has them (letters, digits and _)")


def _required(_: object, required: list[str], value: object, schema: object) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from (_fault("is missing", key) for key in required if key not in value)


def _others(validator: Any, others: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:  # noqa: ANN401
    for key in value if isinstance(value, Mapping) and others is not True else ():
        if key in schema.get("properties", {}):
            continue
        if others is False:
            yield _fault("is no field of the specification", key)
        else:
            yield from validator.descend(value[key], others, path=key)


def _alternatives(
    validator: Any,  # noqa: ANN401
    choices: list[Mapping[str, Any]],
    value: object,
    schema: Mapping[str, Any],
) -> Iterator[Any]:
    """Yield the faults under the alternative that is meant: the one that the value names, else the nearest."""
    named = schema.get("discriminator")
    if named and isinstance(value, Mapping):
        mapping, key = named["mapping"], named["propertyName"]
        choice = value.get(key)
        if not isinstance(choice, str) or choice not in mapping:
            yield _fault(f"{show(choice)} is none of {', '.join(mapping)}", key)
            return
        if isinstance(mapping[choice], str):  # else several alternatives have that name
            yield from validator.descend(value, {"$ref": mapping[choice]})
            return
    found = [list(validator.descend(value, choice)) for choice in choices]
    if all(found):  # a fault of the value itself means that another alternative was meant
        yield from min(found, key=lambda faults: (any(not fault.path for fault in faults), len(faults)))


def _said(fault: Any) -> str:  # noqa: ANN401
    """Return what is wrong, with a short form of the value, however large it is."""
    return str(fault.message).replace(repr(fault.instance), show(fault.instance), 1)


def _where(path: Iterable[object]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _number(value: object) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _whole(value: object) -> bool:
    number = _number(value)
    return number is not None and number.is_integer()


def _truth(value: object) -> bool:
    return isinstance(value, bool) or value in (0, 1) or (isinstance(value, str) and value.lower() in _TRUTH)


_KINDS: dict[str, Callable[[object], bool]] = {
    "number": lambda value: _number(value) is not None,
    "integer": _whole,
    "boolean": _truth,
    "object": lambda value: isinstance(value, Mapping),
}
_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
