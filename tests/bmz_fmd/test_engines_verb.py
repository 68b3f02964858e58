"""``bmz-fmd engines`` lists, installs whole or not at all, and removes; each failure is one line and exit code 2."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import bmz_fmd as typed
from helpers.small_disk import small_disk
from PIL import Image

from bmz_export.engines import ENGINES, Outcome, browser, java, maven, npm, viewer
from bmz_export.engines.cache import install_into
from training.errors import UserError
from training.evaluation.pictures import is_ours

JAVA = "onnxruntime-java-1.12.1"
LOCKED = (*java.JAVA_ENGINES, browser.BROWSER_ENGINE)
LOCK_OF = {java.JavaEngine: maven, browser.BrowserEngine: npm}


def bmz_fmd(*arguments, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-m", "bmz_fmd", *arguments],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200", **environment}, check=False,
    )  # fmt: skip


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    return path


def left_in(cache):
    return [path.name for path in (cache / "engines").iterdir()] if cache.exists() else []


def in_maven_cache(folder, jar, data):
    """Put a file where Maven keeps a jar."""
    group, artifact, version, *_ = jar.coordinate.split(":")
    path = folder.joinpath(*group.split("."), artifact, version, jar.filename)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def jar_of(data, name="org.example:thing:1.0"):
    return maven.Jar(name, hashlib.sha256(data).hexdigest(), len(data))


def test_lists_every_engine_with_the_command_that_installs_it(cache):
    done = bmz_fmd("engines", BMZ_FMD_CACHE=str(cache))
    assert done.returncode == 0
    for name in ENGINES:
        assert name in done.stdout
    assert f"bmz-fmd engines install {JAVA}" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if line.startswith(("engine", *ENGINES)))


def test_an_unknown_name_is_a_line(cache):
    done = bmz_fmd("engines", "install", "libtorch-9", BMZ_FMD_CACHE=str(cache))
    assert done.returncode == 2
    assert done.stderr.startswith("bmz-fmd: there is no engine 'libtorch-9': choose from libtorch-1.13.1")
    assert done.stderr.count("\n") == 1


def test_an_engine_that_is_not_installed_does_not_run_and_says_so(cache, tmp_path):
    from bmz_export.engines import Job

    outcome = ENGINES[JAVA].run(Job(tmp_path, "onnx", tmp_path / "weights.onnx", ()))
    assert f"engines install {JAVA}" in outcome.skipped
    assert outcome.error is None


def test_removing_what_is_not_there_is_no_error(cache):
    done = bmz_fmd("engines", "remove", "all", BMZ_FMD_CACHE=str(cache))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.engine
def test_an_engine_is_installed_whole_and_removed_whole(cache):
    pytest.importorskip("jpype")
    try:
        ENGINES[JAVA].install()
    except UserError as error:
        pytest.skip(f"{JAVA} cannot be installed here: {error}")
    assert ENGINES[JAVA].installed()
    assert left_in(cache) == [ENGINES[JAVA].folder.name]
    assert ENGINES[JAVA].remove() > 10_000_000
    assert left_in(cache) == []


def test_an_interrupted_installation_leaves_nothing(cache, monkeypatch):
    pytest.importorskip("jpype")

    def interrupted(jar, folder, advance):
        (folder / jar.filename).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(maven, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ENGINES[JAVA].install()
    assert left_in(cache) == []
    assert not ENGINES[JAVA].installed()


@pytest.mark.parametrize("fetched", ["a jar", "what is unpacked"])
def test_a_full_disk_is_a_line_and_leaves_nothing(tmp_path, monkeypatch, fetched):
    pytest.importorskip("jpype")

    def write(jar, folder, advance):
        (folder / jar.filename).write_bytes(bytes(2**20 if fetched == "a jar" else 10))

    def unpack(runtime, job, options):
        return Outcome(error="java.io.IOException: No space left on device")

    monkeypatch.setattr(maven, "fetch", write)
    monkeypatch.setattr(java, "run_worker", unpack)
    with small_disk(tmp_path / "cache", 64) as disk:
        monkeypatch.setenv("BMZ_FMD_CACHE", str(disk))
        ended = typed("engines", "install", JAVA)
        assert ended.code == 2
        assert f"{JAVA}-" in ended.err and "the disk is full" in ended.err and "make room" in ended.err
        assert left_in(disk) == []


def test_two_that_install_at_once_install_once(cache):
    target, written = cache / "engines" / "one", []

    def write(folder):
        written.append(folder)
        started.set()
        more.wait(60)
        (folder / "file").write_bytes(b"content")

    started, more, said = threading.Event(), threading.Event(), []
    first = threading.Thread(target=install_into, args=(target, write))
    first.start()
    started.wait(60)

    def waiting(what, done, total):
        said.append(what)
        more.set()

    install_into(target, write, waiting)
    first.join()
    assert said == ["waiting for another installation"]
    assert len(written) == 1 and left_in(cache) == ["one"]


def test_a_jar_comes_from_mavens_own_cache_where_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    jar = jar_of(b"content")
    in_maven_cache(tmp_path / "m2", jar, b"content")
    seen = []
    assert maven.fetch(jar, tmp_path, seen.append).read_bytes() == b"content"
    assert seen == [7]


def test_another_file_than_the_pinned_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    jar = jar_of(b"content")
    (tmp_path / "came").write_bytes(b"another")
    monkeypatch.setattr(maven, "_download", lambda *_: tmp_path / "came")
    with pytest.raises(UserError, match="not the file that was pinned"):
        maven.fetch(jar, tmp_path, lambda _: None)
    assert not (tmp_path / jar.filename).exists()


def test_without_a_network_the_way_out_is_named(tmp_path, monkeypatch):
    pytest.importorskip("jgo")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        "<settings xmlns='http://maven.apache.org/SETTINGS/1.0.0'><mirrors><mirror><id>m</id>"
        "<mirrorOf>*</mirrorOf><url>http://127.0.0.1:9/none</url></mirror></mirrors></settings>"
    )
    with pytest.raises(UserError, match=r"settings\.xml"):
        maven.fetch(jar_of(b"content"), tmp_path, lambda _: None)


def test_java_too_old_or_missing_is_told(cache, tmp_path, monkeypatch):
    pytest.importorskip("jpype")
    home = tmp_path / "java8"
    (home / "lib/server").mkdir(parents=True)
    (home / "lib/server/libjvm.so").touch()
    (home / "release").write_text('JAVA_VERSION="1.8.0_392"\n')
    monkeypatch.setattr(java, "_java_homes", lambda: iter([home]))
    with pytest.raises(UserError, match="Java 11 or newer"):
        ENGINES[JAVA].install()
    (home / "release").write_text('JAVA_VERSION="21.0.1"\n')
    assert java.java_library() == home / "lib/server/libjvm.so"


def test_npm_missing_or_failing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"Node\.js"):
        npm.fetch(npm.locked(), tmp_path)
    program = tmp_path / "npm"
    program.write_text(
        "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error getaddrinfo failed' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(UserError, match="could not be fetched: getaddrinfo failed"):
        npm.fetch(npm.locked(), tmp_path)
    program.write_text('#!/bin/sh\necho other > "$4/onnxruntime-web.tgz"\n')
    with pytest.raises(UserError, match="not the file that was pinned"):
        npm.fetch(npm.locked(), tmp_path)


def test_every_jar_is_pinned_for_this_projects_platforms():
    for engine in java.JAVA_ENGINES:
        for platform in ("linux-x86_64", "win-x86_64"):
            jars = maven.locked(engine.name, platform)
            assert jars
            assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert maven.locked("libtorch-2.7.1", "osx-x86_64") == ()


def test_no_address_of_a_registry_stands_in_the_code():
    root = Path(maven.__file__).parent
    texts = [path.read_text() for path in root.rglob("*") if path.suffix in (".py", ".json", ".js", ".html")]
    assert not [text for text in texts if "https://" in text or "repo1" in text or "registry." in text]


def test_the_engines_folder_follows_the_environment(cache):
    assert {engine.folder.parent for engine in LOCKED} == {cache / "engines"}


@pytest.mark.parametrize("engine", LOCKED, ids=lambda engine: engine.name)
def test_files_of_an_older_lock_count_as_not_installed_and_are_removed(cache, engine, tmp_path, monkeypatch):
    before = engine.folder
    before.mkdir(parents=True)
    (before / "file").write_bytes(b"old")
    (before.parent / f".{before.name}-removed").mkdir()  # an earlier deleting was interrupted
    (before.parent / f".{before.name}-removed" / "file").write_bytes(b"older")
    lock = LOCK_OF[type(engine)].LOCK
    newer = tmp_path / lock.name
    newer.write_text(lock.read_text().replace('"sha256": "', '"sha256": "0').replace("sha512-", "sha512-0"))
    monkeypatch.setattr(LOCK_OF[type(engine)], "LOCK", newer)
    assert engine.folder != before
    assert engine.size() == 0 and not engine.installed()
    assert engine.remove() == 3
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("name", "reason"), [("cells.png", "is no earlier result"), ("page.jpg", "let the name end in .png")]
)
def test_a_screenshot_replaces_no_image(cache, tmp_path, image, name, reason):
    before = image.read_bytes()
    done = bmz_fmd("engines", "view", "package", str(image), "--screenshot", str(tmp_path / name))
    assert done.returncode == 2
    assert f"--screenshot {tmp_path / name}" in done.stderr and reason in done.stderr
    assert image.read_bytes() == before


def test_a_screenshot_is_told_from_any_other_picture(tmp_path, image):
    target = tmp_path / "new" / "page.png"
    viewer._store(image.read_bytes(), target)
    assert is_ours(target) and not is_ours(image)
    assert [path.name for path in target.parent.iterdir()] == ["page.png"]
