"""The browser's page for a person: an image before and after, and whether the browser gives the package's pixels."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.base import Job
from bmz_export.engines.browser import BROWSER_ENGINE
from bmz_export.engines.web import PageServer
from bmz_export.package.archive import Package
from training.errors import EngineError
from training.evaluation.pictures import WRITER
from training.util.writing import replacing

LARGEST = 512
"""Pixels a side that the page takes from the middle of an image: WebAssembly is slow."""


def write_screenshot(package: Package, plane: NDArray[Any], target: Path, *, title: str) -> None:
    """Denoise the middle of a plane (H, W) in headless Chromium and write a picture of the page as PNG.

    Whether ``target`` may be replaced is the caller's to ask. A ``UserError`` says where the
    package has no ONNX weights, the engine is not installed, or the page failed. Whether its files may be loaded is the
    caller's to ask too.
    """
    job = Job(package.folder, "onnx", _weights(package), (_middle(plane),), timeout=600, threads=2)
    options = {"scene": _scene(package, title, plane.shape), "test": _test_tensors(package)}
    outcome = replace(BROWSER_ENGINE, runtime="onnx_web_view").run(job, **options)
    if outcome.error or outcome.skipped:
        raise EngineError(f"{package.path}: no picture could be taken: {outcome.error or outcome.skipped}")
    _store(outcome.outputs[0].tobytes(), target)


def _store(png: bytes, target: Path) -> None:
    """Write the page's PNG, with its origin in it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    origin = PngInfo()
    origin.add_text("Software", WRITER)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as beside, Image.open(BytesIO(png)) as picture:
        picture.save(beside, format="PNG", pnginfo=origin)


def serve(package: Package, plane: NDArray[Any], *, title: str, ready: Callable[[str], object]) -> None:
    """Serve the page on this machine alone until the user interrupts; ``ready`` is called with its address."""
    if not BROWSER_ENGINE.installed():
        raise EngineError(f"{BROWSER_ENGINE.title} is not installed: {BROWSER_ENGINE.install_hint}")
    scene = {**_scene(package, title, plane.shape), "version": BROWSER_ENGINE.version}
    texts = {"/scene.json": json.dumps(scene)}
    with PageServer(BROWSER_ENGINE.folder, _weights(package), texts) as server:
        server.images.update(page_images(_middle(plane)[0, 0], _test_tensors(package)))
        ready(server.address)
        threading.Event().wait()


def page_images(plane: NDArray[np.float32], test: list[str]) -> dict[str, NDArray[np.float32]]:
    """Return what the page asks its server for: the image and, where the package has them, its test tensors."""
    images = {"input": np.ascontiguousarray(plane[None, None], dtype=np.float32)}
    for key, path in zip(("test-input", "test-output"), test, strict=False):
        images[key] = np.ascontiguousarray(np.load(path, allow_pickle=False), dtype=np.float32)
    return images


def _weights(package: Package) -> Path:
    entry = package.description.weights.get("onnx")
    path = package.file(entry.source) if entry else None
    if path is None:
        raise EngineError(f"{package.path}: it has no ONNX weights, and a browser runs no others: export it with ONNX")
    return path


def _test_tensors(package: Package) -> list[str]:
    """Return the files of the package's test input and output, or nothing where it lacks one."""
    tensors = (*package.description.inputs[:1], *package.description.outputs[:1])
    paths = [path for each in tensors if each.test and (path := package.file(each.test.source))]
    return [str(path) for path in paths] if len(paths) == 2 else []


def _middle(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Return the middle of a plane as an image of the package's order, (1, 1, H, W)."""
    height, width = (min(size, LARGEST) for size in plane.shape)
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return np.asarray(plane[top : top + height, left : left + width], dtype=np.float32)[None, None]


def _scene(package: Package, title: str, shape: tuple[int, ...]) -> dict[str, Any]:
    raw = package.description.raw
    return {
        "package": str(raw.get("name", package.path.name)),
        "about": str(raw.get("description", "")),
        "image": title,
        "whole": [int(size) for size in shape],
        "weights": round(_weights(package).stat().st_size / 1e6, 1),
    }
