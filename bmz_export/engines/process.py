"""A job in a process of its own: started, watched and ended here.

The worker (``_worker.py``) reads the job from a temporary folder and leaves each result there as soon as it has it, so
that a crash costs the call that crashed and nothing before it. The folder is also the worker's home, working directory
and place for temporary files: what a package writes by a relative path goes with it.
"""

import contextlib
import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bmz_export.engines.base import GIB, Job, Outcome
from training.util.messages import last_line

PATIENCE = 5
"""Times a job's limit of processor time: what may pass on the clock for a worker that waits, or gets no processor."""

_POLL = 0.05
_RESULTS = 8  # times the inputs: what all results together may take on disk, beside the job's own limit
_TAIL = 2**16  # bytes of what a process says at the end
_STOP = threading.Event()
_INHERITED = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "JAVA_HOME", "VIRTUAL_ENV", "LANG", "LC_ALL",
    "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS",
)  # fmt: skip


def run_worker(runtime: str, job: Job, options: Mapping[str, Any] | None = None) -> Outcome:
    """Run ``job`` in a new Python process with the module ``runtime``, which has ``load(task) -> predict``.

    Inputs are handed over as float32; ``options`` (JSON) are what the module needs beside the job.
    """
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _write_job(folder, runtime, job, options or {})
        return _outcome(folder, job, *_watch(folder, job))


def ask_worker(runtime: str, job: Job, options: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], Outcome]:
    """Run a job whose only result is JSON in the bytes of an array; return that too, empty where it failed."""
    outcome = run_worker(runtime, job, options)
    return (json.loads(bytes(outcome.outputs[0])) if outcome.outputs else {}), outcome


@contextlib.contextmanager
def workers_ended() -> Iterator[None]:
    """End every worker of this process, whichever thread watches it, and start none, as long as the block lasts.

    For who is interrupted while other threads wait for theirs; a notebook may check again afterwards.
    """
    _STOP.set()
    try:
        yield
    finally:
        _STOP.clear()


def _write_job(folder: Path, runtime: str, job: Job, options: Mapping[str, Any]) -> None:
    for index, image in enumerate(job.inputs):
        np.save(folder / f"input-{index}.npy", np.ascontiguousarray(image, dtype=np.float32))
    task = {
        "runtime": runtime,
        "package": str(job.package.resolve()),
        "weights_format": job.weights_format,
        "weights": str(job.weights.resolve()),
        "inputs": len(job.inputs),
        "trust": job.trust,
        "threads": job.threads,
        "options": dict(options),
    }
    (folder / "job.json").write_text(json.dumps(task))


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """Return what a runtime needs and nothing else: no proxies, no keys, no home of the user's."""
    path = [str(Path(__file__).parents[2])]  # this very package, also where it is run from a checkout
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(folder)),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _watch(folder: Path, job: Job) -> tuple[int | None, Outcome]:
    """Run the worker; return its exit code, None where it was ended, and why, with the most memory it held."""
    started = time.monotonic()
    peak, reason, out_of_time = 0, None, False
    room = job.disk_limit + (1 + _RESULTS) * _size(folder)
    computed: dict[psutil.Process, float] = {}
    with (folder / "stderr").open("wb") as stderr:
        worker = subprocess.Popen(
            [sys.executable, "-m", "bmz_export.engines._worker", str(folder)],
            stdin=subprocess.PIPE,  # its end tells the worker that nobody waits any more
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=folder,
            env=_environment(folder, job.threads),
            start_new_session=True,
        )
        try:
            while worker.poll() is None:
                seconds, memory = _usage(worker.pid)
                computed |= seconds
                peak = max(peak, memory)
                if _STOP.is_set():
                    reason = "stopped: interrupted"
                elif memory > job.memory_limit:
                    reason = f"stopped: it held more than {job.memory_limit / GIB:.1f} GiB of memory"
                elif _size(folder) > room:
                    reason = f"stopped: it wrote more than {room / GIB:.1f} GiB"
                else:
                    reason = _no_time_left(job, sum(computed.values()), time.monotonic() - started)
                    out_of_time = reason is not None
                if reason:
                    break
                time.sleep(_POLL)
        finally:
            _end_all(worker, set(computed))
    ended = Outcome(error=reason, out_of_time=out_of_time, peak_memory=peak)
    return None if reason else worker.returncode, ended


def _no_time_left(job: Job, computed: float, passed: float) -> str | None:
    """Say which limit of time is reached: of computing, or on the clock; None where there is some left."""
    if computed > job.timeout * job.threads:
        return f"no answer within {job.timeout:g} s of processor time"
    if passed > job.timeout * PATIENCE:
        return f"no answer within {passed:.0f} s, in which it computed for {computed:.0f} s"
    return None


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder, while somebody writes and deletes in it."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = Path(place, name).lstat()
                total += status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
    return total


def _usage(pid: int) -> tuple[dict[psutil.Process, float], int]:
    """Return how long a process and all that it started, as far as they live, have computed; and the bytes they hold.

    Pages that several of them share count once.
    """
    computed: dict[psutil.Process, float] = {}
    held = 0
    with contextlib.suppress(psutil.Error):
        worker = psutil.Process(pid)
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.Error, OSError):
                times = process.cpu_times()
                computed[process] = times.user + times.system
                info = process.memory_full_info() if len(family) > 1 else process.memory_info()
                held += int(getattr(info, "pss", 0) or info.rss)
    return computed, held


def _end_all(worker: "subprocess.Popen[bytes]", seen: set[psutil.Process]) -> None:
    """End the worker and all that it ever started, and wait until they are gone."""
    family = seen.union(_usage(worker.pid)[0])
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if worker.stdin:
        with contextlib.suppress(OSError):
            worker.stdin.close()
    worker.wait()
    psutil.wait_procs(family, timeout=5)


def _outcome(folder: Path, job: Job, code: int | None, ended: Outcome) -> Outcome:
    """Return what the worker left, with the reason why it was ended or ended too early."""
    report: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        report = json.loads((folder / "report.json").read_text())
    seconds = tuple(report.get("seconds", ()))
    outputs = tuple(np.load(folder / f"output-{index}.npy", allow_pickle=False) for index in range(len(seconds)))
    error = ended.error or report.get("error") or (None if report.get("done") else _crash(folder, code or 0))
    if error and report.get("loaded") and len(outputs) < len(job.inputs):
        error = f"on an input of shape {job.inputs[len(outputs)].shape}: {error}"
    return replace(
        ended,
        outputs=outputs,
        seconds=seconds,
        peaks=tuple(report.get("peaks", ())),
        peak_memory=max(ended.peak_memory, report.get("peak_memory", 0)),
        error=error,
        skipped=report.get("skipped"),
        notes=tuple(report.get("notes", ())),
    )


def _crash(folder: Path, code: int) -> str:
    """Put a process that ended before it was done into one line."""
    if code == -getattr(signal, "SIGKILL", 9):
        return "the process was ended by the system, most likely for want of memory"
    with (folder / "stderr").open("rb") as stream:
        stream.seek(max((folder / "stderr").stat().st_size - _TAIL, 0))
        last = last_line(stream.read().decode(errors="replace"))
    how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended early (exit code {code})"
    return f"the process {how}" + (f": {last}" if last else "")
