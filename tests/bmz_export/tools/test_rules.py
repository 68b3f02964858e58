"""The rules of all tools on a sound package, and what a rule is."""

import sys

from helpers.rules import findings

from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS, Rule


def test_a_sound_package_raises_no_alarm(sound):
    assert findings(sound) == {}


def test_rules_are_named_once_in_a_tool_and_say_where_they_come_from():
    for tool in TOOLS.values():
        names = [rule.name for rule in tool.rules]
        assert len(names) == len(set(names))
        assert all(rule.breaks and rule.source and rule.way_out for rule in tool.rules)


def test_a_rule_that_fails_is_no_verdict_on_the_package(sound):
    def find(inspection):
        yield "one thing"
        yield str(len(inspection.description.name) // 0)

    with open_package(sound) as package:
        found = list(Rule("odd", "breaks", "source", "way out", find, "warning").check(Inspection(package)))
    assert [(each.rule, each.severity) for each in found] == [("odd", "warning"), ("odd", "warning")]
    assert found[1].message.startswith("could not be examined (ZeroDivisionError: ")


def test_rules_need_neither_torch_nor_a_place_to_write(sound):
    import subprocess

    code = (
        "import sys\n"
        "from bmz_export.tools import TOOLS\n"
        "from bmz_export.inspection import Inspection\n"
        "from bmz_export.package.archive import open_package\n"
        f"with open_package({str(sound)!r}) as package:\n"
        "    inspection = Inspection(package)\n"
        "    for tool in TOOLS.values():\n"
        "        for rule in tool.rules:\n"
        "            list(rule.check(inspection))\n"
        "assert 'torch' not in sys.modules\n"
    )
    before = sorted(sound.iterdir())
    subprocess.run([sys.executable, "-c", code], check=True)
    assert sorted(sound.iterdir()) == before
