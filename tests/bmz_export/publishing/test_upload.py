"""A package into a zoo: a real Hypha server on loopback takes it, loses it, refuses it."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.command_line import bmz_fmd
from helpers.hypha import REVIEWER, ZOO, running
from helpers.small_package import describe

from bmz_export.package.archive import open_package

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def hypha(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hypha")) as server:
        yield server


@pytest.fixture
def ada(hypha, monkeypatch, tmp_path):
    """Run ``bmz-fmd upload`` with the token of somebody who owns no zoo; ``user`` names another."""
    hypha.relay.stop_after(None)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login nobody password nothing\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # which requests prefers to a header

    def upload(*words, user="ada", collection=ZOO, server=None):
        monkeypatch.setenv("HYPHA_TOKEN", hypha.tokens.get(user, user))
        ended = bmz_fmd("upload", *words, "--server", server or hypha.address, "--collection", collection)
        assert "eyJ" not in ended.out + ended.err  # how each token begins
        return ended

    return upload


def files_of(package):
    with open_package(package) as opened:
        names = ["rdf.yaml", *(file.source for _, file in opened.description.files())]
        return {name: (opened.folder / name).read_bytes() for name in names}


def record_of(package):
    return json.loads(package.with_name("mine.upload.json").read_text())


def test_without_really_nothing_leaves_the_machine(package):
    ended = bmz_fmd("upload", package, "--server", NOWHERE)
    assert ended.code == 0, ended.out + ended.err
    assert all(name in ended.out for name in files_of(package))
    assert f"{(package / 'weights.pt').stat().st_size:,}" in ended.out
    assert "Nothing was uploaded" in ended.out and "of all fields are set" in ended.out
    assert "github_user" in ended.out
    assert not package.with_name("mine.upload.json").exists()


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_package_is_staged_byte_for_byte_and_waits_for_its_review(ada, hypha, package, kind):
    ended = ada(package if kind == "folder" else package.with_suffix(".zip"), "--really")
    assert ended.code == 0, ended.err
    assert "in-review" in ended.out
    artifact = record_of(package)["artifact"]
    assert hypha.files(artifact) == files_of(package)
    found = hypha.call(REVIEWER, "read", artifact_id=artifact, stage=True)
    assert found["versions"] == [] and found["manifest"]["status"] == "in-review"
    assert found["manifest"]["id"] == artifact.split("/")[1] and found["manifest"]["name"]
    assert found["config"]["permissions"][REVIEWER] == "rw+"
    weights = {entry["path"]: entry.get("download_weight") for entry in found["staging"] if "path" in entry}
    assert weights["weights.pt"] == 1 and weights["README.md"] is None
    assert f"{artifact}: in-review, {len(files_of(package))} files" in ada(package, "--status").out
    assert hypha.tokens["ada"] not in package.with_name("mine.upload.json").read_text()


def test_what_is_withdrawn_is_gone_and_may_come_again(ada, hypha, package):
    ada(package, "--really")
    artifact = record_of(package)["artifact"]
    assert "withdrawn" in ada(package, "--withdraw").out
    assert hypha.call(REVIEWER, "read", artifact_id=artifact, stage=True)["staging"] is None
    assert "no upload of it was begun here" in ada(package, "--status").message
    assert ada(package, "--really").code == 0
    assert record_of(package)["artifact"] != artifact


def test_killed_in_the_middle_of_a_file_it_goes_on_where_it_was(ada, hypha, package):
    (package / "large.bin").write_bytes(np.random.default_rng(0).bytes(6_000_000))
    (package / "later.txt").write_text("after the large one")
    describe(package, lambda raw: raw["attachments"].extend([{"source": "large.bin"}, {"source": "later.txt"}]))
    hypha.relay.stop_after(3_000_000)
    command = [sys.executable, "-m", "bmz_fmd", "upload", package, "--really", "--server", hypha.address]
    with subprocess.Popen(
        command, env={**os.environ, "HYPHA_TOKEN": hypha.tokens["ada"]}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert hypha.relay.reached.wait(300)
        child.kill()
    before = record_of(package)
    assert "weights.pt" in before["sent"] and "large.bin" not in before["sent"]
    hypha.relay.stop_after(None)
    assert "draft" in ada(package, "--status").out
    begun = hypha.relay.passed
    ended = ada(package, "--really")
    assert ended.code == 0, ended.err
    assert record_of(package)["artifact"] == before["artifact"]
    assert hypha.files(before["artifact"]) == files_of(package)
    assert 6_000_000 < hypha.relay.passed - begun < 6_000_000 + 100_000  # the rest was not sent again


def test_a_file_that_changed_is_sent_again_and_one_that_went_is_removed(ada, hypha, package):
    (package / "notes.txt").write_text("one")
    describe(package, lambda raw: raw["attachments"].append({"source": "notes.txt"}))
    ada(package, "--really")
    (package / "notes.txt").write_text("two")
    describe(
        package,
        lambda raw: raw.update(attachments=[each for each in raw["attachments"] if "fiji" not in each["source"]]),
    )
    ended = ada(package, "--really")
    assert ended.code == 0, ended.err
    assert hypha.files(record_of(package)["artifact"]) == files_of(package)


def test_a_connection_that_is_lost_is_told_with_what_is_staged(ada, hypha, package):
    (package / "large.bin").write_bytes(bytes(2_000_000))
    describe(package, lambda raw: raw["attachments"].append({"source": "large.bin"}))
    hypha.relay.stop_after(1_000_000, hang_up=True)
    ended = ada(package, "--really")
    artifact = record_of(package)["artifact"]
    assert ended.code == 2
    (line,) = [line for line in ended.err.splitlines() if line.startswith("bmz-fmd:")]
    assert "no connection, or it broke off" in line and f"{artifact} is staged with" in line and "--withdraw" in line
    hypha.relay.stop_after(None)
    assert hypha.call(REVIEWER, "read", artifact_id=artifact, stage=True)["manifest"]["status"] == "draft"
    assert "withdrawn" in ada(package, "--withdraw").out


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"user": "late"}, "the token is wrong or has expired; make a new one at https://bioimage.io"),
        ({"user": "abc"}, "the token is wrong or has expired"),
        ({"user": "a b"}, "holds blanks"),
        ({"user": ""}, "there is no token for http://127.0.0.1"),
        ({"collection": "bioimage-io/nothing"}, "bioimage-io/nothing: http://127.0.0.1"),
        ({"server": NOWHERE}, "no connection"),
        ({"server": "http://example.org"}, "give an address that begins with https://"),
        ({"server": "hypha"}, "give an address that begins with https://"),
    ],
)  # fmt: skip
def test_what_is_refused_at_the_door_is_one_line_and_leaves_no_record(ada, package, options, cause):
    ended = ada(package, "--really", **options)
    assert ended.code == 2 and cause in ended.message
    assert not package.with_name("mine.upload.json").exists()


def test_a_name_that_exists_is_refused(ada, hypha, package, tmp_path):
    assert ada(package, "--really", "--name", "proud-heron").code == 0
    other = shutil.copytree(package, tmp_path / "other")
    ended = ada(other, "--really", "--name", "proud-heron", user="eve")
    assert ended.code == 2 and "bioimage-io/proud-heron: there is a model of that name" in ended.message
    assert not (tmp_path / "other.upload.json").exists()


def test_somebody_elses_model_is_left_as_it_is(ada, hypha, package):
    ada(package, "--really")
    artifact = record_of(package)["artifact"]
    before = hypha.files(artifact)
    (package / "README.md").write_text((package / "README.md").read_text() + "\nmore\n")
    for words in (("--really",), ("--withdraw",)):
        ended = ada(package, *words, user="eve")
        assert ended.code == 2
        assert f"{artifact}: it is somebody else's" in ended.err.splitlines()[-1]
    assert hypha.files(artifact) == before


def test_what_is_published_is_not_touched(ada, hypha, package):
    ada(package, "--really")
    hypha.call(REVIEWER, "commit", artifact_id=record_of(package)["artifact"], version="1.0")
    assert "published" in ada(package, "--status").out
    assert "is published; move" in ada(package, "--really").message
    assert "only the zoo's reviewers" in ada(package, "--withdraw").message
