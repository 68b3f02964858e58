"""A user's own Fiji, QuPath and ilastik, stood in for by programs that record what they were asked."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from helpers.small_package import copy

from bmz_export.checking.check import CheckOptions, check
from bmz_export.tools import TOOLS
from training.errors import UserError

STAND_IN = """#!{python}
import json, sys
from pathlib import Path
import numpy as np, tifffile
arguments = sys.argv[1:]
Path({record!r}).write_text(json.dumps(arguments))
{act}
"""
FIJI = """
model, image, folder = arguments[4].split("|")
found = np.load({output!r}) + {shift}
tifffile.imwrite(Path(folder) / (Path(image).stem + "_denoised.tif"), found[0, 0].astype("float32"))
assert Path(model, "rdf.yaml").is_file() and "DeepImageJ Run" in Path(arguments[3]).read_text()
"""
QUPATH = """
values = [word.partition("=")[2] for word in arguments[1:4]]
tifffile.imwrite(values[2], (np.load({output!r}) + {shift})[0, 0].astype("float32"))
assert "DjlDnnModelBuilder" in Path(arguments[4]).read_text() and tifffile.imread(values[0]).dtype == "float32"
"""
ILASTIK = """
script, model, source, target, weights = arguments
compile(Path(script).read_text(), script, "exec")
np.save(target, np.load({output!r}) + {shift})
"""


@pytest.fixture
def stand_ins(sound, tmp_path):
    """A function that makes the three programs and returns the options that name them, and their records."""

    def make(shift=0.0, act=None):
        output, options, records = str(sound / "test_output.npy"), {}, {}
        for tool, name, body in (
            ("deepimagej", "fiji-linux-x64", FIJI), ("qupath", "QuPath", QUPATH), ("ilastik", "bin/python", ILASTIK),
        ):  # fmt: skip
            program = tmp_path / tool / name
            program.parent.mkdir(parents=True)
            records[tool] = tmp_path / f"{tool}.json"
            does = body.format(output=output, shift=shift) if act is None else act
            program.write_text(STAND_IN.format(python=sys.executable, record=str(records[tool]), act=does))
            program.chmod(0o755)
            options[tool] = program if tool == "qupath" else tmp_path / tool
        return options, records

    return make


def rows(certificate):
    return {row.tools[0]: row for row in certificate.rows if row.engine == "yours"}


def test_each_tool_is_called_without_a_window_and_compared(sound, stand_ins):
    options, records = stand_ins()
    before = sorted(path.name for path in sound.iterdir())
    certificate = check(sound, CheckOptions(engines=(), timeout=60, programs=options))
    assert {row.verdict for row in rows(certificate).values()} == {"passed"}
    assert set(rows(certificate)) == {"Fiji (deepImageJ)", "QuPath", "ilastik"}
    assert certificate.exit_code == 0
    fiji, qupath = (records[tool].read_text() for tool in ("deepimagej", "qupath"))
    assert '["--headless", "--console", "-macro"' in fiji
    assert qupath.startswith('["script", "--image=')
    assert sorted(path.name for path in sound.iterdir()) == before


def test_other_pixels_are_a_failure(sound, stand_ins):
    options, _ = stand_ins(shift=30.0)
    certificate = check(sound, CheckOptions(engines=(), timeout=60, programs=options))
    assert {row.verdict for row in rows(certificate).values()} == {"failed"}
    assert {fault.rule for fault in certificate.errors} == {"your-tool"}
    assert certificate.exit_code == 1


@pytest.mark.parametrize(
    ("act", "verdict"),
    [("sys.exit('no model')", "failed"), ("pass", "failed"), ("import time; time.sleep(60)", "no answer in time")],
)
def test_a_tool_that_fails_leaves_nothing_or_hangs_is_told(sound, stand_ins, act, verdict):
    options, _ = stand_ins(act=act)
    certificate = check(sound, CheckOptions(engines=(), timeout=1, programs={"deepimagej": options["deepimagej"]}))
    found = rows(certificate)["Fiji (deepImageJ)"]
    assert found.verdict == verdict
    assert found.note
    assert certificate.exit_code == (verdict == "failed")


def test_a_script_that_lies_in_a_package_is_not_the_one_that_runs(sound, stand_ins, tmp_path):
    folder = copy(sound, tmp_path / "copy")
    (folder / "run_in_fiji.ijm").write_text("exec('something else');")
    options, _ = stand_ins()
    certificate = check(folder, CheckOptions(engines=(), timeout=60, programs={"deepimagej": options["deepimagej"]}))
    assert rows(certificate)["Fiji (deepImageJ)"].verdict == "passed"


def test_no_tool_gets_a_package_with_weights_that_nothing_here_can_judge(sound, stand_ins, tmp_path):
    """It picks its weights itself: deepImageJ, say, a SavedModel before the TorchScript that was judged."""
    folder = copy(sound, tmp_path / "copy")
    raw = yaml.safe_load((folder / "rdf.yaml").read_text())
    raw["weights"]["tensorflow_saved_model_bundle"] = {"source": "weights.pt", "tensorflow_version": "2.7.0"}
    (folder / "rdf.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    options, records = stand_ins()
    found = rows(check(folder, CheckOptions(engines=(), timeout=60, programs=options)))
    assert {row.verdict for row in found.values()} == {"not run"}
    assert "tensorflow_saved_model_bundle" in found["Fiji (deepImageJ)"].note
    assert not any(record.exists() for record in records.values())


def test_a_script_for_one_channel_is_not_tried_on_a_model_of_three(sound, stand_ins, tmp_path):
    folder = copy(sound, tmp_path / "copy")
    for name in ("test_input.npy", "test_output.npy"):
        np.save(folder / name, np.repeat(np.load(folder / name), 3, axis=1))
    options, records = stand_ins()
    found = rows(check(folder, CheckOptions(engines=(), timeout=60, programs=options)))
    assert {name: row.verdict for name, row in found.items() if name != "ilastik"} == {
        "Fiji (deepImageJ)": "not run",
        "QuPath": "not run",
    }
    assert found["QuPath"].note == "its script denoises each channel alone; the model takes 3"
    assert not records["deepimagej"].exists()


@pytest.mark.parametrize("tool", ["deepimagej", "qupath", "ilastik"])
def test_a_place_that_is_not_the_tool_is_one_line(sound, tmp_path, tool):
    with pytest.raises(UserError, match=f"^{re.escape(TOOLS[tool].title)}: .*nothing: there is no .*; name [^\n]*$"):
        check(sound, CheckOptions(engines=(), programs={tool: Path(tmp_path / "nothing")}))


@pytest.mark.parametrize("name", ["browser", "napari"])
def test_what_cannot_be_run_is_one_line(sound, tmp_path, name):
    with pytest.raises(UserError, match=f"`programs` {name}: .*deepimagej, qupath, ilastik"):
        check(sound, CheckOptions(engines=(), programs={name: tmp_path}))


def test_the_stand_ins_read_what_the_tools_would(sound):
    assert np.load(sound / "test_input.npy").dtype == np.float32
    assert tifffile.imread(sound / "sample_input.tif").dtype == np.float32
