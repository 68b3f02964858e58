"""A description against the specification itself: the schema that bioimageio.spec ships, read as data.

The library is not asked: importing it takes seconds, and it raises on descriptions that are odd enough. What it accepts
leniently (numbers and truth values as text, plain strings where newer formats have objects) is accepted here too.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
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
    schema = _definitions()[name]
    fields = {key: value for key, value in schema["properties"].items() if key not in _OWN_RULES}
    required = [key for key in schema["required"] if key not in _OWN_RULES]
    yield from _faults(raw, {**schema, "properties": fields, "required": required}, "")
    yield from _beyond_the_schema(description.raw, new=new)


@cache
def _definitions() -> Mapping[str, Any]:
    definitions: Mapping[str, Any] = shipped("bioimageio_schema.json")["$defs"]
    return definitions


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


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


# --- a reader of JSON schemas, as far as this one needs it ---------------------------------------------------------


def _faults(value: object, schema: Mapping[str, Any], where: str) -> list[Departure]:
    if "$ref" in schema:
        return _of_reference(value, schema["$ref"].rpartition("/")[2], where)
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices:
        return _of_choices(value, schema, choices, where)
    return list(_of_value(value, schema, where))


def _of_reference(value: object, name: str, where: str) -> list[Departure]:
    if name == "YamlValue":
        return []  # whatever YAML can say
    if name == "Version" and isinstance(value, str | int | float) and not _is_version(str(value)):
        return [(where, f"{show(value)} is no version")]
    return _faults(value, _definitions()[name], where)


def _of_value(value: object, schema: Mapping[str, Any], where: str) -> Iterator[Departure]:
    allowed = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    what, fits = _KINDS[schema["type"]] if "type" in schema else ("", _anything)
    if allowed is not None:
        if value not in allowed:
            yield where, f"{show(value)} is none of {', '.join(map(str, allowed))}"
    elif isinstance(value, date) and str(schema.get("format")).startswith("date"):
        return  # YAML reads a time without quotes
    elif not fits(value):
        yield where, f"{show(value)} is not {what}"
    elif isinstance(value, Mapping):
        yield from _of_mapping(value, schema, where)
    elif isinstance(value, list):
        yield from _of_list(value, schema, where)
    else:
        yield from _of_scalar(value, schema, where)


def _of_choices(
    value: object, schema: Mapping[str, Any], choices: list[Mapping[str, Any]], where: str
) -> list[Departure]:
    """Return the faults under the alternative that is meant: the one that the value names, else the nearest."""
    named = schema.get("discriminator")
    if named and isinstance(value, Mapping):
        mapping, key = named["mapping"], named["propertyName"]
        choice = value.get(key)
        if not isinstance(choice, str) or choice not in mapping:
            return [(_below(where, key), f"{show(choice)} is none of {', '.join(mapping)}")]
        if isinstance(mapping[choice], str):  # else several alternatives have that name
            return _faults(value, {"$ref": mapping[choice]}, where)
    found = [_faults(value, choice, where) for choice in choices]
    if not all(found):
        return []
    # a fault of the value itself means that another alternative was meant
    return min(found, key=lambda faults: (any(place == where for place, _ in faults), len(faults)))


def _of_mapping(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[Departure]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            yield _below(where, key), "is missing"
    for key, item in value.items():
        if key in fields:
            yield from _faults(item, fields[key], _below(where, key))
        elif isinstance(others, Mapping):
            yield from _faults(item, others, _below(where, key))
        elif not others:
            yield _below(where, str(key)), "is no field of the specification"


def _of_list(value: list[Any], schema: Mapping[str, Any], where: str) -> Iterator[Departure]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield where, f"has {len(value)} entries, it needs {schema.get('minItems', 0)}"
    first = schema.get("prefixItems", ())
    for index, item in enumerate(value):
        inner = first[index] if index < len(first) else schema.get("items")
        if inner:
            yield from _faults(item, inner, f"{where}[{index}]")


def _of_scalar(value: object, schema: Mapping[str, Any], where: str) -> Iterator[Departure]:
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            least, most = schema.get("minLength", 0), schema.get("maxLength", "any number of")
            yield where, f"{show(value)} has {len(value)} characters, it needs {least} to {most}"
        elif "pattern" in schema and not re.search(schema["pattern"], _DOI_PREFIX.sub("", value, count=1)):
            yield where, f"{show(value)} is not of the form {schema['pattern']}"
        if schema.get("title") in _IDENTIFIERS and (not value.isidentifier() or iskeyword(value)):
            yield where, f"{show(value)} is no name as Python has them (letters, digits and _)"
        if schema.get("format") == "uri" and not re.match("https?://.", value):
            yield where, f"{show(value)} is no address that begins with https://"
    number = _number(value)
    if number is not None and schema.get("type") in ("integer", "number"):
        for bound, (words, wrong) in _BOUNDS.items():
            if bound in schema and wrong(number, schema[bound]):
                yield where, f"{show(value)} is {words} {schema[bound]:g}"


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


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


def _anything(value: object) -> bool:
    del value
    return True


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "string": ("text", lambda value: isinstance(value, str)),
    "number": ("a number", lambda value: _number(value) is not None),
    "integer": ("a whole number", _whole),
    "boolean": ("true or false", _truth),
    "array": ("a list", lambda value: isinstance(value, list)),
    "object": ("a mapping", lambda value: isinstance(value, Mapping)),
    "null": ("empty", lambda value: value is None),
}
_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("less than", lambda number, limit: number < limit),
    "maximum": ("more than", lambda number, limit: number > limit),
    "exclusiveMinimum": ("not more than", lambda number, limit: number <= limit),
    "exclusiveMaximum": ("not less than", lambda number, limit: number >= limit),
}
