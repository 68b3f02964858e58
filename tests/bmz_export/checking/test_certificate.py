"""A certificate: its exit code, its schema, its words, its picture, and the tilings that it reports."""

import json
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from bmz_export.checking.certificate import (
    Certificate,
    Difference,
    Fault,
    Row,
    Seam,
    TileRow,
    ToolVerdict,
    json_schema,
)
from bmz_export.checking.faults import run_fault
from bmz_export.checking.picture import draw
from bmz_export.checking.report import FIGURES, detail_lines, edges, headline, section, summary, tables
from bmz_export.checking.runner import CheckOptions
from bmz_export.checking.verdicts import tool_verdicts
from bmz_export.engines import ENGINES
from bmz_export.tools import TOOLS
from bmz_fmd import console
from bmz_fmd.verbs.check import show

DOCS = Path(__file__).parents[3] / "docs"
OLD = Path(__file__).parents[2] / "data" / "version_0_1" / "package.zip"


def row(verdict="passed", **fields):
    usual = {"title": "libtorch 2.5.1", "sizes": ("1x1x64x64",), "seconds": 0.2}
    fields = usual | {"difference": Difference(largest=2e-7, mean=1e-8)} | fields
    if verdict.startswith("not "):
        fields |= {"difference": None, "note": "a reason"}
    return Row(
        tools=("QuPath",), engine="x", version="2.5.1", peak_memory=10**9, verdict=verdict,
        **({"weights": "torchscript"} | fields),
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
    tool="ilastik", way="blocks", engine="torch", image=(900, 1200), tiles=6, near=24, verdict="passed",
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
    found = certificate(rows=(row(), row("not run"), row("not installed"), row("not compared")))
    assert "1 of 2 runs passed" in summary(found)
    assert {line for line in detail_lines(found) if line.endswith("a reason")} == {
        f"{verdict}: libtorch 2.5.1 (TorchScript): a reason" for verdict in ("not run", "not compared")
    }


def test_one_cause_is_told_once_for_all_that_it_kept_from_running():
    found = certificate(rows=(row("not run"), row("not run", title="other")))
    assert "not run: libtorch 2.5.1 (TorchScript), other (TorchScript): a reason" in detail_lines(found)


def tool(verdict, name="QuPath", places=(), off=0):
    return ToolVerdict(tool=name, verdict=verdict, sentence="a sentence", places=places, off=off)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (("same pixels",), "the same pixels in 1 tool"),
        (("not compared", "not tried"), "nothing to compare with"),
        (("not tried",), "no tool's own engine was run"),
        (("same pixels", "not compared"), "the same pixels in 1 tool, 1 not compared"),
        (("same pixels", "not tried"), "the same pixels in 1 tool, 1 not tried"),
        (("same pixels", "will not open"), "will not open in QuPath"),
        (("same pixels", "other pixels"), "other pixels in QuPath"),
        ((), "no tool's own engine was run"),
    ],
)
def test_the_headline_claims_no_more_than_the_worst_tool(tools, said):
    script = next(way for way in TOOLS["qupath"].tilings if way.recommended)
    tile = TILE.model_copy(update={"tool": "QuPath", "way": script.title})
    found = certificate(tools=tuple(map(tool, tools)), tiles=(tile,))
    assert headline(found)[0] == said
    assert f"\n{said[0].upper()}{said[1:]}.\n" in section(found)


def test_where_nothing_ran_it_says_so():
    assert headline(certificate(rows=(row("not installed"),), tools=(tool("not tried"),)))[0] == "nothing was run"


def test_where_no_tiles_were_measured_it_speaks_of_the_test_images():
    late = TILE.model_copy(update={"verdict": "not run"})
    found = certificate(tools=(tool("same pixels", "ilastik"),), tiles=(late,))
    assert headline(found)[0] == "the same pixels on the test images in 1 tool"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (("1x1x64x64", "2x1x64x64"), "given images of 2 shapes, two images at once among them."),
        (("1x1x64x64",), "given images of 1 shape."),
        ((), None),
    ],
)
def test_a_readme_says_what_the_engines_were_given_that_ran(sizes, said):
    text = section(certificate(rows=(row(sizes=sizes), row("not installed", sizes=()))))
    assert (said in text) if said else ("Each engine" not in text)


