"""Packages by address, DOI and name: fetched from a server on loopback, within limits, and kept with their hashes."""

import json

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd
from helpers.small_package import describe
from helpers.web import broken_off, dripping, endless, serving, whole

import bmz_fmd as library
from bmz_export import remote
from bmz_export.package.archive import open_package, write_zip
from bmz_export.remote import fetch_package
from training.errors import UserError


@pytest.fixture
def served():
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packages"


@pytest.fixture
def zoo(served, sound, monkeypatch):
    """The zoo's and Zenodo's addresses, on loopback; the zoo holds one model."""
    monkeypatch.setattr(remote, "ZOO", f"{served.address}/zoo/{{name}}/files/rdf.yaml")
    monkeypatch.setattr(remote, "ZENODO", f"{served.address}/api/records/{{number}}")
    served.folder("/zoo/kind-cat/files", sound)
    return served


def refusal(source):
    with pytest.raises(UserError) as raised:
        fetch_package(source)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("source", ["packages/mine.zip", "mine", "runs/one", "bioimage.io.zip"])
def test_a_path_is_returned_as_it_is(source):
    assert str(fetch_package(source)) == source


def test_a_zip_is_fetched_once_and_again_where_the_cache_was_changed(served, sound, tmp_path):
    served["/a/mine.zip"] = write_zip(sound, tmp_path / "mine.zip").read_bytes()
    fetched = fetch_package(f"{served.address}/a/mine.zip")
    assert fetched.name == "mine.zip" and fetched.read_bytes() == served["/a/mine.zip"]
    notes = []
    from training.util.progress import Listener

    assert fetch_package(f"{served.address}/a/mine.zip", Listener(note=notes.append)) == fetched
    assert len(served.asked) == 1 and "delete" in notes[0]
    fetched.write_bytes(b"changed")
    assert fetch_package(f"{served.address}/a/mine.zip").read_bytes() == served["/a/mine.zip"]


@pytest.mark.parametrize(
    "source",
    [
        "bioimage.io/kind-cat",
        "https://bioimage.io/#/artifacts/kind-cat",
        "https://bioimage.io/#/r/bioimage-io%2Fkind-cat",
        "bioimage.io/bioimage-io/kind-cat",
    ],
)
def test_a_model_of_the_zoo_is_fetched_file_by_file(zoo, sound, source):
    fetched = fetch_package(source)
    named = {file.source for _, file in _description(sound).files()}
    assert {path.relative_to(fetched).as_posix() for path in fetched.rglob("*.*")} == {"rdf.yaml", *named}
    assert all((fetched / name).read_bytes() == (sound / name).read_bytes() for name in ("rdf.yaml", *named))


def _description(folder):
    with open_package(folder) as package:
        return package.description


def test_a_version_is_asked_for_with_every_file(zoo, sound):
    for path in [path for path in zoo if path.startswith("/zoo")]:
        zoo[f"{path}?version=1.2"] = zoo.pop(path)
    fetch_package("bioimage.io/kind-cat/1.2")
    assert all(path.endswith("?version=1.2") for path in zoo.asked)


@pytest.mark.parametrize(
    "source", ["10.5281/zenodo.77", "https://doi.org/10.5281/zenodo.77", "https://zenodo.org/records/77"]
)
@pytest.mark.parametrize("layout", ["files", "zip"])
def test_a_record_of_zenodo(zoo, sound, tmp_path, source, layout):
    if layout == "zip":
        write_zip(sound, tmp_path / "them" / "mine.zip")
    files = tmp_path / "them" if layout == "zip" else sound
    zoo.folder("/records/77", files)
    links = [{"key": path.name, "links": {"self": f"{zoo.address}/records/77/{path.name}"}} for path in files.iterdir()]
    zoo["/api/records/77"] = json.dumps({"files": links}).encode()
    fetched = fetch_package(source)
    with open_package(fetched) as package, open_package(sound) as known:
        assert package.description.name == known.description.name
        assert all(package.file(file.source) for _, file in package.description.files())
    assert sorted(path.name for path in fetched.parent.iterdir()) == sorted([fetched.name, "fetched.json"])


def test_what_is_fetched_is_judged_and_run_as_any_package(zoo, sound):
    certificate = library.check("bioimage.io/kind-cat", rules_only=True)
    assert certificate.hashes == library.check(sound, rules_only=True).hashes
    ended = bmz_fmd("check", f"{zoo.address}/zoo/kind-cat/files/rdf.yaml", "--rules-only")
    assert ended.code == 0, ended.err
    assert library.load("bioimage.io/kind-cat").name == "bioimage-io-kind-cat"


