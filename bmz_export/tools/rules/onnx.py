"""Rules on an ONNX file, read without running it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmz_export.inspection import Inspection
from bmz_export.tools import finders
from bmz_export.tools.rule import Found, Rule


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


def _onnx_training(inspection: Inspection) -> Iterator[str | Found]:
    return finders.changing("ONNX", inspection.onnx)


def _onnx_external(inspection: Inspection) -> Iterator[str | Found]:
    shown = inspection.onnx
    for location in shown.external if shown else ():
        if inspection.package.file(location) is not None:
            yield f"the ONNX takes weights from the second file {location}"
        else:
            seen = "does not load, or takes whatever lies there as weights, without a word"
            yield Found(f"the ONNX takes weights from a file outside the package: {location}", seen)


def _onnx_opset_told(inspection: Inspection) -> Iterator[str]:
    entry, shown = inspection.description.weights.get("onnx"), inspection.onnx
    if entry and shown and not shown.error and entry.opset not in (None, shown.opset):
        yield f"the ONNX is of opset {shown.opset}, the description says {entry.opset}"


def _onnx_tensors(inspection: Inspection) -> Iterator[str | Found]:
    shown = inspection.onnx
    if not shown or shown.error:
        return
    sides = (
        (
            "returns",
            shown.outputs,
            inspection.description.outputs,
            "another picture than the described one, or an error",
        ),
        ("takes", shown.inputs, inspection.description.inputs, "the run fails: an input is missing, or not known"),
    )
    for verb, values, tensors, seen in sides:
        if len(values) != len(tensors):
            names = ", ".join(value.name for value in values)
            yield Found(f"the ONNX {verb} {len(values)} tensors ({names}), the description has {len(tensors)}", seen)
            continue
        for value, tensor in zip(values, tensors, strict=True):
            if value.shape and len(value.shape) != len(tensor.axes):
                axes = f"{len(value.shape)} axes, the description has {len(tensor.axes)}"
                yield Found(f"the ONNX {verb} {value.name} with {axes}",
                            "the run fails, or its image is laid out wrongly",
                            "export a forward that keeps the axes described")  # fmt: skip


def _onnx_shapes(inspection: Inspection) -> Iterator[str | Found]:
    shown, inputs = inspection.onnx, inspection.description.inputs
    for value, tensor in zip(shown.inputs if shown else (), inputs, strict=False):
        for size, axis in zip(value.shape, tensor.axes if len(value.shape) == len(tensor.axes) else (), strict=False):
            if not isinstance(size, int) or size <= 0:
                continue
            where = axis.id or axis.letter
            if axis.step or (axis.type == "batch" and axis.size is None and size > 1):
                yield f"the ONNX input is fixed to {size} along {where}, which the description leaves free"
            elif axis.size not in (None, size):
                yield Found(f"the ONNX input has {size} along {where}, the description says {axis.size}",
                            "refuses every image", "write the size that the file has")  # fmt: skip


def _onnx_batch(inspection: Inspection) -> Iterator[str]:
    shown, inputs = inspection.onnx, inspection.description.inputs
    for value, tensor in zip(shown.inputs if shown else (), inputs, strict=False):
        batch = tensor.axis("b")
        if batch and batch.size is None and 1 in value.shape[tensor.axes.index(batch) :][:1]:
            yield "the ONNX takes one image at a time"


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
ONE_FILE = Rule("onnx-one-file", "does not load: tools open the ONNX alone, or copy it without the second file",
                "ONNX Runtime follows the path that the file names; the package's tools copy one file",
                "export the ONNX in one file (save with save_as_external_data=False)", _onnx_external)  # fmt: skip
OPSET_STATED = Rule("onnx-opset-stated", "the tool picks a runtime for another opset than the file has",
                    "tools read opset_version from the description", "write the opset that the file has",
                    _onnx_opset_told)  # fmt: skip
TENSORS = Rule("onnx-tensors", "the run fails", "tools hand over and take as many tensors as rdf.yaml describes",
               "export a forward with the inputs and outputs that are described, and no more",
               _onnx_tensors)  # fmt: skip
BATCH = Rule("onnx-batch", "the model is marked as failing: it is tested with two images at once",
             "bioimageio.core's test runs batches of one and two, and so does BioImage.IO",
             "export with a free batch axis, or describe a batch of `size: 1`", _onnx_batch)  # fmt: skip
SHAPES = Rule("onnx-shapes", "refuses images of any other size",
              "ONNX Runtime refuses an input that contradicts the sizes in the file",
              "export with dynamic axes for height and width (dynamic_axes, an example of batch 2)",
              _onnx_shapes)  # fmt: skip
