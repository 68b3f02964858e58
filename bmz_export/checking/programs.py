"""Fiji, QuPath and ilastik themselves, where a user has them: called without a window on the test image, and compared.

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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Fault, Row
from bmz_export.checking.comparison import LIMIT
from bmz_export.checking.runner import FORMATS, CheckOptions, Runner, fault
from bmz_export.checking.trials import compare
from training.errors import PackageError

FIJI_NAMES = (
    "fiji-linux-x64", "fiji-linux-arm64", "fiji-windows-x64.exe", "fiji-macos", "Contents/MacOS/fiji-macos",
    "ImageJ-linux64", "ImageJ-win64.exe", "Contents/MacOS/ImageJ-macosx", "fiji", "fiji.bat",
)  # fmt: skip
PYTHON_NAMES = ("bin/python", "python.exe", "bin/python3", "Contents/ilastik-release/bin/python")

_ILASTIK = """
import sys
import numpy as np
from bioimageio.core import Tensor, create_prediction_pipeline
from bioimageio.core.digest_spec import create_sample_for_model, get_member_ids
from bioimageio.spec import load_description

package, source, target, weights = sys.argv[1:]
model = load_description(package)
image = Tensor.from_numpy(np.load(source), dims=[axis.id for axis in model.inputs[0].axes])
sample = create_sample_for_model(model, inputs={get_member_ids(model.inputs)[0]: image})
with create_prediction_pipeline(model, weight_format=weights) as pipeline:
    found = pipeline.predict_sample_without_blocking(sample)
np.save(target, np.asarray(found.members[get_member_ids(model.outputs)[0]].data.data))
"""


@dataclass(frozen=True)
class Call:
    """One tool of the user's: its command line, and the file that it should leave."""

    tool: str
    title: str
    command: tuple[str, ...]
    result: Path


def user_tools(runner: Runner) -> Iterator[Row | Fault]:
    """Yield a row for each tool that the user named, and a fault where it fails or returns other pixels."""
    description = runner.inspection.description
    programs = find_programs(runner.options)
    if not programs:
        return
    test = runner.inspection.test(description.inputs[0]) if description.inputs else None
    wanted = runner.inspection.test(description.outputs[0]) if description.outputs else None
    if (
        test is None
        or test.array is None
        or wanted is None
        or wanted.array is None
        or not np.isfinite(wanted.array).all()
        or description.inputs[0].order != "bcyx"
    ):
        yield from _not_run(programs, "there is no readable, finite test image of batch, channel, y, x")
        return
    if refusal := _refusal(runner):
        yield from _not_run(programs, refusal)
        return
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-", ignore_cleanup_errors=True) as name:
        for call in _calls(runner, Path(name), np.asarray(test.array, np.float32), programs):
            runner.told(f"{call.tool}, yours")
            yield from _judge(runner, call, np.asarray(wanted.array))


def _not_run(programs: Sequence[tuple[str, Path]], note: str) -> Iterator[Row]:
    for tool, _ in programs:
        yield Row(tools=(tool,), engine="yours", title=f"{tool}, yours", version="-", weights="torchscript",
                  verdict="not run", note=note[:300])  # fmt: skip


def _refusal(runner: Runner) -> str | None:
    """Say why the package is not handed to a user's own program, which nobody guards and which picks its weights."""
    others = (runner.hostile(name) for name in FORMATS if runner.inspection.weights(name) is not None)
    return runner.unsafe("torchscript", processing=True) or next(filter(None, others), None)


def find_programs(options: CheckOptions) -> list[tuple[str, Path]]:
    """Return the title and the program of each tool that the user named; a ``UserError`` where it is not that tool."""
    found = []
    if options.fiji is not None:
        found.append(("Fiji (deepImageJ)", _inside("--fiji", options.fiji, FIJI_NAMES)))
    if options.qupath is not None:
        if not options.qupath.is_file():
            raise PackageError(f"--qupath {options.qupath}: no such file; name QuPath's program itself")
        found.append(("QuPath", options.qupath))
    if options.ilastik is not None:
        found.append(("ilastik", _inside("--ilastik", options.ilastik, PYTHON_NAMES)))
    return found


