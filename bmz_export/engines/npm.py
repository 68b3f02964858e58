"""One package of the npm registry, of pinned version and integrity, fetched by the user's own npm."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bmz_export.engines.cache import raise_if_disk_full
from training.errors import EngineError

LOCK = Path(__file__).with_name("locks") / "npm.json"
"""What the browser's engine is made of."""


@dataclass(frozen=True)
class Locked:
    """A package, its hash in npm's own words, and those of its files that are kept."""

    package: str
    version: str
    integrity: str
    size: int
    files: tuple[str, ...]


def locked() -> Locked:
    """Return what the lock says."""
    entry = json.loads(LOCK.read_text())
    return Locked(**{**entry, "files": tuple(entry["files"])})


def fetch(lock: Locked, folder: Path) -> None:
    """Put the locked files into ``folder``, flat; a ``UserError`` says why they cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        raise EngineError(f"{lock.package} comes through npm and none was found: install Node.js, which brings it")
    name = f"{lock.package}@{lock.version}"
    command = [npm, "pack", name, "--pack-destination", str(folder), "--ignore-scripts", "--loglevel", "error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{name}: npm did not end within 10 minutes; nothing was installed: try again") from error
    raise_if_disk_full(done.stderr)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise EngineError(
            f"{name} could not be fetched: {_reason(done.stderr)}: check the network connection and npm's settings"
        )
    (archive,) = archives
    with archive.open("rb") as stream:
        digest = base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()
    if f"sha512-{digest}" != lock.integrity:
        raise EngineError(
            f"{name}: what came is not the file that was pinned (integrity differs); nothing was installed"
        )
    with tarfile.open(archive) as tar:
        for file in lock.files:
            source = tar.extractfile(f"package/{file}")
            assert source is not None  # the archive's hash was checked
            with source, (folder / Path(file).name).open("wb") as target:
                shutil.copyfileobj(source, target)
    archive.unlink()


def _reason(stderr: str) -> str:
    """Return the line of npm's complaint that tells most."""
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in stderr.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("A complete log", "code "))]
    return telling[0] if telling else "npm failed without a word"