def test_the_headline_says_where_a_tools_tiling_shows_and_the_worst_that_is_seen():
    shown = tool("differs in places", "ilastik", ("edge",), 0.07)
    found = certificate(tools=(tool("same pixels"), shown), tiles=(TILE,))
    assert headline(found)[0] == "the same pixels away from the image's edge in 2 tools, up to 7 % off there (ilastik)"
    fiji = tool("differs in places", "Fiji (deepImageJ)", ("seam",), 0.2)
    found = certificate(tools=(fiji, shown), tiles=(TILE,))
    away = "the same pixels away from seams and the image's edge in 2 tools"
    assert headline(found)[0] == f"{away}, up to 20 % off there (Fiji)"
    inside = tool("differs in places", "QuPath", ("interior", "edge"), 0.2)
    found = certificate(tools=(tool("same pixels"), inside), tiles=(TILE,))
    assert headline(found)[0] == "other pixels where some of 2 tools tile, up to 20 % off there (QuPath)"
    assert headline(certificate(tools=(tool("same pixels"),)))[0] == "the same pixels on the test images in 1 tool"


def engine_row(engine, tools, verdict="passed", **fields):
    return row(verdict, **fields).model_copy(update={"engine": engine, "tools": tools})


def words(rows, *tiled, faults=(), **options):
    return {each.tool: each for each in tool_verdicts(rows, tiled, faults, CheckOptions(**options))}


def tiled(title, way=0, **regions):
    """A row of a tool's tiling, with the largest difference of each region."""
    parts = dict.fromkeys(("interior", "seam", "edge", "cut"))
    parts |= {name: Difference(largest=largest, mean=0) for name, largest in regions.items()}
    return TILE.model_copy(update={"tool": title, "way": TOOLS[title.lower()].tilings[way].title, "verdict": "shown",
                                   **parts})  # fmt: skip


@pytest.mark.parametrize(
    ("regions", "said", "places"),
    [
        ({"interior": 0, "seam": 0, "edge": 0, "cut": 0},
         "same pixels, also at seams, the last, smaller tiles and the image's edge on an image of 1200 x 900", ()),
        ({"interior": 0, "edge": 9e-4}, "same pixels, also at the image's edge on an image of 1200 x 900", ()),
        ({"interior": 0, "seam": 0, "edge": 0.07},
         "same pixels inside and at seams on an image of 1200 x 900, but up to 7 % of the range off within 24 pixels "
         "of the image's edge",
         ("edge",)),
        ({"interior": 0, "seam": 0.02, "edge": 0.07, "cut": 0.2},
         "same pixels inside on an image of 1200 x 900, but up to 2 % of the range off within 24 pixels of seams, "
         "up to 20 % in the last, smaller tiles and up to 7 % within 24 pixels of the image's edge",
         ("seam", "cut", "edge")),
        ({"interior": 0.01, "edge": 0.07}, "other pixels wherever it tiles, up to 7 % of the range off",
         ("interior", "edge")),
    ],
)  # fmt: skip
def test_a_tool_says_what_its_user_sees_inside_at_seams_and_at_the_edge(regions, said, places):
    rows = (engine_row("tiktorch", ("ilastik",)),)
    ilastik = words(rows, tiled("ilastik", **regions), tiles=True)["ilastik"]
    assert ilastik.sentence == f"opens, {said}"
    assert set(ilastik.places) == set(places)
    assert ilastik.verdict == ("differs in places" if places else "same pixels")
    assert ilastik.off == (max(regions.values()) if places else 0)


def test_qupaths_own_window_is_told_apart_from_the_way_that_the_readme_advises():
    rows = (engine_row("libtorch-2.5.1", ("QuPath",)),)
    script, window = tiled("QuPath", 1, interior=0, seam=0), tiled("QuPath", 0, interior=0, seam=0.07)
    found = words(rows, window, script, tiles=True)["QuPath"]
    assert (found.verdict, found.off) == ("same pixels", 0)
    assert found.sentence == (
        "opens, same pixels, also at seams on an image of 1200 x 900; not so in its own window: same pixels inside on "
        "an image of 1200 x 900, but up to 7 % of the range off within 24 pixels of seams"
    )
    late = script.model_copy(update={"verdict": "no answer in time"})
    assert "was not measured" in words(rows, window, late, tiles=True)["QuPath"].sentence


def test_the_engine_that_gave_no_answer_is_named_beside_the_one_that_did():
    ran = engine_row("libtorch-1.13.1", ("Fiji (deepImageJ)",))
    late = engine_row("libtorch-2.0.0", ("Fiji (deepImageJ)",), "no answer in time", title="libtorch 2.0.0")
    fiji = words((ran, late))["Fiji (deepImageJ)"]
    assert fiji.verdict == "same pixels"
    assert fiji.sentence.endswith("; libtorch 2.0.0 on torchscript: no answer in time")


def test_a_rule_and_the_engine_that_passed_are_told_apart():
    rows = (engine_row("libtorch-2.5.1", ("QuPath",)),)
    found = words(rows, faults=(fault(),))
    assert found["QuPath"].sentence == "will NOT open, for the same reason as Fiji (deepImageJ)"
    assert found["Fiji (deepImageJ)"].sentence == ("will NOT open, because a halo of 300 (never ends); a smaller halo")
    alone = fault().model_copy(update={"tools": ("QuPath",)})
    assert words(rows, faults=(alone,))["QuPath"].sentence == (
        "will NOT open: a rule says that a halo of 300 (never ends); a smaller halo; "
        "the engine itself ran and gave the same pixels"
    )


