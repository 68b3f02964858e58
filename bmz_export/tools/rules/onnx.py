"""Rules on an ONNX file, read without running it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmz_export.inspection import Inspection
from bmz_export.tools import finders
from bmz_export.tools.rule import Rule


def _onnx_readable(inspection: Inspection) -> Iterator[str]:
    entry = inspection.description.weights.get("onnx")
    if entry and inspection.onnx and inspection.onnx.error:
        yield f"{entry.source}: {inspection.onnx.error}"


def _onnx_nan(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    for name, array in (shown.weights if shown else {}).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all() and not _is_limit(array):
            yield f"the ONNX weights {name} hold NaN or infinity"
            return


def _is_limit(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    return array.size == 1 and not np.isnan(array).any()  # a bound of Clip or the start of a maximum


def _onnx_training(inspection: Inspection) -> Iterator[str]:
    return finders.changing("ONNX", inspection.onnx)


def _onnx_external(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    for location in shown.external if shown else ():
        inside = inspection.package.file(location) is not None
        yield f"the ONNX takes weights from {'the second file' if inside else 'a file outside the package:'} {location}"


def _onnx_opset_told(inspection: Inspection) -> Iterator[str]:
    entry, shown = inspection.description.weights.get("onnx"), inspection.onnx
    if entry and shown and not shown.error and entry.opset not in (None, shown.opset):
        yield f"the ONNX is of opset {shown.opset}, the description says {entry.opset}"


def _onnx_shapes(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    if not shown or shown.error:
        return
    inputs, outputs = inspection.description.inputs, inspection.description.outputs
    if len(shown.outputs) != len(outputs):
        yield f"the ONNX returns {len(shown.outputs)} tensors, the description has {len(outputs)}"
    if len(shown.inputs) != len(inputs):
        yield f"the ONNX takes {len(shown.inputs)} inputs, the description has {len(inputs)}"
        return
    for value, tensor in zip(shown.inputs, inputs, strict=True):
        if len(value.shape) != len(tensor.axes):
            if value.shape:
                yield f"the ONNX input has {len(value.shape)} axes, the description {len(tensor.axes)}"
            continue
        for size, axis in zip(value.shape, tensor.axes, strict=True):
            free = bool(axis.step) or (axis.type == "batch" and axis.size is None)
            if isinstance(size, int) and size > 0 and free:
                where = axis.id or axis.letter
                yield f"the ONNX input is fixed to {size} along {where}, which the description leaves free"
            elif isinstance(size, int) and size > 0 and axis.size not in (None, size):
                yield f"the ONNX input has {size} along {axis.id or axis.letter}, the description says {axis.size}"


def _onnx_domains(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    for domain in shown.domains if shown else ():
        used = [name for name in shown.operators if name.startswith(f"{domain}.")] if shown else []
        if used and not domain.startswith(("ai.onnx", "com.microsoft")):
            yield f"the ONNX uses {used[0]}, an operator that no runtime of the tools has"


READABLE = Rule("onnx-readable", "the model does not load", "ONNX Runtime parses the file first",
                "export the ONNX again", _onnx_readable)  # fmt: skip
FINITE = Rule("onnx-finite", "a blank image: every value is NaN",
              "NaN in, NaN out; bioimageio.core's own test passes it",
              "export the ONNX again from the trained network", _onnx_nan)  # fmt: skip
DETERMINISTIC = Rule("onnx-deterministic", "another result at each run",
                     "Dropout with training_mode, BatchNormalization with training_mode, random operators",
                     "call .eval() before the export, and take random operators out of forward",
                     _onnx_training)  # fmt: skip
OPERATORS = Rule("onnx-operators", "the model does not load: unknown operator",
                 "ONNX Runtime has the operators of ONNX and its own; others come with a library beside the model",
                 "export the ONNX with standard operators alone", _onnx_domains)  # fmt: skip
ONE_FILE = Rule("onnx-one-file", "does not load, or reads another file of the machine as weights without a word",
                "ONNX Runtime follows the path that the file names; the package's tools copy one file",
                "export the ONNX in one file (save with save_as_external_data=False)", _onnx_external)  # fmt: skip
OPSET_STATED = Rule("onnx-opset-stated", "the tool picks a runtime for another opset than the file has",
                    "tools read opset_version from the description", "write the opset that the file has",
                    _onnx_opset_told)  # fmt: skip
SHAPES = Rule("onnx-shapes", "fails on images of another size, or on more than one image",
              "ONNX Runtime refuses an input that contradicts the sizes in the file",
              "export with dynamic axes for batch, height and width (an example of batch 2)",
              _onnx_shapes)  # fmt: skip
