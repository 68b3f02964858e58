"""A description against the specification itself: the schema that bioimageio.spec ships, validated by jsonschema.

The library is not asked: importing it takes seconds, and it raises on descriptions that are odd enough. What it accepts
leniently (numbers and truth values as text, plain strings where newer formats have objects) is accepted here too.
"""

from __future__ import annotations

import importlib.util
import json
import math
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

_DOI_PREFIX = re.compile(r"https?://(dx\.)?doi\.org/")
_OWN_RULES = frozenset({"format_version", "type", "license"})
_MOVED = frozenset({"dependencies", "parent"})  # of formats before 0.4.5, which the library rearranges
_IDENTIFIERS = frozenset({"AxisId", "Identifier", "TensorId", "TensorName"})
_TRUTH = frozenset({"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"})
_COVERS = (".gif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff")
_COVER = {"pattern": rf"(?i)({'|'.join(_COVERS)})\Z".replace(".", r"\."), "says": f"is none of {', '.join(_COVERS)}"}
_BOTH = {"covers": {"items": {**_COVER, "properties": {"source": _COVER}}}, "cite": {"items": {"address": True}}}
_NEW = {
    "name": {
        "pattern": r"^[A-Za-z0-9_+\- ()]*\Z",
        "says": "may have English letters, digits, spaces and _+-() alone",
    },
    "documentation": {"properties": {"source": {"pattern": r"\.md\Z", "says": "is no .md file"}}},
}
"""What the library's code refuses and its schema does not say, by field: of both formats, and of 0.5 alone."""


def shipped(name: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """Return a JSON file that bioimageio.spec brings along, without importing the library."""
    spec = importlib.util.find_spec("bioimageio.spec")
    folders = spec.submodule_search_locations if spec else None
    return json.loads((Path(next(iter(folders or []))) / "static" / name).read_text("utf-8"))


def departures(description: Description) -> Iterator[tuple[str, str]]:
    """Yield where a description of format 0.4 or 0.5 departs from its specification, and how; else nothing."""
    if description.version[:2] not in ((0, 4), (0, 5)) or description.version > NEWEST:
        return
    for fault in _validator(description.version >= (0, 5)).iter_errors(_as_newest(description)):
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in fault.path).removeprefix(".")
        yield where, str(fault.message).replace(repr(fault.instance), show(fault.instance), 1)  # however large it is


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


@cache
def _validator(new: bool) -> Any:  # noqa: ANN401 -- jsonschema has no types
    """Return the validator of format 0.4 or 0.5; numbers and truth values may be text, and YAML may have read a date.

    What the library's code checks beside the schema is added to it.
    """
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

    formats = FormatChecker(())
    formats.checks("version", raises=InvalidVersion)(
        lambda value: isinstance(value, str | int | float) and bool(Version(str(value)))
    )
    formats.checks("uri")(lambda value: not isinstance(value, str) or bool(re.match("https?://.", value)))
    formats.checks("date-time", raises=ValueError)(_is_time)
    keywords = {
        **{keyword: of_numbers(keyword) for keyword in _OF_NUMBERS},
        "type": of_kind, "pattern": _pattern, "title": _title, "required": _required, "address": _address,
        "additionalProperties": _others, "oneOf": _alternatives, "anyOf": _alternatives,
    }  # fmt: skip
    definitions = {**shipped("bioimageio_schema.json")["$defs"], "YamlValue": {}, "Version": {"format": "version"}}
    schema = {**definitions[f"bioimageio__spec__model__v0_{5 if new else 4}__ModelDescr"], "$defs": definitions}
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in _OWN_RULES}
    schema["required"] = [key for key in schema["required"] if key not in _OWN_RULES]
    schema["allOf"] = [{"properties": {**_BOTH, **(_NEW if new else {})}}]
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(_KINDS)
    return extend(Draft202012Validator, keywords, type_checker=checker)(schema, format_checker=formats)


def _fault(message: str, *path: object) -> Any:  # noqa: ANN401
    from jsonschema import ValidationError

    return ValidationError(message, path=path)


def _pattern(_: object, pattern: str, value: object, schema: Mapping[str, Any]) -> Iterator[Any]:
    says = schema.get("says")
    if isinstance(value, str) and not re.search(pattern, value if says else _DOI_PREFIX.sub("", value, count=1)):
        yield _fault(f"{show(value)} {says or f'is not of the form {pattern}'}")


def _title(_: object, title: str, value: object, schema: object) -> Iterator[Any]:
    if title in _IDENTIFIERS and isinstance(value, str) and (not value.isidentifier() or iskeyword(value)):
        yield _fault(f"{show(value)} is no name as Python has them (letters, digits and _)")


def _required(_: object, required: list[str], value: object, schema: object) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from (_fault("is missing", key) for key in required if key not in value)


def _address(_: object, wanted: bool, value: object, schema: object) -> Iterator[Any]:
    if isinstance(value, Mapping) and not value.get("doi") and not value.get("url"):
        yield _fault("has neither doi nor url")


def _others(validator: Any, others: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:  # noqa: ANN401
    for key in value if isinstance(value, Mapping) else ():
        if key not in schema.get("properties", {}):
            no_field = [_fault("is no field of the specification", key)]
            yield from no_field if others is False else validator.descend(value[key], others, path=key)


def _alternatives(validator: Any, choices: list[Any], value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:  # noqa: ANN401
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


def _is_time(value: object) -> bool:
    text = value if isinstance(value, str) else "2024"
    return re.fullmatch(r"\d{4}(-\d\d)?", text, re.ASCII) is not None or bool(datetime.fromisoformat(text))


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None


_KINDS: dict[str, Callable[[Any, object], bool]] = {
    "number": lambda _, value: _number(value) is not None,
    "integer": lambda _, value: (number := _number(value)) is not None and number.is_integer(),
    "boolean": lambda _, value: value in (0, 1) or (isinstance(value, str) and value.lower() in _TRUTH),
    "object": lambda _, value: isinstance(value, Mapping),
}
_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
