"""The browser's engine: ONNX Runtime Web on WebAssembly, in headless Chromium."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmz_export.engines import npm
from bmz_export.engines.base import Job, Outcome, Progress
from bmz_export.engines.cache import engine_folder, folder_size, install_into, remove_engine
from bmz_export.engines.process import run_worker
from training.errors import EngineError

_EXTRA = "pip install 'bmz-fmd[engines]'"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
_PLAYWRIGHT = {
    "linux": ("~/.cache/ms-playwright", "chromium-*/chrome-linux*/chrome"),
    "darwin": ("~/Library/Caches/ms-playwright", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*"),
    "win32": ("~/AppData/Local/ms-playwright", "chromium-*/chrome-win*/chrome.exe"),
}


@dataclass(frozen=True)
class BrowserEngine:
    """npm's files, served on this machine alone, in a page of a Chromium that is already here."""

    name: str = "onnxruntime-web"
    weights: tuple[str, ...] = ("onnx",)
    tools: tuple[str, ...] = ("the browser", "ImJoy")
    processing: bool = False
    compiles: bool = False

    @property
    def version(self) -> str:
        """Of the npm package."""
        return npm.locked().version

    @property
    def folder(self) -> Path:
        """Where npm's files lie once it is installed."""
        lock = npm.locked()
        return engine_folder(self.name, (lock.integrity, *lock.files))

    @property
    def title(self) -> str:
        """For tables."""
        return f"ONNX Runtime Web {self.version} (WebAssembly, Chromium)"

    @property
    def install_hint(self) -> str:
        """The one command that installs it."""
        command = f"bmz-fmd engines install {self.name}"
        return command if _playwright() else f"{_EXTRA} && {command}"

    def installed(self) -> bool:
        """Whether npm's files, playwright and a Chromium are there."""
        return self.folder.is_dir() and _playwright() and chromium() is not None

    def size(self) -> int:
        """Bytes on disk, the browser not counted."""
        return folder_size(self.folder)

    def install(self, progress: Progress | None = None) -> None:
        """Fetch npm's files, check their integrity, and keep the few that run WebAssembly."""
        if not _playwright():
            raise EngineError(f"{self.name} needs playwright: {_EXTRA}")
        if chromium() is None:
            raise EngineError(
                f"{self.name} needs Chromium, Chrome or Edge and none was found: install one "
                "(Debian: apt install chromium; anywhere: playwright install chromium) or name it in BMZ_FMD_CHROMIUM"
            )
        if self.folder.is_dir():
            return
        lock = npm.locked()
        if progress:
            progress(f"fetching {self.title}", 0, lock.size)
        install_into(self.folder, lambda folder: npm.fetch(lock, folder), progress)
        if progress:
            progress(f"fetching {self.title}", lock.size, lock.size)

    def remove(self) -> int:
        """Delete npm's files."""
        return remove_engine(self.name)

    def run(self, job: Job) -> Outcome:
        """Run a job in a process of its own, which starts a browser of its own."""
        return self.run_page("onnx_web", job, {})

    def run_page(self, runtime: str, job: Job, options: Mapping[str, Any]) -> Outcome:
        """Run a job with one of the two runtimes that use the page (``onnx_web``, ``onnx_web_view``)."""
        program = chromium()
        if not self.installed() or program is None:
            return Outcome(skipped=f"{self.title} is not installed: {self.install_hint}")
        return run_worker(
            f"bmz_export.engines.runtimes.{runtime}",
            job,
            {"files": str(self.folder), "chromium": str(program), "version": self.version, **options},
        )


def chromium() -> Path | None:
    """Return a browser of Chromium's family: the one named in BMZ_FMD_CHROMIUM, the system's, or playwright's."""
    named = os.environ.get("BMZ_FMD_CHROMIUM")
    if named:
        return Path(named) if Path(named).is_file() else None
    return next((path for path in _browsers() if path.is_file()), None)


def _browsers() -> Iterator[Path]:
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            yield Path(found)
    yield from map(Path, _PLACES)
    if sys.platform in _PLAYWRIGHT:
        folder, pattern = _PLAYWRIGHT[sys.platform]
        yield from sorted(Path(folder).expanduser().glob(pattern), reverse=True)


def _playwright() -> bool:
    return importlib.util.find_spec("playwright") is not None


BROWSER_ENGINE = BrowserEngine()
