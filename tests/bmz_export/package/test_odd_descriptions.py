"""Descriptions with one field that nobody would write: each tool's rules are applied, and nothing raises."""

import datetime
import functools
import itertools
from dataclasses import replace

import pytest
import yaml
from helpers import strangers
from helpers.small_package import small_package

from bmz_export import inspection as shown
from bmz_export.package.archive import open_package
from bmz_export.package.reading import read_description
from bmz_export.tools import TOOLS
from training.errors import UserError

ODD = (
    None, True, -1, 0, 1.5, float("inf"), float("nan"), 10**400, "", "²", "HALF", "../..", [], {}, [None], [[]],
    {"source": None}, {"min": {}}, datetime.date(2020, 1, 1), b"\xff",
)  # fmt: skip
EACH = 3
"""Values that a field is tried with: prime to their number, so that each kind of field meets all."""
HALF_A_CHARACTER = '"\\ud800"'
"""What stands for ``HALF`` in the file: no dumper writes it."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Each file of the packages is looked into once for all descriptions, and YAML is parsed by libyaml."""
    for name in ("read_onnx", "read_pickle", "read_source", "read_tensor", "read_archive", "ask_torch", "sha256"):
        monkeypatch.setattr(shown, name, functools.cache(getattr(shown, name)))
    monkeypatch.setattr(shown, "unknown_operators", lambda *rest: [])
    monkeypatch.setattr(yaml, "SafeLoader", yaml.CSafeLoader)


def fields(value, above=()):
    """Yield the path to everything in a description."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*above, key)
        yield from fields(item, (*above, key))


def replaced(value, path, odd):
    """Return a copy in which the field of that path is another; what is not on the path is shared."""
    if not path:
        return odd
    copied = value.copy()
    copied[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copied


@pytest.mark.parametrize("build", [small_package, strangers.old_zoo], ids=["format 0.5", "format 0.4"])
def test_no_odd_value_of_any_field_stops_a_rule(build, tmp_path):
    folder = build(tmp_path / "package")
    raw = strangers.description_of(folder)
    odd_ones = itertools.cycle(ODD)
    with open_package(folder) as package:
        for path in fields(raw):
            for odd in itertools.islice(odd_ones, EACH):
                changed = yaml.dump(replaced(raw, path, odd), Dumper=yaml.CSafeDumper)
                (tmp_path / "rdf.yaml").write_text(changed.replace("HALF", HALF_A_CHARACTER))
                try:
                    description = read_description(tmp_path / "rdf.yaml")
                except UserError as error:
                    assert len(str(error).splitlines()) == 1
                    continue
                inspection = shown.Inspection(replace(package, description=description))
                for tool in TOOLS.values():
                    found = [finding.message for rule in tool.rules for finding in rule.check(inspection)]
                    assert not [
                        message
                        for message in found
                        if ("cannot be looked through" in message or "could not be examined" in message)
                    ], (path, odd)
