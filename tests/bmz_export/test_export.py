"""A run becomes a package: whole or not at all, and nothing that stood there before is lost."""

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import yaml
from helpers.command_line import snapshot
from helpers.machine import IN_NAME
from helpers.small_run import small_run

from bmz_export.exporting import Addition, export
from bmz_export.package.about import About
from training.checkpoints import Origin
from training.errors import UserError
from training.networks import NETWORKS
from training.runs.provenance import Believed, Score, Scores
from training.runs.run import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(small_run(tmp_path_factory.mktemp("runs") / "yeast"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "packages"


def test_a_run_becomes_a_folder_and_its_zip(run, out):
    exported = export(run, out=out)
    assert exported.folder == out / "yeast" and exported.archive == out / "yeast.zip"
    assert sorted(path.name for path in out.iterdir()) == ["yeast", "yeast.zip"]
    with zipfile.ZipFile(exported.archive) as archive:
        assert archive.namelist()[0] == "rdf.yaml"
        assert {info.compress_type for info in archive.infolist()} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in exported.folder.iterdir()
        }


def test_the_package_says_how_it_was_made(run, out):
    exported = export(run, out=out)
    assert json.loads((exported.folder / "provenance.json").read_text()) == json.loads(run.provenance.model_dump_json())
    described = yaml.safe_load((exported.folder / "rdf.yaml").read_text())
    assert described["name"] == "DnCNN denoiser for simulated"
    assert (
        described["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["network"]
        == NETWORKS["dncnn"].small_settings
    )


@pytest.mark.parametrize(("fit", "denoised"), [("none", 31.25), ("image", 31.25), ("image", 19.5)])
def test_the_readme_gives_the_measured_numbers(run, out, fit, denoised):
    """Raw scores only where noisy and clean images share a scale; that a model does not beat its input comes first."""
    psnr = {"noisy": 20, "start": 25, "denoised": denoised}
    score = {name: Score(psnr=value, psnr_std=0.1, ssim=0.5, ssim_std=0.01) for name, value in psnr.items()}
    scores = {each: Scores(convention=each, data_range=255, images=7, **score) for each in ("raw", "affine")}
    scored = run.provenance.model_copy(
        update={
            "scores": scores,
            "intensity_fit": replace(run.provenance.intensity_fit, mode=fit),
            "trust": Believed(
                verdict="amber", images={"a": "amber"}, sentence="Judged: of 1 image 1 amber; a: amber: x"
            ),
        }
    )
    before = (run.folder / "provenance.json").read_text()
    run.write_provenance(scored)
    try:
        exported = export(run, out=out)
    finally:
        (run.folder / "provenance.json").write_text(before)
    readme = (exported.folder / "README.md").read_text()
    told = "7 test images that the training never saw, data range 255, convention "
    assert f"{told}affine" in readme
    assert (f"{told}raw:" in readme) == (fit == "none")
    assert f"| denoised | {denoised:.2f} ± 0.10 | 0.5000 ± 0.0100 |" in readme
    assert "\n\nJudged: of 1 image 1 amber; a: amber: x. Of your own images, `bmz-fmd trust PACKAGE" in readme
    description = readme[: readme.index("## Intended Use")]
    assert ("does NOT beat its noisy input" in description) == (denoised < 20)
    assert readme.count("does NOT beat") == (denoised < 20)
    assert ("the same image with less noise" in readme) == (denoised >= 20)


@pytest.mark.parametrize("spdx", ["MIT", None])
def test_the_checkpoints_licence_and_origin_travel_along(run, out, spdx):
    began = Origin(
        name="drunet", sha256="ab" * 32, licence="Words of its own", spdx=spdx, source="https://example.org/w"
    )
    before = (run.folder / "provenance.json").read_text()
    run.write_provenance(run.provenance.model_copy(update={"checkpoint": began}))
    try:
        exported = export(run, out=out)
    finally:
        (run.folder / "provenance.json").write_text(before)
    described = yaml.safe_load((exported.folder / "rdf.yaml").read_text())
    assert described.get("license") == spdx
    assert (exported.folder / "LICENSE").exists() == (spdx is None)
    assert "https://example.org/w" in (exported.folder / "README.md").read_text()
    assert not [what for what in exported.missing if "licence" in what]


def test_a_second_export_replaces_the_first(run, out):
    first = export(run, out=out)
    stood = (first.folder / "rdf.yaml").read_text()
    export(run, out=out, about=About(title="A second one"))
    assert "A second one" in (first.folder / "rdf.yaml").read_text() and "A second one" not in stood
    assert sorted(path.name for path in out.iterdir()) == ["yeast", "yeast.zip"]


def test_a_package_that_was_edited_by_hand_is_not_replaced(run, out):
    first = export(run, out=out)
    readme = first.folder / "README.md"
    readme.write_text(readme.read_text() + "Ask Ada before you use this.\n")
    with pytest.raises(UserError, match=r"README\.md: edited since it was exported"):
        export(run, out=out)
    assert "Ada" in readme.read_text()


def test_what_becomes_public_is_told_before_anything_is_written(run, out):
    told = []
    export(run, out=out, log=lambda line: told.append((line, out.exists() and any(out.iterdir()))))
    assert [(line.partition(":")[0], stood) for line, stood in told] == [("Public from now on, as its example", False)]


def fail(folder):
    raise UserError("the check says no")


def interrupt(folder):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("certify", "error"), [(fail, UserError), (interrupt, KeyboardInterrupt)])
def test_an_export_that_does_not_finish_leaves_what_was_there(run, out, certify, error):
    export(run, out=out)
    before = snapshot(out)
    with pytest.raises(error):
        export(run, out=out, certify=certify)
    assert snapshot(out) == before


@pytest.mark.parametrize("again", [True, False])
def test_a_zip_that_cannot_be_put_in_place_takes_its_folder_back(run, out, again):
    stood = again and snapshot(export(run, out=out).folder)

    def certify(folder):
        (out / "yeast.zip").unlink(missing_ok=True)
        (out / "yeast.zip").mkdir()
        return Addition()

    with pytest.raises(UserError, match="cannot be written"):
        export(run, out=out, about=About(title="A second one"), certify=certify)
    assert sorted(path.name for path in out.iterdir()) == ["yeast"] * again + ["yeast.zip"]
    assert not again or snapshot(out / "yeast") == stood


def test_only_what_fails_while_writing_is_told_as_a_disk_without_room(run, out):
    def certify(folder):
        raise FileNotFoundError(2, "No such file or directory", "fiji")

    with pytest.raises(FileNotFoundError, match="fiji"):
        export(run, out=out, certify=certify)
    out.rmdir()
    out.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"yeast: cannot be written .*; make room there"):
        export(run, out=out)


