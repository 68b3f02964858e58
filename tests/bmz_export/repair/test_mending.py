"""A package is mended end to end: its right weights are found, made anew and described for every tool."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from planted import FAULTS, Package, Sound, plant
from planted.strangers import STRANGERS, make

from bmz_export.checking.check import CheckOptions
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.repair import mend
from bmz_export.repair.sources import own_architecture
from training.errors import UserError
from training.inference.backends import from_torchscript

RULES = CheckOptions(rules_only=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Sound(tmp_path_factory.mktemp("sound"))


def difference(found, wanted):
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


def run(folder, image):
    return from_torchscript(folder / "weights.pt")(image)[0]


def test_our_package_with_faults_of_every_family_is_made_whole(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    planted = ("nan-in-the-onnx", "truncated-torchscript", "output-shifted-by-a-pixel", "an-empty-argument",
               "objects-of-the-newest-format", "a-unit-on-an-output", "onnx-first-in-fiji")  # fmt: skip
    for name in planted:
        FAULTS[name].plant(package)
    package.hash_anew()
    before = {path: path.read_bytes() for path in package.folder.rglob("*") if path.is_file()}
    mended = mend(package.folder, tmp_path / "out", RULES)
    assert mended.exit_code == 0, [fault.line() for fault in mended.after.errors]
    assert {path: path.read_bytes() for path in package.folder.rglob("*") if path.is_file()} == before
    image = package.tensor("input")
    assert difference(run(mended.folder, image), package.model(torch.from_numpy(image)).numpy()) < 1e-5
    with open_package(mended.archive) as there:
        assert [*there.description.weights] == ["pytorch_state_dict", "torchscript", "onnx"]
        assert there.description.format_version == "0.5.4"
        assert there.description.raw["authors"] == [{"name": "Ada Lovelace"}]
        assert {"run_in_fiji.ijm", "run_in_qupath.groovy", "certificate.json"} <= {
            each.source for each in there.description.attachments
        }
    text = (mended.folder / "README.md").read_text()
    assert "## Mended" in text
    assert "the weights do not give the old test output" in " ".join(mended.changes)


def test_a_strangers_package_of_format_04_is_made_whole(tmp_path):
    old = make(STRANGERS["older-zoo"], tmp_path / "old")
    raw = yaml.safe_load((old / "rdf.yaml").read_text())
    raw["authors"] = "Grace Hopper"
    for name in ("README.md", "one/notes.txt", "two/notes.txt"):
        (old / name).parent.mkdir(exist_ok=True)
        (old / name).write_text(f"# Model\n\nBy its author. {name}\n")
        raw["attachments"]["files"].append(name)
    (old / "rdf.yaml").write_text(yaml.safe_dump(raw))
    mended = mend(old, tmp_path / "out", CheckOptions(engines=("torch",)))
    assert mended.before.exit_code == 1
    assert mended.exit_code == 0, [fault.line() for fault in mended.after.errors]
    image, wanted = np.load(old / "test_input.npy"), np.load(old / "test_output.npy")
    assert difference(run(mended.folder, image), wanted) < 1e-5
    raw = yaml.safe_load((mended.folder / "rdf.yaml").read_text())
    assert raw["license"] == "MIT"
    assert raw["cite"] == [{"text": "A paper", "doi": "10.1234/abcd"}]
    assert raw["authors"] == [{"name": "Grace Hopper"}]
    assert "preprocessing" not in raw["inputs"][0]
    assert "one/notes.txt" in (mended.folder / "notes.txt").read_text()
    assert "the attachment two/notes.txt was left out: another file is called notes.txt" in mended.left
    assert "By its author." in (mended.folder / "README.md").read_text()


def test_python_of_a_package_runs_only_where_it_is_trusted(tmp_path):
    old = make(STRANGERS["careamics"], tmp_path / "old")
    with pytest.raises(UserError, match="only with `trust`"):
        mend(old, tmp_path / "out", RULES)
    assert not (tmp_path / "out").exists()


def test_python_that_only_imports_a_strange_library_is_left_out_and_the_archive_mended(tmp_path):
    old = make(STRANGERS["stardist"], tmp_path / "old")
    raw = yaml.safe_load((old / "rdf.yaml").read_text())
    (old / "model.py").write_text("import monai\n\n\nclass Net(monai.networks.nets.UNet):\n    pass\n")
    torch.save({}, old / "state.pt")
    raw["weights"]["pytorch_state_dict"] = {
        "source": "state.pt",
        "pytorch_version": "2.0",
        "architecture": {"source": "model.py", "callable": "Net"},
    }
    (old / "rdf.yaml").write_text(yaml.safe_dump(raw))
    mended = mend(old, tmp_path / "out", RULES)
    assert mended.exit_code == 0
    assert not (mended.folder / "model.py").exists()


def test_a_place_where_nothing_can_be_written_is_told_at_once(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; choose another `out`"):
        mend(package.folder, tmp_path / "file" / "out", RULES)


@pytest.mark.parametrize("operation", ["zero_mean_unit_variance", "scale_range"])
def test_an_operation_that_was_stated_and_does_not_belong_is_left_out(operation, sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    raw = yaml.safe_load((package.folder / "rdf.yaml").read_text())
    raw["inputs"][0]["preprocessing"] = [{"id": operation, "kwargs": {"axes": ["channel", "y", "x"]}}]
    (package.folder / "rdf.yaml").write_text(yaml.safe_dump(raw))
    mended = mend(package.folder, tmp_path / "out", RULES)
    assert mended.exit_code == 0
    assert f"{operation} was left out: the weights give the test output without it" in mended.changes
    for name in ("test_output.npy", "weights.pt"):
        assert (mended.folder / name).exists()
    assert np.array_equal(np.load(mended.folder / "test_output.npy"), np.load(package.folder / "test_output.npy"))


def test_a_size_that_no_image_has_is_told_in_a_line(tmp_path):
    old = make(STRANGERS["older-zoo"], tmp_path / "old")
    raw = yaml.safe_load((old / "rdf.yaml").read_text())
    raw["inputs"][0]["shape"] = [1, 1, 10**6, 10**6]
    (old / "rdf.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match="no less than 1000000 x 1000000"):
        mend(old, tmp_path / "out", RULES)


@pytest.mark.parametrize("arguments", ["{1}, {2}", "{[]: 1}, {'a': 1}", "{'depth': 4}, {}", "}, {" * 100_000])
def test_an_architecture_that_only_looks_like_ours_is_not_taken_for_it(arguments, tmp_path):
    old = make(STRANGERS["careamics"], tmp_path / "old")
    (old / "model.py").write_text(f"def TinyUNet(outputs):\n    model = denoiser({arguments})\n")
    with open_package(old) as package:
        assert own_architecture(Inspection(package), tmp_path) is None


HOSTILE = [fault for fault in FAULTS.values() if fault.family == "hostile"]


@pytest.mark.parametrize("fault", HOSTILE, ids=lambda fault: fault.name)
def test_of_a_hostile_authors_package_nothing_runs(fault, sound, tmp_path):
    path, package = plant(fault, sound, tmp_path / "planted")
    with pytest.raises(UserError) as refusal:
        mend(path, tmp_path / "out", RULES)
    assert len(str(refusal.value).splitlines()) == 1
    assert not package.canary.exists()
    assert not (tmp_path / "out").exists()


def test_a_sound_package_is_left_alone_and_what_stands_there_stays(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    mended = mend(package.folder, tmp_path / "out", RULES)
    assert mended.folder is None
    assert mended.exit_code == 0
    assert not (tmp_path / "out").exists()
    (tmp_path / "out" / "package").mkdir(parents=True)
    with pytest.raises(UserError, match="exists"):
        mend(package.folder, tmp_path / "out", RULES)
    with pytest.raises(UserError, match="lies in the package"):
        mend(package.folder / "rdf.yaml", package.folder / "mended", RULES)


def test_the_page_about_mending_lists_these_packages():
    page = (Path(__file__).parents[3] / "docs" / "repair.md").read_text(encoding="utf-8")
    listed = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}
    assert {each.what for each in (*FAULTS.values(), *STRANGERS.values())} <= listed


@pytest.mark.slow
@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=list(STRANGERS))
def test_packages_of_other_projects(stranger, tmp_path):
    old = make(stranger, tmp_path / "old")
    options = CheckOptions(engines=("torch", "onnxruntime"), trust=stranger.trust)
    if not stranger.mended:
        with pytest.raises(UserError, match="cannot be mended"):
            mend(old, tmp_path / "out", options)
        return
    mended = mend(old, tmp_path / "out", options)
    assert mended.exit_code == 0, [fault.line() for fault in mended.after.errors]
    assert json.loads((mended.folder / "certificate.json").read_text())["seam"] is not None
