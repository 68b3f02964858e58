"""Jars of pinned version and hash, fetched through the user's own Maven settings."""

import contextlib
import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import EngineError
from training.util.hashing import sha256

LOCK = Path(__file__).with_name("locks") / "maven.json"
"""For each engine and platform: its jars, as ``ci/lock_maven.py`` wrote them."""


@dataclass(frozen=True)
class Jar:
    """One file of the lock: ``group:artifact:version[:classifier]``, its hash and its bytes."""

    coordinate: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """The name that Maven gives the file."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"


def locked(engine: str, platform: str) -> tuple[Jar, ...]:
    """Return an engine's jars on a platform (``linux-x86_64``, ...), empty where there is none for it."""
    entry = json.loads(LOCK.read_text())[engine]
    if platform not in entry:
        return ()
    return tuple(Jar(each["jar"], each["sha256"], each["size"]) for each in (*entry["any"], *entry[platform]))


def fetch(jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
    """Put a jar into ``folder``, from the user's own Maven cache or else from the network, and check its hash.

    ``advance`` is told of each piece's bytes as it comes. A ``UserError`` says why the jar cannot be had.
    """
    target = folder / jar.filename
    group, artifact, version, *_ = jar.coordinate.split(":")
    maven = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    known = maven.joinpath(*group.split("."), artifact, version, jar.filename)  # where Maven itself would have put it
    if known.is_file() and sha256(known) == jar.sha256:
        shutil.copyfile(known, target)
        advance(jar.size)
        return target
    found = _download(jar, folder, advance)
    if sha256(found) != jar.sha256:
        raise EngineError(
            f"{jar.coordinate}: what came is not the file that was pinned (sha256 differs); nothing was installed: "
            "try again, or ask who runs your Maven mirror"
        )
    found.replace(target)
    return target


def context(repo_cache: Path, advance: Callable[[int], None] | None = None) -> Any:  # noqa: ANN401 -- jgo is optional
    """Return a jgo context that follows the user's Maven settings and keeps its files in ``repo_cache``."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    @contextlib.contextmanager
    def progress(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance or (lambda _count: None)

    repositories = dict(GlobalSettings.load().repositories)
    mirror = _mirror(Path.home() / ".m2" / "settings.xml")
    if mirror:
        repositories["central"] = mirror
    return MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=repo_cache,
        remote_repos=repositories or None,
        timeout=60,
    )


def _download(jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
    group, artifact, version, *classifier = jar.coordinate.split(":")
    maven = context(folder / "maven", advance)
    try:
        component = maven.project(group, artifact).at_version(version)
        return Path(component.artifact(classifier="".join(classifier)).resolve())
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"{jar.coordinate} could not be fetched ({type(error).__name__}): check the network connection, "
            "or name your mirror in ~/.m2/settings.xml"
        ) from error


def _mirror(settings: Path) -> str | None:
    """Return the address that Maven's settings put in the central repository's place."""
    with contextlib.suppress(OSError, ET.ParseError):
        for mirror in ET.parse(settings).iterfind(".//{*}mirror"):
            of = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
            if of & {"*", "central", "external:*"} and "!central" not in of:
                return mirror.findtext("{*}url")
    return None
