"""Noise2Void and CARE as CAREamics computes them, in an environment of its own, for its pins do not go with ours.

https://careamics.github.io: its own functions with their defaults, a U-Net, patches of 64 x 64. Results are kept in the
cache by a hash of images and settings, so that nothing is trained twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import EngineError
from training.util.cache import cache_folder
from training.util.messages import last_line
from training.util.text import counted
from training.util.writing import new_folder

TITLES = {"careamics-n2v": "CAREamics' Noise2Void", "careamics-care": "CAREamics' CARE"}
"""What each is called in sentences."""

EPOCHS = 10
"""So few that small data sets end in minutes on a CPU; its own default is 30."""

ENVIRONMENT = "BMZ_FMD_CAREAMICS"
"""Environment variable that names another folder of the environment."""

_SEED = 42
_WORKER = Path(__file__).with_name("careamics_worker.py")
Planes = Sequence[NDArray[np.float32]]


def denoise_with_careamics(
    name: str,
    images: Planes,
    noisy: Planes,
    clean: Planes | None,
    *,
    epochs: int,
    note: Callable[[str], object] = lambda line: None,
) -> Planes:
    """Train on planes and return others denoised, or what an earlier call of the same kept.

    Parameters
    ----------
    name : {"careamics-n2v", "careamics-care"}
    images : sequence of ndarray, (Y, X)
        What to denoise.
    noisy : sequence of ndarray, (Y, X)
        What it learns from.
    clean : sequence of ndarray, (Y, X), or None
        The targets; Noise2Void takes none.
    epochs : int
    note : callable
        Told, where it trains, that it does.

    Raises
    ------
    UserError
        If CAREamics is not installed, or fails.
    """
    python, version = _installed(name)
    settings = {"name": name, "epochs": epochs, "seed": _SEED}
    digest = hashlib.sha256(json.dumps([settings, version]).encode())
    given = {"images": images, "noisy": noisy, "clean": clean or ()}
    for part, planes in given.items():
        for plane in planes:
            digest.update(f"{part} {plane.shape}".encode() + np.ascontiguousarray(plane).tobytes())
    kept = cache_folder() / "careamics-results" / digest.hexdigest()[:32]
    if not kept.is_dir():
        note(f"{name}: CAREamics trains for {counted(epochs, 'epoch')}, some minutes on a CPU")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(kept) as folder:
            for part, planes in given.items():
                for number, plane in enumerate(planes):
                    np.save(folder / f"{part}-{number}.npy", plane)
            (folder / "settings.json").write_text(
                json.dumps(settings | {part: len(planes) for part, planes in given.items()})
            )
            _run(python, folder, name)
            for file in chain.from_iterable(folder.glob(f"{part}-*.npy") for part in given):
                file.unlink()
    return [np.load(kept / f"result-{number}.npy", allow_pickle=False) for number in range(len(images))]


def _installed(name: str) -> tuple[Path, str]:
    """Return the environment's Python, and the version of CAREamics there."""
    named = os.environ.get(ENVIRONMENT)
    folder = Path(named) if named else cache_folder() / "careamics"
    found = [
        *folder.glob("lib/python*/site-packages/careamics-*.dist-info"),
        *folder.glob("Lib/site-packages/careamics-*"),
    ]
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found or not python.exists():
        raise EngineError(
            f"`baseline` {name} needs CAREamics in an environment of its own: python3 -m venv {folder}, then "
            f"{python.with_name('pip')} install careamics"
        )
    return python, found[0].name


def _run(python: Path, folder: Path, name: str) -> None:
    with (folder / "log.txt").open("wb") as log:
        ended = subprocess.run(  # -I: nothing of this environment reaches the other
            [python, "-I", _WORKER, folder], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
    if ended.returncode:
        said = last_line((folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
        raise EngineError(f"`baseline` {name}: CAREamics failed: {said or f'exit code {ended.returncode}'}")