def test_the_first_export_that_does_not_finish_leaves_nothing(run, out):
    with pytest.raises(UserError, match="says no"):
        export(run, out=out, certify=fail)
    assert not list(out.iterdir())


def test_a_killed_export_is_cleared_up_by_the_next(run, out):
    first = export(run, out=out)
    before = snapshot(out)
    dead = out / f".yeast.{IN_NAME}.4194303.part"  # above the largest process id there is
    dead.mkdir()
    first.folder.rename(dead / "previous")
    with pytest.raises(UserError):
        export(run, out=out, certify=fail)
    assert snapshot(out) == before


def test_an_export_that_was_killed_before_its_zip_was_in_place_is_finished_by_the_next(run, out):
    first = export(run, out=out)
    whole = first.archive.read_bytes()
    dead = out / f".yeast.{IN_NAME}.4194303.part"
    (dead / "previous").mkdir(parents=True)
    first.archive.rename(dead / "yeast.zip")
    first.archive.write_bytes(b"of the package before")
    with pytest.raises(UserError):
        export(run, out=out, certify=fail)
    assert first.archive.read_bytes() == whole
    assert not dead.exists()


def test_an_export_that_runs_beside_is_left_alone(run, out):
    other = out / f".yeast.{IN_NAME}.{os.getppid()}.part"
    other.mkdir(parents=True)
    export(run, out=out)
    assert other.is_dir()


