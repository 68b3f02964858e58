"""The version of the rules: which changes it follows, and that the certificates in the documentation are of today's."""

from dataclasses import replace
from pathlib import Path

import pytest

from bmz_export.checking.certificate import Certificate
from bmz_export.checking.version import rules_version
from bmz_export.tools import TOOLS
from bmz_export.tools.tiling import blocks

DOCS = Path(__file__).parents[3] / "docs"


def test_the_version_of_the_rules_follows_what_decides_and_no_wording(monkeypatch):
    now = rules_version()
    assert now == rules_version()
    qupath = TOOLS["qupath"]
    reworded = replace(qupath.rules[0], breaks="in other words")
    monkeypatch.setitem(TOOLS, "qupath", replace(qupath, rules=(reworded, *qupath.rules[1:])))
    assert rules_version() == now
    milder = replace(qupath.rules[0], severity="warning")
    monkeypatch.setitem(TOOLS, "qupath", replace(qupath, rules=(milder, *qupath.rules[1:])))
    assert rules_version() != now
    monkeypatch.setitem(TOOLS, "qupath", replace(qupath, tilings=qupath.tilings[:1]))
    assert rules_version() != now
    monkeypatch.setitem(TOOLS, "qupath", qupath)
    window, *others = qupath.tilings
    mirrored = replace(window, cut=blocks(lambda axis: 512, "symmetric", halo=False))
    monkeypatch.setitem(TOOLS, "qupath", replace(qupath, tilings=(mirrored, *others)))
    assert rules_version() != now
    monkeypatch.setitem(TOOLS, "qupath", qupath)
    for place, value in (
        ("comparison.LIMIT", 2e-3),
        ("trials.SATURATED", 255),
        ("trials.FAR", 513),
        ("trials.NOISE", 0),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(f"bmz_export.checking.{place}", value)
            assert rules_version() != now
    assert rules_version() == now


@pytest.mark.parametrize("file", sorted((DOCS / "certificates").glob("*.json")), ids=lambda file: file.stem)
def test_the_certificates_in_the_documentation_were_made_by_todays_rules(file):
    found = Certificate.read(file)
    assert found is not None
    assert found.rules_version == rules_version(), f"python ci/certify_networks.py {file.stem} makes it anew"
    assert {tile.tool for tile in found.tiles} == {tool.title for tool in TOOLS.values() if tool.tilings}
