"""A certificate: its exit code, its schema, its words, its picture, and the tilings that it reports."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.small_package import small_package
from pydantic import ValidationError

from bmz_export.checking.certificate import (
    Certificate,
    Difference,
    Fault,
    Row,
    Seam,
    TileRow,
    json_schema,
    published_schema,
)
from bmz_export.checking.report import draw, headline, lines, section, summary
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS
from bmz_fmd.verbs.check import show

DOCS = Path(__file__).parents[3] / "docs"


def row(verdict="passed", **fields):
    usual = {"title": "libtorch 2.5.1", "sizes": ("1x1x64x64",), "seconds": 0.2}
    fields = usual | {"difference": Difference(largest=2e-7, mean=1e-8)} | fields
    if verdict.startswith("not "):
        fields |= {"difference": None, "note": "not installed: bmz-fmd engines install x"}
    return Row(
        tools=("QuPath",), engine="x", version="2.5.1", weights="torchscript",
        peak_memory=10**8, verdict=verdict, **fields,
    )  # fmt: skip


def fault(severity="error"):
    return Fault(
        severity=severity, tools=("Fiji (deepImageJ)", "QuPath"), rule="halo", message="a halo of 300",
        seen="never ends", way_out="a smaller halo",
    )  # fmt: skip


def certificate(**fields):
    fields = {"rows": (row(),)} | fields
    return Certificate(
        package="Nuclei", format_version="0.5.4", made_by="bmz-fmd 0", created="2026-01-01T00:00:00+00:00",
        machine="Linux", rules=3, **fields,
    )  # fmt: skip


TILE = TileRow(
    tool="ilastik", way="blocks", engine="torch", image=(900, 1200), tiles=6, verdict="passed",
    interior=Difference(largest=0, mean=0), seam=Difference(largest=1e-5, mean=1e-7),
    edge=Difference(largest=2e-2, mean=1e-4),
)  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"rows": (row("not run"),)}, 0),
        ({"rows": (row("not compared"),)}, 0),
        ({"faults": (fault("warning"),)}, 0),
        ({"faults": (fault(),)}, 1),
        ({"rows": (row(), row("failed"))}, 1),
        ({"tiles": (TILE.model_copy(update={"verdict": "failed"}),)}, 1),
    ],
)
def test_the_exit_code_says_whether_anything_that_ran_failed(fields, code):
    assert certificate(**fields).exit_code == code


def test_what_was_not_run_is_said_and_not_counted_as_passed():
    found = certificate(rows=(row(), row("not run")))
    assert found.not_run == ("libtorch 2.5.1 (torchscript)",)
    assert "1 of 1 runs passed" in summary(found)
    assert "1 not run" in summary(found)
    assert any(line.startswith("not run: libtorch 2.5.1") for line in lines(found))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((row(),), "the same pixels in 1 engine"),
        ((row("not compared"),), "nothing to compare with"),
        ((row("not compared"), row("not run", title="other")), "nothing to compare with"),
        ((row(), row("not compared", title="other")), "1 of 2 engines agree, 1 not compared"),
        ((row(), row("not run", title="other")), "1 of 2 engines agree, 1 not run"),
    ],
)
def test_what_was_compared_with_nothing_is_not_called_the_same(rows, said):
    found = certificate(rows=rows)
    assert headline(found)[0] == said
    assert f"\n{said[0].upper()}{said[1:]}.\n" in section(found)


def test_what_ran_with_nothing_to_compare_with_is_said():
    found = certificate(rows=(row(), row("not compared")))
    assert "1 of 2 runs passed" in summary(found)
    assert "1 not compared" in summary(found)
    assert any(line.startswith("not compared: libtorch 2.5.1") for line in lines(found))


def test_a_seam_that_was_not_measured_says_why(tmp_path):
    tile = TileRow(tool="QuPath", way="blocks", engine="-", image=(900, 1200), tiles=0, verdict="not run", note="fixed")
    found = certificate(seam_note="its size is fixed", tiles=(tile,))
    assert {"seam: not measured: its size is fixed", "not run: QuPath's tiling, blocks: fixed"} <= set(lines(found))
    assert "its size is fixed" in section(found)
    assert draw(found, tmp_path / "c.png").is_file()


def test_text_that_nobody_can_encode_or_print_is_cleaned(tmp_path):
    found = certificate(rows=(row(note="one\nline"),), hashes={"\udcff.pt": "0"})
    named = Certificate(**(found.model_dump() | {"package": "\ud800x\x1b[2J"}))
    assert named.package == "\ufffdx\ufffd[2J"
    assert named.rows[0].note == "one line"
    (tmp_path / "c.json").write_text(named.to_json(), encoding="utf-8")
    assert Certificate.read(tmp_path / "c.json") == named


def test_a_huge_file_is_not_read_whole(tmp_path):
    with (tmp_path / "c.json").open("wb") as stream:
        stream.truncate(2**36)
    assert Certificate.read(tmp_path / "c.json") is None


def test_each_failure_is_one_line_with_tool_rule_sight_and_way_out():
    assert fault().line() == "error: Fiji (deepImageJ), QuPath: [halo] a halo of 300; never ends; a smaller halo"
    assert fault().line() in lines(certificate(faults=(fault(),)))


def test_the_published_schema_is_the_model_itself():
    assert published_schema() == json_schema()
    assert (DOCS / "certificate.schema.json").read_text() == json_schema()


def test_it_survives_being_written_and_read(tmp_path):
    found = certificate(tiles=(TILE,), seam=Seam(halo=8, difference=Difference(largest=1e-5, mean=1e-7)))
    (tmp_path / "c.json").write_text(found.to_json())
    assert Certificate.read(tmp_path / "c.json") == found
    assert json.loads(found.to_json())["certificate"] == 1
    (tmp_path / "c.json").write_text("{}")
    assert Certificate.read(tmp_path / "c.json") is None
    assert Certificate.read(tmp_path / "none.json") is None


def test_a_difference_cannot_be_negative_or_nan():
    with pytest.raises(ValidationError):
        Difference(largest=-1, mean=0)
    with pytest.raises(ValidationError):
        Difference(largest=float("nan"), mean=0)


def test_it_is_shown_as_a_table_a_section_and_a_picture(tmp_path, capsys):
    found = certificate(rows=(row(), row("failed", difference=Difference(largest=0.3, mean=0.1)), row("not run")),
                        tiles=(TILE,), faults=(fault(),))  # fmt: skip
    show(found)
    printed = capsys.readouterr().out
    assert "libtorch 2.5.1" in printed
    assert "not run" in printed
    text = section(found)
    assert text.startswith("## The same pixels in every tool")
    assert text.count("| QuPath |") == 3
    assert "![" in text
    assert draw(found, tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def inspection(tmp_path_factory):
    with open_package(small_package(tmp_path_factory.mktemp("small") / "package")) as package:
        yield Inspection(package)


def tilings(inspection, shape):
    names = ("deepimagej", "qupath", "script", "ilastik")
    ways = zip(names, (way for tool in TOOLS.values() for way in tool.tilings), strict=True)
    return [(name, way.cut(inspection, shape)) for name, way in ways]


@pytest.mark.parametrize("shape", [(900, 1200), (512, 512), (513, 511), (64, 700), (1100, 130)])
def test_a_pointwise_network_is_tiled_without_a_trace_by_every_tool(inspection, shape):
    image = np.random.default_rng(0).random((1, 1, *shape), np.float32)
    for name, tiling in tilings(inspection, shape):
        found = tiling.stitch([window * 2 for window in tiling.windows(image)])
        assert np.array_equal(found, image * 2), name


def test_tiles_have_the_sizes_that_the_tools_use(inspection):
    shape = (900, 1200)
    image = np.zeros((1, 1, *shape), np.float32)
    sizes = {name: {w.shape[-2:] for w in tiling.windows(image)} for name, tiling in tilings(inspection, shape)}
    assert sizes["qupath"] == sizes["ilastik"] == sizes["script"] == {(512, 512)}
    halo = inspection.description.outputs[0].axis("y").halo
    assert sizes["deepimagej"] == {(900 + 2 * halo, 1200 + 2 * halo)}


def test_outside_the_image_each_tool_fills_in_its_own_way(inspection):
    ramp = np.arange(600, dtype=np.float32).reshape(1, 1, 1, 600).repeat(600, axis=2)
    halo = inspection.description.outputs[0].axis("y").halo
    first = {name: next(iter(tiling.windows(ramp)))[0, 0, 300] for name, tiling in tilings(inspection, (600, 600))}
    assert list(first["deepimagej"][halo - 2 : halo + 2]) == [1, 0, 0, 1]
    assert list(first["ilastik"][halo - 2 : halo + 2]) == [2, 1, 0, 1]
    assert list(first["qupath"][:3]) == [0, 1, 2]


def test_regions_part_the_image(inspection):
    for _, tiling in tilings(inspection, (900, 1200)):
        regions = tiling.regions(16)
        assert np.array_equal(sum(region.astype(int) for region in regions.values()), np.ones((900, 1200), int))
