"""The tools themselves, where a user has them: called without a window on the test image, and compared.

Only scripts that this project makes are handed to them, never one that lies in the package. The tools get a copy of the
package and write into a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import LATE, Difference, Fault, Row, Verdict
from bmz_export.checking.comparison import LIMIT
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.runner import Runner
from bmz_export.checking.trials import compare, defect
from bmz_export.engines.process import PATIENCE
from bmz_export.inspection.safety import hostile
from bmz_export.package.builder import write_script
from bmz_export.package.fiji_memory import Memory
from bmz_export.package.weights import TORCHSCRIPT
from bmz_export.tools import TOOLS, Tool, Trial
from training.errors import PackageError
from training.inference.denoiser import BYTES_PER_PIXEL


def user_tools(runner: Runner) -> Iterator[Row | Fault]:
    """Yield a row for each tool that the user named, and a fault where it fails or returns other pixels."""
    description = runner.inspection.description
    programs = find_programs(runner.options.programs)
    if not programs:
        return
    test, expected = (runner.array(tensors) for tensors in (description.inputs, description.outputs))
    others = (hostile(runner.inspection, name) for name in description.weights)
    # nobody guards a user's own program, which picks its weights itself
    refusal = runner.unsafe("torchscript", processing=True) or next(filter(None, others), None)
    if test is None or expected is None or not (np.isfinite(test).all() and np.isfinite(expected).all()):
        refusal = "there is no readable, finite test image"
    elif description.inputs[0].order != "bcyx":
        refusal = "the test image is not one of batch, channel, y, x"
    if refusal or test is None or expected is None:
        yield from (_row(tool, "not run", refusal or "") for tool, _ in programs)
        return
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-", ignore_cleanup_errors=True) as name:
        trial = _prepare(runner, Path(name), np.asarray(test, np.float32))
        facts = {
            "halo": max((axis.halo for axis in description.outputs[0].space), default=0),
            "minimum": max((axis.at(0) for axis in description.inputs[0].space), default=1),
        }
        for tool, program in programs:
            if tool.script and test.shape[1] != 1:
                yield _row(tool, "not run", f"its script denoises each channel alone; the model takes {test.shape[1]}")
                continue
            runner.log(f"{tool.title}, yours")
            script = None
            if tool.script:
                memory = Memory(0, BYTES_PER_PIXEL)
                script = write_script(
                    trial.folder, tool.script, title="check", stride=64, memory=memory, weights="", **facts
                )
            yield from _run_and_compare(runner, tool, program, replace(trial, script=script), expected)


def _row(
    tool: Tool,
    verdict: Verdict,
    note: str,
    *,
    seconds: float | None = None,
    difference: Difference | None = None,
    sizes: tuple[str, ...] = (),
) -> Row:
    return Row(tools=(tool.title,), engine="yours", title=f"{tool.title}, yours", version="-", weights="torchscript",
               verdict=verdict, note=note[:300], seconds=seconds, difference=difference, sizes=sizes)  # fmt: skip


def find_programs(places: Mapping[str, Path]) -> list[tuple[Tool, Path]]:
    """Return each tool that the user named and its program; a ``PackageError`` where it is not that tool."""
    found = []
    for name, place in places.items():
        tool = TOOLS.get(name)
        if tool is None or tool.program is None:
            known = ", ".join(name for name, tool in TOOLS.items() if tool.program)
            raise PackageError(f"`programs` {name}: no tool that can be run; there are {known}")
        try:
            found.append((tool, tool.program.find(place)))
        except PackageError as error:
            raise PackageError(f"{tool.title}: {error}") from None
    return found


def _prepare(runner: Runner, folder: Path, test: NDArray[np.float32]) -> Trial:
    """Copy the package and write the test image, in the ways in which programs read them."""
    import tifffile

    description = runner.inspection.description
    model, image, array = folder / "model", folder / "test.tif", folder / "test.npy"
    shutil.copytree(runner.inspection.package.folder, model)
    weights = runner.inspection.weights("torchscript")
    if weights is not None and not (model / TORCHSCRIPT).exists():
        shutil.copyfile(weights, model / TORCHSCRIPT)  # the scripts' name for it
    tifffile.imwrite(image, test[0] if test.shape[1] > 1 else test[0, 0], imagej=True)
    np.save(array, test)
    return Trial(folder, model / description.path.name, image, array, None)


def _run_and_compare(
    runner: Runner, tool: Tool, program: Path, trial: Trial, expected: NDArray[Any]
) -> Iterator[Row | Fault]:
    assert tool.program is not None
    command, result = tool.program.call(program, trial)
    started = time.monotonic()
    timeout = runner.options.timeout * PATIENCE  # on the clock: what it starts may outlive it
    try:
        error = _run(command, timeout)
    except subprocess.TimeoutExpired:
        yield _row(tool, LATE, f"no answer within {timeout:g} s; {MORE_TIME}")
        return
    seconds = round(time.monotonic() - started, 1)
    found = None if error else _read(result)
    problem, difference = "", None
    if found is None:
        problem = f"does not run the model: {error or f'it left no {result.name}'}"
    elif found.size != expected.size:
        problem = f"returns a result of shape {found.shape} where {expected.shape} is expected"
    elif not (problem := defect(found, found.shape, "") or ""):
        difference = compare(found.reshape(expected.shape), expected)
        if difference.largest > LIMIT:
            problem = f"is {difference.largest:.1e} of the range off the test output"
    yield _row(tool, "failed" if problem else "passed", problem or "start of the program included", seconds=seconds,
               difference=difference, sizes=("x".join(map(str, expected.shape)),))  # fmt: skip
    if problem:
        yield run_fault("your-tool", f"the program itself {problem}", (tool.title,))


def _run(command: Sequence[str], timeout: float) -> str | None:
    """Run a command and return why it failed, None where it did not; what it started ends with it."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        return f"it does not start ({error.strerror})"
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:  # out of time, or Ctrl-C
            with suppress(OSError, AttributeError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
    if process.returncode == 0:
        return None
    last = output.decode(errors="replace").strip().rpartition("\n")[2][:200]
    return f"exit code {process.returncode}" + (f": {last}" if last else "")


def _read(path: Path) -> NDArray[Any] | None:
    import tifffile

    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.asarray(tifffile.imread(path))
    except (ValueError, OSError):
        return None
