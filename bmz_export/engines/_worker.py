"""The process that a job runs in: ``python -m bmz_export.engines._worker FOLDER``."""

import contextlib
import importlib
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bmz_export.engines.runtimes import NotRunError, Predict
from training.util.messages import one_line

TIMES, ALWAYS = 64, 2**25
"""A result may hold this many times the bytes of its image, and this many bytes in any case."""


def main(folder: Path) -> None:
    """Run the job in ``folder`` and leave its results there."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # short of memory, the system ends this process first
    task = json.loads((folder / "job.json").read_text())
    report: dict[str, Any] = {"seconds": [], "peaks": [], "notes": []}
    try:
        _work(folder, task, report)
        report["done"] = True
    except NotRunError as reason:
        report.update(skipped=str(reason), done=True)
    except BaseException as error:  # noqa: BLE001 -- whatever a package does becomes a line in the report
        report.update(error=_describe(error), done=True)
    report["peak_memory"] = peak_memory()
    _write(folder, report)
    sys.stderr.flush()
    os._exit(0)  # some runtimes crash while they are taken down; all that counts is written


def _work(folder: Path, task: dict[str, Any], report: dict[str, Any]) -> None:
    predict: Predict = importlib.import_module(task["runtime"]).load(task)
    report["loaded"] = True
    _write(folder, report)
    for index in range(task["inputs"]):
        image = np.load(folder / f"input-{index}.npy")
        started = time.perf_counter()
        outputs = predict(image.copy())
        seconds = time.perf_counter() - started
        note = f"the network returns {len(outputs)} tensors; the first is taken"
        if len(outputs) != 1 and note not in report["notes"]:
            report["notes"].append(note)
        result = np.asarray(outputs[0])
        if result.nbytes > max(TIMES * image.nbytes, ALWAYS):  # a view may repeat a few pixels endlessly
            shape, size = "x".join(map(str, result.shape)), f"{result.nbytes / 2**20:.0f} MB"
            raise ValueError(f"returns {shape}, {size}: too much for an image of {image.size} values")
        np.save(folder / f"output-{index}.npy", result)
        report["seconds"].append(seconds)
        report["peaks"].append(peak_memory())
        _write(folder, report)


def _describe(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    line = one_line(str(error)) if str(error).strip() else ""
    return line if " " in line else f"{type(error).__name__}: {line}".removesuffix(": ")


def _write(folder: Path, report: dict[str, Any]) -> None:
    part = folder / "report.json.part"
    part.write_text(json.dumps(report))
    part.replace(folder / "report.json")


def peak_memory() -> int:
    """Return the most bytes that this process held where Linux tells; elsewhere what its parent saw has to do."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
