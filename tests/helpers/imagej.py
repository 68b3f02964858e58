"""ImageJ 1.54p itself, fetched once, in a process that stays: macros are run in it one after the other.

deepImageJ's command is stood in for by ``_DeepImageJ``, which keeps its contract: what it takes, refuses and leaves.
"""

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COORDINATE = "net.imagej:ij:1.54p"
SHA256, SIZE = "2e1a09961dfb41cee66ddc821b2577a41a072566ce45a49bae69267099741e20", 2586953
MINIMUM, HALO = 64, 16
MOST = 50_331_648  # elements of a tile, above which its search for a size never ends
RADIUS, STRIDE = 2, 8


def jar() -> Path:
    """ImageJ's jar, from the cache or from Maven; skips, saying so, where it cannot be had."""
    import pytest

    from helpers.maven_jar import maven_jar

    if importlib.util.find_spec("jpype") is None:
        pytest.skip("ImageJ is driven by jpype: pip install 'bmz-fmd[engines]'")
    return maven_jar(COORDINATE, SHA256, SIZE)


class ImageJ:
    """A running ImageJ, on a screen or without a window; ``temporary`` is its folder for temporary files."""

    def __init__(self, temporary: Path, *, screen: str | None = None):
        from bmz_export.engines.java import java_library

        library = Path(importlib.util.find_spec("training").origin).parents[1]
        environment = {"DISPLAY": screen or "", "PYTHONPATH": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(java_library()), str(jar()), str(temporary), str(int(screen is not None))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip

    def run(self, macro: Path, argument: str, **behaviour: object) -> dict[str, Any]:
        """Run a macro; return what it ``said``, the ``calls`` of deepImageJ, and the images that are ``shown``.

        ``earlier`` is the path of a macro that ran before, which ImageJ still holds for this one's.
        """
        request = {"macro": str(macro), "argument": argument, "behaviour": behaviour}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not answer["wrong"], answer
        return answer

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def network(plane: np.ndarray) -> np.ndarray:
    """What the stand-in's model does: a blur over ``RADIUS`` pixels, mirrored at the edges, on a grid of ``STRIDE``."""
    padded = np.pad(np.asarray(plane, np.float64), RADIUS, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * RADIUS + 1,) * 2)
    result = windows.mean(axis=(-2, -1))
    result[::STRIDE] += 1
    result[:, ::STRIDE] += 2
    return result.astype(np.float32)


def torchscript(weights: Path, halo: int) -> Callable[[np.ndarray], np.ndarray]:
    """A package's own model, as deepImageJ runs it: in one tile, with a halo mirrored around the image."""
    from training.inference.backends import from_torchscript

    run = from_torchscript(weights)

    def compute(plane: np.ndarray) -> np.ndarray:
        padded = np.pad(np.asarray(plane, np.float32), halo, mode="symmetric")
        return run(padded[None, None])[0][0, 0, halo : halo + plane.shape[0], halo : halo + plane.shape[1]]

    return compute


