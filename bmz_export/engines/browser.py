"""The browser's engine: ONNX Runtime Web on WebAssembly, in headless Chromium."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bmz_export.engines import npm
from bmz_export.engines.engine import FetchedEngine

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


class BrowserEngine(FetchedEngine):
    """npm's files, served on this machine alone, in a page of a Chromium that is already here."""

    packages = ("playwright",)
    program_hint = (
        "Chromium, Chrome or Edge and none was found: install one (Debian: apt install chromium; anywhere: "
        "playwright install chromium) or name it in BMZ_FMD_CHROMIUM"
    )

    def program(self) -> Path | None:
        """Return the browser."""
        return chromium()

    def pinned(self) -> tuple[str, ...]:
        """Return npm's hash, and the files that are kept."""
        lock = npm.locked()
        return (lock.integrity, *lock.files)

    def total(self) -> int:
        """Return the bytes of the package."""
        return npm.locked().size

    def options(self, folder: Path) -> dict[str, Any]:
        """Return where npm's files and the browser lie."""
        return {"files": str(folder), "chromium": str(self.program()), "version": self.version}

    def fill(self, folder: Path, advance: Callable[[str, int], None]) -> None:
        """Fetch the package and keep the few files that run WebAssembly."""
        advance("fetching", 0)
        npm.fetch(npm.locked(), folder)
        advance("fetching", self.total())


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


_VERSION = npm.locked().version
BROWSER_ENGINE = BrowserEngine(
    "onnxruntime-web", f"ONNX Runtime Web {_VERSION} (WebAssembly, Chromium)", _VERSION, "onnx_web", ("onnx",),
    ("the browser", "ImJoy"),
)  # fmt: skip
