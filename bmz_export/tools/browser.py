"""ONNX Runtime Web, in ImJoy, on the BioImage.IO site and in the page that a package carries."""

from __future__ import annotations

from collections.abc import Iterator

from bmz_export.inspection import Inspection
from bmz_export.tools import finders, rules
from bmz_export.tools.rule import Rule
from bmz_export.tools.tool import Tool, first_of

MAX_BYTES = 2 * 2**30
"""A WebAssembly memory has 4 GiB, and loading holds the file twice."""
_SOURCE = "onnxruntime-web 1.30, WebAssembly"


def _types(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    for value in (*shown.inputs, *shown.outputs) if shown else ():
        if value.dtype != "float32":
            yield f"the ONNX tensor {value.name} is {value.dtype}"


def _size(inspection: Inspection) -> Iterator[str]:
    path = inspection.weights("onnx")
    if path and path.stat().st_size > MAX_BYTES:
        yield f"the ONNX has {path.stat().st_size / 2**30:.1f} GiB"


TOOL = Tool(
    name="browser",
    title="browser",
    engines=("onnxruntime-web",),
    install="serve the folder and open the page that lies in it",
    rules=(
        rules.archive.AT_THE_ROOT,
        rules.files.WEIGHTS_PRESENT,
        *rules.ONNX,
        Rule("onnx", "cannot run there", _SOURCE, "add ONNX", finders.needs("onnx"), "warning"),
        Rule("float32", "the page feeds float32 and is refused", _SOURCE, "export with float32 in and out", _types),
        Rule("memory", "the tab runs out of memory on loading", _SOURCE, "a smaller network", _size),
    ),
    weights_choice=first_of("onnx"),
)  # fmt: skip