def test_what_the_check_finds_is_added_before_the_package_is_put_in_place(run, out):
    def certify(folder):
        assert not (out / "yeast").exists()
        assert (folder / "rdf.yaml").is_file() and (folder / "weights.pt").is_file()
        (folder / "certificate.json").write_text("{}")
        return Addition(("certificate.json",), "## Certificate\n\nThe same pixels.")

    exported = export(run, out=out, certify=certify)
    with zipfile.ZipFile(exported.archive) as archive:
        assert "certificate.json" in archive.namelist()
        assert "certificate.json" in archive.read("rdf.yaml").decode()
        assert "The same pixels." in archive.read("README.md").decode()


@pytest.mark.parametrize("there", ["folder", "zip", "file", "link"])
def test_what_is_not_ours_is_never_replaced(run, out, tmp_path, there):
    out.mkdir()
    if there == "folder":
        (out / "yeast").mkdir()
        (out / "yeast" / "rdf.yaml").write_text("format_version: 0.5.4\n")
    elif there == "zip":
        with zipfile.ZipFile(out / "yeast.zip", "w") as archive:
            archive.writestr("rdf.yaml", "format_version: 0.5.4\n")
    elif there == "file":
        (out / "yeast").write_text("notes")
    else:
        (tmp_path / "elsewhere").mkdir()
        (out / "yeast").symlink_to(tmp_path / "elsewhere")
    before = snapshot(out)
    with pytest.raises(UserError, match="is no package that bmz-fmd wrote, so it stays"):
        export(run, out=out)
    assert snapshot(out) == before


def test_a_file_of_hers_in_the_package_is_never_lost(run, out):
    exported = export(run, out=out)
    (exported.folder / "notes.txt").write_text("mine")
    before = snapshot(out)
    with pytest.raises(UserError, match=r"notes\.txt: not part of the package that would be replaced"):
        export(run, out=out)
    assert snapshot(out) == before


def test_a_name_that_leaves_the_folder_is_refused(run, out):
    with pytest.raises(UserError, match="`name`"):
        export(run, out=out, name="../elsewhere")
    assert not out.exists()


def test_the_example_is_a_test_image_or_the_one_she_names(run, out, tmp_path):
    name = run.dataset().test[0].name
    assert export(run, out=out).example == f"test image {name}"
    hers = np.random.default_rng(0).integers(90, 200, (3, 70, 81)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "hers.tif", hers, imagej=True, metadata={"axes": "TYX"})
    exported = export(run, out=out, example=tmp_path / "hers.tif")
    assert exported.example == "hers.tif"
    assert np.array_equal(tifffile.imread(exported.folder / "sample_input.tif"), hers[0])


def test_a_run_that_was_cut_off_before_its_best_weights_were_scored_is_refused(tmp_path, out):
    cut_off = open_run(small_run(tmp_path / "cut"))
    cut_off.write_provenance(cut_off.provenance.model_copy(update={"scored": False}))
    with pytest.raises(UserError, match=r"cut off .* bmz-fmd train `resume` `name` cut") as refused:
        export(cut_off, out=out)
    assert str(refused.value).startswith(f"{cut_off.folder}: ")
    assert not out.exists()


def test_a_run_that_was_never_trained_is_refused(tmp_path, out):
    folder = small_run(tmp_path / "new")
    (folder / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"best\.ckpt"):
        export(open_run(folder), out=out)
    assert not out.exists() or not list(out.iterdir())
