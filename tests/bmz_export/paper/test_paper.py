"""What a paper says of a run: true to the provenance, whatever the method, and never over somebody's changes."""

import json
import re
from pathlib import Path

import pytest
from helpers.command_line import bmz_fmd
from helpers.small_run import small_run
from packaging.requirements import Requirement
from packaging.version import Version

import bmz_fmd as interface
from bmz_export.paper.environment import base_image, locked
from bmz_export.paper.references import SOFTWARE, References
from training.data.sets import DATASETS
from training.methods import METHODS
from training.networks import NETWORKS
from training.runs.provenance import Believed, Provenance, Risk, Score, Scores
from training.runs.run import open_run

OLD = Path(__file__).parents[2] / "data" / "version_0_1"
INSTRUCTIONS = ("FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD")
SCORED = Scores(
    convention="affine",
    data_range=4095,
    images=3,
    noisy=Score(psnr=24.125, psnr_std=1, ssim=0.5, ssim_std=0.1),
    start=Score(psnr=26, psnr_std=1, ssim=0.6, ssim_std=0.1),
    denoised=Score(psnr=31.379, psnr_std=1, ssim=0.8125, ssim_std=0.1),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "cells")


def told(run, out, **changes):
    """Return the paragraph of a run whose provenance is changed."""
    before = open_run(run).provenance.model_dump(mode="json")
    altered = Provenance.model_validate(before | changes)
    (run / "provenance.json").write_text(altered.model_dump_json())
    try:
        return interface.methods(run, out=out).paragraph
    finally:
        (run / "provenance.json").write_text(json.dumps(before))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_told_with_its_papers(run, tmp_path, method):
    needs = METHODS[method].needs
    text = told(
        run,
        tmp_path,
        method=method,
        clean="taught" if needs.clean else "none",
        epochs=7 if needs.training else 0,
        best_epoch=5 if needs.training else 0,
        risk=None if needs.clean or not needs.training else Risk(start=1.5, best=0.75),
        expected_error=None if needs.training else 0.125,
    )
    assert "{" not in text and "  " not in text and " ." not in text and "None" not in text
    assert ("for 7 epochs" in text) == needs.training
    assert ("No clean image was available" in text) == (not needs.clean)
    if needs.training:
        assert METHODS[method].learns in text
    else:
        assert "learned nothing" in text and "12 % of the noise's variance" in text
    listed = (tmp_path / "methods.md").read_text()
    assert all(paper.split(" doi:")[0] in listed for paper in METHODS[method].papers)


def test_figures_are_those_of_the_provenance(run, tmp_path):
    trust = Believed(verdict="red", images={"a": "green", "b": "red", "c": "green"}, sentence="as it is")
    text = told(run, tmp_path, epochs=3, best_epoch=2, scores={"affine": SCORED}, trust=trust, seed=11)
    provenance = open_run(run).provenance
    counts = [len(provenance.data.splits[part]) for part in ("train", "validation", "test")]
    assert "{} images for training, {} for validation and {} for the test".format(*counts) in text
    assert "31.38 ± 1.00 dB and 0.812 ± 0.100 denoised and 24.12 ± 1.00 dB" in text
    assert "convention affine" in text and "peak of 4095" in text
    assert "seed of every random choice was 11" in text
    assert "3 test images were 2 green, 1 red" in text
    assert "does not do better" not in text and "depth 3, width 4" in text
    checklist = (tmp_path / "checklist.md").read_text()
    assert "PSNR 31.38 dB (noisy 24.12 dB), 3 images" in checklist
    assert "- [ ] Specimen and staining: TO FILL" in checklist


def test_a_run_whose_validation_images_taught_too_says_that_no_epoch_was_chosen(run, tmp_path):
    recipe = open_run(run).provenance.recipe.model_dump(mode="json")
    text = told(run, tmp_path, epochs=3, best_epoch=3, recipe={**recipe, "validation": False})
    assert "The weights of the last epoch were kept; no epoch was chosen." in text
    assert "validation" not in text
    assert "none and" in (tmp_path / "checklist.md").read_text()


