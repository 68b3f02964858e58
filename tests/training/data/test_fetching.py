"""Data sets fetched from a server on loopback: going on where a download broke off, a zip that stays in its folder."""

import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from helpers.web import broken_off, serving

from training.data.fetching import fetch
from training.data.sets.w2s import W2S
from training.errors import UserError


def zipped(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


@pytest.fixture
def server():
    with serving() as served:
        yield served


CONTENT = zipped(**{"raw/Image001/wf_channel0.npy": np.random.default_rng(0).bytes(200_000), "raw/readme.txt": "a"})


def published(server, **changes):
    return replace(W2S.published, download=f"{server.address}/W2S_raw.zip", **changes)


def test_it_lies_unpacked_and_the_zip_is_gone(server, tmp_path):
    server["/W2S_raw.zip"] = CONTENT
    fetch("w2s", published(server, sha256=hashlib.sha256(CONTENT).hexdigest()), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").rglob("*")) == [
        "Image001", "W2S_raw.zip.unpacked", "raw", "readme.txt", "wf_channel0.npy"
    ]  # fmt: skip
    assert (tmp_path / "new/raw/Image001/wf_channel0.npy").stat().st_size == 200_000
    server.clear()
    fetch("w2s", published(server), tmp_path / "new")  # there is nothing to ask the server for


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server, tmp_path, knows_ranges):
    asked = []

    def rest(handler):
        wanted = handler.headers.get("Range")
        asked.append(wanted)
        first = int(wanted[6:-1]) if knows_ranges else 0
        handler.send_response(206 if knows_ranges else 200)
        handler.send_header("Content-Length", str(len(CONTENT) - first))
        handler.end_headers()
        handler.wfile.write(CONTENT[first:])

    server["/W2S_raw.zip"] = broken_off(CONTENT)
    with pytest.raises(UserError, match="the connection broke off; run the same command again"):
        fetch("w2s", published(server), tmp_path)
    held = (tmp_path / "W2S_raw.zip.part").stat().st_size
    assert 0 < held < len(CONTENT)
    server["/W2S_raw.zip"] = rest
    fetch("w2s", published(server), tmp_path)
    assert asked == [f"bytes={held}-"]
    assert (tmp_path / "raw/readme.txt").read_text() == "a"
    assert [path.name for path in tmp_path.glob("W2S*")] == ["W2S_raw.zip.unpacked"]


def test_a_link_in_a_zip_is_refused(server, tmp_path):
    link = zipfile.ZipInfo("raw/link")
    link.external_attr = 0o120777 << 16
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(link, "/etc")
    server["/W2S_raw.zip"] = archive.getvalue()
    with pytest.raises(UserError, match="leads out of its folder"):
        fetch("w2s", published(server), tmp_path)


def test_what_came_is_not_what_was_published(server, tmp_path):
    server["/W2S_raw.zip"] = CONTENT
    with pytest.raises(UserError, match="its sha256 differs"):
        fetch("w2s", published(server, sha256="0" * 64), tmp_path / "a")
    server["/W2S_raw.zip"] = CONTENT[:-100]
    with pytest.raises(UserError, match="is damaged or no zip: delete it and fetch it anew"):
        fetch("w2s", published(server), tmp_path / "b")
    del server["/W2S_raw.zip"]
    with pytest.raises(UserError, match=r"could not be fetched \(404"):
        fetch("w2s", published(server), tmp_path / "c")


@pytest.mark.parametrize(
    "name", ["../out.txt", "/tmp/out.txt", "raw/../../out.txt", "C:\\out.txt", "raw\\..\\..\\out.txt"]
)
def test_a_zip_never_leads_out_of_its_folder(server, tmp_path, name):
    server["/W2S_raw.zip"] = zipped(**{"raw/a.txt": "a", name: "b"})
    with pytest.raises(UserError, match="leads out of its folder: nothing is unpacked"):
        fetch("w2s", published(server), tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()
    assert not (tmp_path / "in/raw").exists()