def test_a_rule_of_a_tools_window_is_no_word_on_its_script():
    (rule,) = (rule for rule in TOOLS["qupath"].rules if rule.name == "license-field")
    refused = fault().model_copy(update={"rule": rule.name, "tools": ("QuPath",), "message": "there is no license"})
    window, script = tiled("QuPath", 0, interior=0, seam=0.43), tiled("QuPath", 1, interior=0, seam=0)
    found = words((engine_row("libtorch-2.5.1", ("QuPath",)),), window, script, faults=(refused,), tiles=True)["QuPath"]
    assert found.verdict == "same pixels"
    assert found.sentence.startswith("its own window will NOT open it, because there is no license (")
    assert found.sentence.endswith("; by a script: opens, same pixels, also at seams on an image of 1200 x 900")
    ilastik = tool("differs in places", "ilastik", ("edge",), 0.41)
    blocks = tiled("ilastik", interior=0, edge=0.41)
    whole = certificate(faults=(refused,), tools=(found, ilastik), tiles=(window, script, blocks))
    assert headline(whole) == (
        "will not open in QuPath's own window; the same pixels away from the image's edge in 2 tools, "
        "up to 41 % off there (ilastik)",
        "failed",
    )
    edged = words(
        (engine_row("libtorch-2.5.1", ("QuPath",)),), tiled("QuPath", 1, interior=0, edge=0.2), faults=(refused,),
        tiles=True,
    )["QuPath"]  # fmt: skip
    assert (
        "up to 20 % off there (QuPath)" in headline(certificate(faults=(refused,), tools=(edged,), tiles=(script,)))[0]
    )
    (_, _, cells), *_ = list(tables(whole))[1:]
    assert [line[0] for line in cells] == ["QuPath: the package's script", "ilastik: its blocks"]


def test_a_window_that_is_closed_says_no_word_of_unbroken_rules():
    refused = fault().model_copy(update={"rule": "license-field", "tools": ("QuPath",)})
    sentence = words((), faults=(refused,), rules_only=True)["QuPath"].sentence
    assert sentence.endswith("; by a script: running it was not requested")


def test_tiles_say_by_what_they_were_computed_where_a_tool_was_not_run(tmp_path):
    whole = dict.fromkeys(("interior", "edge"), 0.16)
    title = "Fiji (deepImageJ)"
    fiji = tiled("QuPath", **whole).model_copy(
        update={"tool": title, "way": TOOLS["deepimagej"].tilings[0].title,
                "engine": "bioimageio.core on pytorch_state_dict"}
    )  # fmt: skip
    ran = tiled("ilastik", interior=0.12, edge=0.12).model_copy(update={"engine": fiji.engine})
    rows = (engine_row("tiktorch", ("ilastik",)), engine_row("libtorch-1.13.1", (title,), "not installed"))
    shown = tool("differs in places", "ilastik", ("interior", "edge"), 0.12)
    idle = tool("not tried", title).model_copy(update={"sentence": "no rule is broken; not installed: a reason"})
    found = certificate(rows=rows, tools=(idle, shown), tiles=(fiji, ran))
    by = "computed by bioimageio.core (state dict); Fiji itself was not run"
    reading, _, cells = list(tables(found))[1]
    assert f"as each tool does; {by}." in reading
    assert [line[-1] for line in cells] == ["computed", "shown"]
    assert f"Each tool's cutting into tiles was {by}.\n" in section(found)
    assert edges(found) == {
        f"{title}, the whole image (computed; the tool itself was not run)": "16 %",
        "ilastik, its blocks": "12 %",
    }
    assert headline(found)[0] == (
        "other pixels where 1 tool tiles, up to 12 % off there (ilastik), 1 not tried; "
        "up to 16 % off as Fiji tiles, which was not run"
    )
    assert f"- **{title}**: no rule is broken; not run\n" in section(found)
    ours = found.model_copy(update={"tiles": (fiji, ran.model_copy(update={"engine": "tiktorch on torchscript"}))})
    each = "by bioimageio.core (state dict) for Fiji, by tiktorch (TorchScript) for ilastik; Fiji itself was not run"
    assert f"was computed {each}." in section(ours)
    assert draw(found, tmp_path / "c.png").is_file()


