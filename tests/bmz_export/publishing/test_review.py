"""What stands against an upload is found here, before anything is sent."""

import json
from typing import ClassVar

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd
from helpers.small_package import describe, rehash

import bmz_fmd as library
from bmz_export.publishing.server import read_token
from training.errors import UserError


def said(raw, **changes):
    raw.update(changes)


def without(*names):
    return lambda folder: describe(folder, lambda raw: [raw.pop(name) for name in names])


def empty(folder):
    shape = np.load(folder / "test_input.npy").shape
    np.save(folder / "test_input.npy", np.zeros(shape, np.float32))
    rehash(folder)


def empty_sample(folder):
    tifffile.imwrite(folder / "sample_input.tif", np.full((64, 64), 7, np.uint16), imagej=True)
    rehash(folder)


def other_weights(folder):
    with (folder / "weights.pt").open("ab") as stream:
        stream.write(b"\\0")
    rehash(folder)


def other_axes(folder):
    describe(folder, lambda raw: raw["inputs"][0]["axes"][2]["size"].update(min=128))


def failed(folder):
    found = json.loads((folder / "certificate.json").read_text())
    found["rows"][0]["verdict"] = "failed"
    (folder / "certificate.json").write_text(json.dumps(found))
    rehash(folder)


def without_engines(folder):
    found = json.loads((folder / "certificate.json").read_text())
    for row in found["rows"]:
        row["verdict"] = "not run"
    (folder / "certificate.json").write_text(json.dumps(found))
    rehash(folder)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda folder: describe(folder, lambda raw: said(raw, authors=[{"name": "Author to be filled in"}])),
         "rdf.yaml says 'name: Author to be filled in'"),
        (without("authors"), "there are no authors"),
        (without("cite"), "there is no citation"),
        (without("tags"), "there are no tags"),
        (without("covers"), "there is no cover"),
        (without("license"), "licen"),
        (lambda folder: describe(folder, lambda raw: said(raw, id="kind-cat")), "id is set"),
        (lambda folder: describe(folder, lambda raw: said(raw, status="accepted")), "status is set"),
        (lambda folder: (folder / "README.md").unlink(), "there is no README"),
        (empty, "test_input.npy shows nothing"),
        (empty_sample, "sample_input.tif shows nothing"),
        (lambda folder: (folder / "certificate.json").unlink(), "there is no certificate in it"),
        (other_weights, "its certificate is of other files: weights.pt"),
        (other_axes, "its certificate is of another description"),
        (failed, "its check failed"),
        (without_engines, "no engine ran when it was checked"),
    ],
)  # fmt: skip
def test_what_must_be_put_right_first(package, spoil, cause):
    spoil(package)
    ended = bmz_fmd("upload", package)
    assert ended.code == 1
    lines = [line for line in ended.out.splitlines() if line.startswith("to be put right first: ")]
    assert any(cause in line for line in lines), ended.out
    ended = bmz_fmd("upload", package, "--really")
    assert ended.code == 2 and "not uploaded" in ended.message


def test_sections_that_the_readme_lacks_will_be_asked_for(package):
    (package / "README.md").write_text("# A model\n\nIt takes noise away.\n")
    found = library.upload(package).review
    assert not found.refused and any("README.md has no section" in line for line in found.asked)


def test_a_certificate_may_lie_beside_the_package(package, tmp_path):
    (package / "certificate.json").rename(tmp_path / "mine.json")
    describe(package, lambda raw: raw.update(attachments=[]))
    assert bmz_fmd("upload", package).code == 1
    assert bmz_fmd("upload", package, "--certificate", tmp_path / "mine.json").code == 0


def test_what_rdf_yaml_does_not_name_is_left_out_and_said(package):
    (package / "scratch.txt").write_text("of nobody's interest")
    assert "left out, since rdf.yaml does not name it: scratch.txt" in bmz_fmd("upload", package).out


def test_reviewers_reach_an_author_by_a_github_name(package):
    assert any("github_user" in line for line in library.upload(package).review.asked)
    describe(package, lambda raw: raw["authors"][0].update(github_user="ada"))
    assert not any("no maintainer" in line for line in library.upload(package).review.asked)


def test_the_score_grows_with_what_is_told(package):
    before = library.upload(package).review.completeness
    describe(package, lambda raw: raw["authors"][0].update(affiliation="Engines", email="ada@example.org"))
    describe(package, lambda raw: raw.update(git_repo="https://example.org/repository"))
    assert 0 < before < library.upload(package).review.completeness < 1


@pytest.mark.parametrize("words", [("--really", "--status"), ("--status", "--withdraw")])
def test_one_thing_at_a_time(package, words):
    assert "choose one of --really, --status and --withdraw" in bmz_fmd("upload", package, *words).message


@pytest.mark.parametrize("words", [("--status",), ("--withdraw",)])
def test_without_an_upload_there_is_nothing_to_tell(package, words):
    assert "no upload of it was begun here" in bmz_fmd("upload", package, *words).message


def test_a_token_may_lie_in_a_keyring(monkeypatch):
    keyring = pytest.importorskip("keyring")

    class Memory(keyring.backend.KeyringBackend):
        priority = 1
        held: ClassVar = {("bmz-fmd", "https://hypha.aicell.io"): "kept"}

        def get_password(self, service, username):
            return self.held.get((service, username))

        def set_password(self, service, username, password):
            raise AssertionError("nothing is kept by us")

    before = keyring.get_keyring()
    monkeypatch.delenv("HYPHA_TOKEN", raising=False)
    keyring.set_keyring(Memory())
    try:
        assert read_token("https://hypha.aicell.io") == "kept"
        with pytest.raises(UserError, match="there is no token for"):
            read_token("https://example.org")
    finally:
        keyring.set_keyring(before)


def test_a_record_that_is_none_is_left_alone(package, monkeypatch):
    monkeypatch.setenv("HYPHA_TOKEN", "abc")
    package.with_name("mine.upload.json").write_text("notes")
    with pytest.raises(UserError, match="no record of an upload"):
        library.upload(package, really=True)
    assert package.with_name("mine.upload.json").read_text() == "notes"