class _DeepImageJ:
    """The command "DeepImageJ Run", as far as a macro sees it: plugin 3.1, seen in ImageJ 1.54p."""

    def __init__(self):
        self.behaviour, self.calls = {}, []

    def run(self, options: str) -> None:
        import tifffile

        names = self.behaviour.get("names", ["model_path", "input_path", "output_folder"])
        found = [re.search(rf"\b{name}=(?:\[([^]]*)\]|(\S+))", options) for name in names]
        if not all(found):
            raise ValueError(f"missing argument in {options}")
        model, image, folder = (Path(match[1] or match[2]) for match in found)
        with tifffile.TiffFile(image) as file:
            data, about = file.asarray(), file.imagej_metadata or {}
            colours = file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        self.calls.append({"shape": list(data.shape), "options": options})
        if len(self.calls) >= self.behaviour.get("fails_from", 1e9):
            raise RuntimeError("the worker ended")
        if not (model / "rdf.yaml").is_file():
            raise FileNotFoundError(model)
        channels, slices, frames = (about.get(name, 1) for name in ("channels", "slices", "frames"))
        if colours or channels > 1:
            raise ValueError("Tiling cannot happen accross the channel dimension.")
        planes = data.reshape(-1, *data.shape[-2:])
        if slices > 1 and frames > 1:
            planes = planes.reshape(frames, slices, *planes.shape[1:])[:, 0]  # of each frame, z = 0 alone
        size = planes.shape[1:]
        halo = self.behaviour.get("halo", HALO)
        tile = [max(self.behaviour.get("minimum", MINIMUM), length + 2 * halo) for length in size]
        if any(have * 3 < want or have == 1 for have, want in zip(size, tile, strict=True)):
            raise ValueError("The axes size cannot be bigger than 3 times the image size of that same axes.")
        if len(planes) * tile[0] * tile[1] > self.behaviour.get("most", MOST):
            raise TimeoutError("its search for a tile size never ends")
        compute = torchscript(model / "weights.pt", halo) if (model / "weights.pt").is_file() else network
        result = np.stack([compute(plane) for plane in planes])
        name = f"{image.stem.replace(' ', '')}_denoised.tif"
        axes = {"axes": "TYX"} if len(planes) > 1 else {"axes": "YX"}
        result = result if len(planes) > 1 else result[0]
        tifffile.imwrite(folder / name, result, imagej=True, metadata={**axes, "min": 0.0, "max": 1.0})


def main(jvm: str, jar: str, temporary: str, windows: str) -> None:
    """Answer requests on stdin, a line each, until there are none."""
    import jpype

    options = [f"-Djava.awt.headless={'false' if windows == '1' else 'true'}", f"-Djava.io.tmpdir={temporary}"]
    jpype.startJVM(jvm, *options, "-Xmx1g", classpath=[jar], convertStrings=True)
    ij, executer, macro, manager = (jpype.JClass(f"ij.{name}") for name in ("IJ", "Executer", "Macro", "WindowManager"))
    system, stream, text = (
        jpype.JClass(name) for name in ("java.lang.System", "java.io.PrintStream", "java.io.ByteArrayOutputStream")
    )
    plugin = _DeepImageJ()

    @jpype.JImplements("ij.CommandListener")
    class Listener:
        @jpype.JOverride
        def commandExecuting(self, command):
            if command != "DeepImageJ Run":
                return command
            try:
                plugin.run(str(macro.getOptions()))
            except Exception:  # noqa: BLE001 -- whatever it is, ImageJ shows it and goes on
                ij.log(traceback.format_exc())  # as its window with a stack trace
            return None

    executer.addCommandListener(Listener())
    if windows == "1":
        jpype.JClass("ij.ImageJ")()
    else:
        with contextlib.suppress(jpype.JException):
            ij.run("there are no menus, and no command but the one above")
    for line in sys.stdin:
        request = json.loads(line)
        plugin.behaviour, plugin.calls = request["behaviour"], []
        jpype.JClass("ij.plugin.Macro_Runner").setFilePath(plugin.behaviour.get("earlier"))
        said, interpreter, wrong = text(), jpype.JClass("ij.macro.Interpreter")(), None
        system.setOut(stream(said, True, "UTF-8"))
        system.setErr(stream(said, True, "UTF-8"))
        try:
            interpreter.run(Path(request["macro"]).read_text(encoding="utf-8"), request["argument"])
        except jpype.JException as error:
            if "Macro canceled" not in str(error):  # by exit(); an error of the macro asks for a window
                wrong = f"line {interpreter.getLineNumber()}: {error}"
        shown = [str(title) for title in manager.getImageTitles()]
        answer = {"said": str(said.toString("UTF-8")), "calls": plugin.calls, "wrong": wrong, "shown": shown}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