def test_a_run_that_was_cut_off_is_told_without_scores(run, tmp_path):
    text = told(run, tmp_path, epochs=3, best_epoch=2, scores={"affine": SCORED}, scored=False)
    assert "not finished" in text and "31.38" not in text
    assert "[ ] Scores on test images: TO FILL" in (tmp_path / "checklist.md").read_text()


def test_a_package_tells_the_same_as_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_run = interface.methods(OLD / "run", out="by_run").paragraph
    ended = bmz_fmd("methods", OLD / "package.zip")
    assert ended.code == 0, ended.err
    assert " ".join(ended.out.split()) == by_run
    assert (tmp_path / "package-methods" / "Containerfile").is_file()


def test_the_lock_holds_the_recorded_versions_and_no_builds_of_other_indexes(run, tmp_path):
    versions = {"python": "3.12.1", "bmz-fmd": "0.1.0", "torch": "2.15.0+cpu", "numpy": "2.4.6"}
    told(run, tmp_path, versions=versions)
    lines = [line for line in (tmp_path / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert lines == locked(versions)
    found = {requirement.name: requirement for requirement in map(Requirement, lines)}
    assert set(found) == set(versions) - {"python"}
    for name, requirement in found.items():
        assert str(requirement.specifier) == f"=={Version(versions[name]).public}"


def test_the_container_is_of_plain_instructions_with_the_same_versions(run, tmp_path):
    versions = {"python": "3.12.1", "bmz-fmd": "0.1.0", "torch": "2.15.0"}
    told(run, tmp_path, versions=versions)
    text = (tmp_path / "Containerfile").read_text()
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", "")
    steps = [line.split(maxsplit=1) for line in plain.splitlines()]
    assert [step for step, _ in steps] == list(INSTRUCTIONS)
    said = dict(steps)
    assert said["FROM"] == base_image(versions) == "docker.io/library/python:3.12.1-slim"
    assert re.findall(r'"([^"]+)"', said["RUN"]) == locked(versions)
    assert json.loads(said["ENTRYPOINT"]) == ["bmz-fmd"]
    assert json.loads(said["CMD"])[0] == "denoise"
    assert str(run) not in text


def test_an_earlier_result_is_replaced_and_a_changed_file_is_not(run, tmp_path):
    assert interface.methods(run, out=tmp_path).folder == tmp_path
    interface.methods(run, out=tmp_path)
    checklist = tmp_path / "checklist.md"
    checklist.write_text(checklist.read_text().replace("[ ] Specimen and staining: TO FILL", "[x] U2OS cells"))
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    ended = bmz_fmd("methods", run, "--out", tmp_path)
    assert ended.code == 2
    assert "checklist.md was changed since, or is not of this program: it is not replaced" in ended.message
    assert "--out" in ended.message
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == kept


def test_what_is_no_run_and_does_not_say_how_it_was_made_is_one_line(tmp_path):
    for words, message in (((tmp_path,), "neither a run"), ((tmp_path / "none",), "does not exist")):
        ended = bmz_fmd("methods", *words)
        assert ended.code == 2
        assert message in ended.message


def published_texts():
    sets = {found.published for found in DATASETS.values() if isinstance(found, type) and hasattr(found, "published")}
    yield from (f"{entry.citation} doi:{entry.doi}" for entry in sets)
    yield from (network.paper for network in NETWORKS.values())
    yield from (paper for method in METHODS.values() for paper in method.papers)
    yield from SOFTWARE.values()


def test_everything_that_is_cited_becomes_an_entry_with_authors_a_title_and_a_place():
    cite = References()
    texts = sorted(set(published_texts()))
    cite(*texts)
    entries = cite.bibtex().split("\n\n")
    assert len(entries) == len(texts)
    assert len(set(re.findall(r"@misc{(.+),", cite.bibtex()))) == len(texts)
    for entry, text in zip(entries, texts, strict=True):
        assert "author = " in entry, text
        assert entry.count("{") == entry.count("}")
        assert ("doi = " in entry) == ("doi:" in text)
        if "year" in entry:
            assert int(re.search(r"year = {(\d+)}", entry)[1]) >= 2007, text


def test_a_text_in_no_known_order_is_a_title():
    cite = References()
    assert cite("some notes on cells & 5 % of noise", None) == " [1]"
    assert r"title = {{some notes on cells \& 5 \% of noise}}" in cite.bibtex()