def test_a_doubt_keeps_what_the_engine_gave_and_is_said():
    doubt = run_fault("tensors", "the comparison ran out of memory", ("QuPath",))
    found = words((engine_row("libtorch-2.5.1", ("QuPath",)),), faults=(doubt,))["QuPath"]
    assert found.verdict == "same pixels"
    assert found.sentence.startswith("opens, but the comparison ran out of memory")
    assert headline(certificate(faults=(doubt,), tools=(found,))) == ("errors were found", "failed")


def test_what_was_not_asked_for_and_what_is_not_installed_is_said():
    assert words((), rules_only=True)["ilastik"].sentence == "no rule is broken; running it was not requested"
    assert words((), engines=("torch",))["ilastik"].sentence == "no rule is broken; running it was not requested"
    missing = engine_row("tiktorch", ("ilastik",), "not installed")
    assert words((missing,))["ilastik"].sentence == "no rule is broken; not installed: a reason"


def test_a_seam_that_was_not_measured_says_why(tmp_path):
    tile = TileRow(tool="QuPath", way="blocks", engine="-", image=(900, 1200), tiles=0, verdict="not run", note="fixed")
    found = certificate(seam_note="its size is fixed", tiles=(tile,))
    assert {"seam: not measured: its size is fixed", "not run: QuPath's tiling, blocks: fixed"} <= set(
        detail_lines(found)
    )
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
    assert fault().line() in detail_lines(certificate(faults=(fault(),)))


def test_the_published_schema_is_the_model_itself():
    assert (DOCS / "certificate.schema.json").read_text() == json_schema()


def test_it_survives_being_written_and_read(tmp_path):
    found = certificate(tiles=(TILE,), seam=Seam(halo=8, difference=Difference(largest=1e-5, mean=1e-7)))
    (tmp_path / "c.json").write_text(found.to_json())
    assert Certificate.read(tmp_path / "c.json") == found
    assert json.loads(found.to_json())["certificate"] == 2
    (tmp_path / "c.json").write_text("{}")
    assert Certificate.read(tmp_path / "c.json") is None
    assert Certificate.read(tmp_path / "none.json") is None


def test_a_difference_cannot_be_negative_or_nan():
    with pytest.raises(ValidationError):
        Difference(largest=-1, mean=0)
    with pytest.raises(ValidationError):
        Difference(largest=float("nan"), mean=0)


def test_one_of_version_0_1_is_read_and_one_of_a_later_version_is_set_aside(tmp_path):
    import zipfile

    with zipfile.ZipFile(OLD) as package:
        package.extract("certificate.json", tmp_path)
    old = Certificate.read(tmp_path / "certificate.json")
    assert old.certificate == 1
    assert old.tools == ()
    assert "nothing was run" in summary(old)
    raw = json.loads(old.to_json()) | {"certificate": 3, "novelty": 1}
    (tmp_path / "certificate.json").write_text(json.dumps(raw))
    assert Certificate.read(tmp_path / "certificate.json") is None


@pytest.mark.parametrize("path", sorted((DOCS / "certificates").glob("*.json")), ids=lambda path: path.stem)
def test_those_in_the_documentation_are_read_and_shown(path, tmp_path):
    found = Certificate.read(path)
    assert found.rows
    assert all(len(columns) <= 6 for _, columns, _ in tables(found))
    assert draw(found, tmp_path / "c.png").is_file()


def test_it_is_shown_as_lines_by_tool_tables_a_section_and_a_picture(tmp_path, capsys):
    found = certificate(rows=(row(), row("failed", difference=Difference(largest=0.3, mean=0.1)), row("not run")),
                        tools=(tool("same pixels"),), tiles=(TILE,), faults=(fault(),))  # fmt: skip
    show(found)
    printed = capsys.readouterr().out
    assert printed.startswith("QuPath: a sentence\n")
    assert printed.index("QuPath: a sentence") < printed.index("libtorch 2.5.1") < printed.index("not run")
    text = section(found)
    assert text.startswith("## The same pixels in every tool")
    assert "- **QuPath**: a sentence" in text
    assert "![" in text
    assert draw(found, tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "![" not in section(certificate(rows=()))


def test_each_row_is_one_line_of_at_most_80_columns_in_a_log(capsys):
    rows = tuple(
        row(verdict, title=title, weights=weights)
        for verdict in get_args(Row.model_fields["verdict"].annotation)
        for title in (engine.title for engine in ENGINES.values())
        for weights in ("torchscript", "pytorch_state_dict")
    )
    tiles = tuple(
        TILE.model_copy(update={"tool": each.title, "way": way.title, "verdict": "no answer in time"})
        for each in TOOLS.values()
        for way in each.tilings
    )
    for title, columns, cells in tables(certificate(rows=rows, tiles=tiles)):
        assert len(columns) <= 6
        console.table("", columns, cells, figures=FIGURES)
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == len(cells) + 2, title
        assert max(map(len, printed)) <= 80