def test_denoise_and_trust_take_what_is_elsewhere(zoo, sound, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", np.random.default_rng(0).integers(80, 200, (64, 64)).astype(np.uint16))
    address = f"{zoo.address}/zoo/kind-cat/files/rdf.yaml"
    ended = bmz_fmd("denoise", tmp_path / "cells.tif", "--model", address, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    here = library.denoise(tmp_path / "cells.tif", sound)
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "cells.tif"), np.rint(here.values).astype(np.uint16))
    ended = bmz_fmd("trust", f"{zoo.address}/nothing.zip", tmp_path / "cells.tif")
    assert ended.code == 2 and "could not be fetched (404" in ended.message


def test_a_file_that_is_named_in_vain_is_left_to_the_judgement(zoo, tmp_path):
    del zoo["/zoo/kind-cat/files/cover.png"]
    ended = bmz_fmd("check", "bioimage.io/kind-cat", "--rules-only")
    assert "cover.png" in ended.out


def test_files_outside_of_the_folder_are_never_asked_for(zoo, spoiled):
    def outwards(raw):
        names = ("../../hostile", "/hostile", "http://127.0.0.1:9/hostile", "a\\hostile")
        raw["attachments"] = [{"source": name} for name in names]

    zoo.folder("/zoo/kind-cat/files", describe(spoiled, outwards))
    fetch_package("bioimage.io/kind-cat")
    assert not any("hostile" in path for path in zoo.asked)


def test_a_file_that_is_not_as_stated_is_refused(zoo, cache):
    zoo["/zoo/kind-cat/files/weights.pt"] = b"other weights"
    assert "weights.pt is not the file whose sha256 rdf.yaml states" in refusal("bioimage.io/kind-cat")
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "could not be fetched (404 Client Error: Not Found"),
        (broken_off(b"0" * 100_000), "the connection broke off"),
        (endless, "larger than 0.001 GB; BMZ_FMD_FETCH_GB states another limit"),
        (dripping, "took longer than 0.003 minutes; BMZ_FMD_FETCH_MINUTES states another limit"),
        (b"<!DOCTYPE html><title>Log in</title>", "neither a zip nor an rdf.yaml, so it is no model package"),
        (b"type: dataset\nname: no model\n", "describes no model"),
        (b"", "neither a zip nor an rdf.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(served, cache, monkeypatch, content, cause):
    monkeypatch.setenv("BMZ_FMD_FETCH_GB", "0.001")
    monkeypatch.setenv("BMZ_FMD_FETCH_MINUTES", "0.003" if content is dripping else "1")
    if content is not None:
        served["/mine.zip"] = content
    assert cause in refusal(f"{served.address}/mine.zip")
    assert not list(cache.iterdir())


def test_a_size_that_is_stated_as_no_number_is_passed_over(served, sound, tmp_path):
    content = write_zip(sound, tmp_path / "mine.zip").read_bytes()
    served["/mine.zip"] = lambda handler: whole(handler, content, "lots")
    assert fetch_package(f"{served.address}/mine.zip").read_bytes() == content


def test_a_size_that_is_stated_too_large_is_not_fetched(served, monkeypatch):
    monkeypatch.setenv("BMZ_FMD_FETCH_GB", "0.0001")
    served["/mine.zip"] = b"0" * 200_000
    assert "larger than 0.0001 GB" in refusal(f"{served.address}/mine.zip")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("http://127.0.0.1:9/mine.zip", "no connection"),
        ("10.1038/s41592-018-0216-7", "only DOIs of Zenodo are looked up"),
    ],
)
def test_an_address_that_leads_nowhere(source, cause):
    ended = bmz_fmd("check", source)
    assert ended.code == 2 and cause in ended.message


def test_a_limit_that_is_no_number(monkeypatch, served):
    monkeypatch.setenv("BMZ_FMD_FETCH_GB", "lots")
    assert "BMZ_FMD_FETCH_GB=lots: write a number above 0" in refusal(f"{served.address}/mine.zip")


def test_a_cache_that_cannot_be_written(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "file"))
    assert "cannot be written" in refusal(f"{served.address}/mine.zip")