def _inside(option: str, folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise PackageError(
        f"{option} {folder}: there is no {names[0]} in it (nor {names[1]}); name the folder of the program"
    )


def _calls(runner: Runner, folder: Path, test: NDArray[np.float32], programs: list[tuple[str, Path]]) -> Iterator[Call]:
    import tifffile

    from bmz_export.package.rdf import Tiling
    from bmz_export.package.scripts import FIJI, QUPATH, write_scripts

    description = runner.inspection.description
    model, scripts, image = folder / "model", folder / "scripts", folder / "test.tif"
    shutil.copytree(runner.inspection.package.folder, model)
    scripts.mkdir()
    halo = max((axis.halo for axis in description.outputs[0].space), default=0)
    write_scripts(scripts, title="check", tiling=Tiling(64, 1, halo), sample="sample_input.tif")
    plane = test[0] if test.shape[1] > 1 else test[0, 0]
    tifffile.imwrite(image, plane, imagej=True)
    np.save(folder / "test.npy", test)
    (scripts / "run.py").write_text(_ILASTIK, encoding="utf-8")
    weights = runner.inspection.weights("torchscript")
    if weights is not None and not (model / "weights.pt").exists():
        shutil.copyfile(weights, model / "weights.pt")  # the script's name for it
    for tool, program in programs:
        if tool == "QuPath":
            result = folder / "qupath.ome.tif"
            command = [str(program), "script", f"--image={image}", f"--args={model}", f"--args={result}",
                       str(scripts / QUPATH)]  # fmt: skip
        elif tool == "ilastik":
            result = folder / "ilastik.npy"
            command = [str(program), str(scripts / "run.py"), str(model / runner.inspection.description.path.name),
                       str(folder / "test.npy"), str(result), "torchscript"]  # fmt: skip
        else:
            result = folder / "fiji" / f"test_{description.outputs[0].id}.tif"
            result.parent.mkdir()
            command = [str(program), "--headless", "--console", "-macro", str(scripts / FIJI),
                       f"{model}|{image}|{result.parent}"]  # fmt: skip
        yield Call(tool, f"{tool}, yours", tuple(command), result)


def _judge(runner: Runner, call: Call, wanted: NDArray[Any]) -> Iterator[Row | Fault]:
    started = time.monotonic()
    error = _run(call.command, runner.options.timeout)
    seconds = round(time.monotonic() - started, 1)
    row = Row(tools=(call.tool,), engine="yours", title=call.title, version="-", weights="torchscript",
              seconds=seconds, sizes=("x".join(map(str, wanted.shape)),), verdict="passed",
              note="start of the program included")  # fmt: skip
    found = None if error else _read(call.result)
    if found is None:
        reason = error or f"it left no {call.result.name}"
        yield row.model_copy(update={"verdict": "failed", "note": reason})
        yield fault("your-tool", f"the program itself does not run the model: {reason}", "no result",
                    "run the script by hand and read its log", tools=(call.tool,))  # fmt: skip
        return
    if found.size != wanted.size or not np.isfinite(found).all():
        reason = (
            f"a result of shape {found.shape} where {wanted.shape} is expected" if found.size != wanted.size else "NaN"
        )
        yield row.model_copy(update={"verdict": "failed", "note": reason})
        yield fault("your-tool", f"the program itself returns {reason}", "another image", "see the other lines",
                    tools=(call.tool,))  # fmt: skip
        return
    difference = compare(found.reshape(wanted.shape), wanted)
    verdict = "passed" if difference.largest <= LIMIT else "failed"
    yield row.model_copy(update={"difference": difference, "verdict": verdict})
    if verdict == "failed":
        yield fault("your-tool", f"the program itself is {difference.largest:.1e} of the range off the test output",
                    "other pixels than the author's", "see the other lines", tools=(call.tool,))  # fmt: skip


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
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s"
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

    if not path.is_file():
        return None
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.asarray(tifffile.imread(path))
    except (ValueError, OSError):
        return None
