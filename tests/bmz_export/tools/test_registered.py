"""A tool that is not in the tree, made of rules, a tiling and an engine: once registered it is found everywhere."""

import pytest
from helpers.small_package import small_package

from bmz_export.checking import seams
from bmz_export.checking.check import CheckOptions, check
from bmz_export.tools import TOOLS, Rule, Tool, ToolTiling, distinct_rules, register
from bmz_export.tools.qupath import window_tiles
from bmz_export.tools.tool import first_of

CITED = Rule(
    "cited-twice",
    "it is not shown in the list",
    "an invented viewer",
    "two citations",
    lambda inspection: [] if len(inspection.description.raw["cite"]) > 2 else ["too few citations"],
)


@pytest.fixture
def viewer():
    tool = Tool(
        name="viewer",
        title="A viewer",
        rules=(*TOOLS["qupath"].rules, CITED),
        engines=("onnxruntime",),
        install="drop the zip onto it",
        weights_choice=first_of("onnx"),
        tilings=(ToolTiling("512 tiles, side by side", window_tiles, overlaps=False),),
    )
    with register(tool):
        yield tool
    assert "viewer" not in TOOLS


def test_rules_engine_and_tiling_of_a_registered_tool_are_in_the_result(viewer, tmp_path, monkeypatch):
    monkeypatch.setattr(seams, "LARGE", (128, 160))
    shared = len(distinct_rules())
    found = check(small_package(tmp_path / "package"), CheckOptions(engines=("onnxruntime",), tiles=True))
    assert [(fault.rule, fault.tools) for fault in found.errors] == [("cited-twice", ("A viewer",))]
    assert {"A viewer"} <= {tool for row in found.rows for tool in row.tools if row.engine == "onnxruntime"}
    assert [row.way for row in found.tiles if row.tool == "A viewer"] == ["512 tiles, side by side"]
    assert found.rules == shared


def test_a_rule_that_tools_share_is_counted_once(viewer):
    assert len(distinct_rules()) < sum(len(tool.rules) for tool in TOOLS.values())
    assert distinct_rules().count(CITED) == 1


def test_two_tools_of_one_name_are_refused(viewer):
    with pytest.raises(ValueError, match="viewer"):
        register(viewer)
