"""What the finders of rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bmz_export.inspection import Inspection, Onnx, TorchScript
from bmz_export.package.description import Axis, Operation, Tensor
from bmz_export.tools.rule import Found


def images(inspection: Inspection) -> Iterator[tuple[str, Tensor]]:
    """Yield each input and output with its name for messages."""
    for side, tensors in (("input", inspection.description.inputs), ("output", inspection.description.outputs)):
        for tensor in tensors:
            yield f"{side} {tensor.id!r}", tensor


def declared_halo(inspection: Inspection, letter: str) -> int:
    """Return the halo that the first output declares on an axis, in pixels."""
    output = next(iter(inspection.description.outputs), None)
    axis = output.axis(letter) if output else None
    return axis.halo if axis else 0


def input_axis(inspection: Inspection, letter: str) -> Axis | None:
    """Return the axis of the first input, None where there is none."""
    return next((tensor.axis(letter) for tensor in inspection.description.inputs[:1]), None)


def input_space(inspection: Inspection) -> Iterator[Axis]:
    """Yield the space axes of the first input."""
    return (axis for tensor in inspection.description.inputs[:1] for axis in tensor.space)


def output_axes(inspection: Inspection) -> Iterator[tuple[str, Axis, Axis | None]]:
    """Yield each axis of each output with its name for messages and the axis whose size it follows."""
    for output in inspection.description.outputs:
        for axis in output.axes:
            yield f"output {output.id!r}: axis {axis.id!r}", axis, inspection.description.followed(axis)


def needs(*formats: str) -> Callable[[Inspection], Iterator[str]]:
    """Return a finder that says so where a package holds weights of none of these formats."""

    def find(inspection: Inspection) -> Iterator[str]:
        if not inspection.description.weights.keys() & set(formats):
            yield f"weights are {', '.join(inspection.description.weights) or 'missing'}, it runs {', '.join(formats)}"

    return find


def operations(verdict: Callable[[Operation, Tensor], str | None]) -> Callable[[Inspection], Iterator[str]]:
    """Return a finder that asks ``verdict`` what is wrong with each pre- and postprocessing operation."""

    def find(inspection: Inspection) -> Iterator[str]:
        for where, tensor in images(inspection):
            for operation in tensor.operations:
                message = verdict(operation, tensor)
                if message:
                    yield f"{where}: {operation.id or 'an operation without a name'} {message}"

    return find


def changing(what: str, shown: Onnx | TorchScript | None) -> Iterator[str | Found]:
    """Yield what gives another result at each run."""
    if shown and shown.training:
        drops = any("drop" in name.lower() for name in shown.training)
        seen = (
            ""
            if drops
            else "each tile is normalised by itself: other pixels than the author's, and lines between tiles"
        )
        yield Found(f"the {what} still trains: {', '.join(shown.training)}", seen)
    if shown and shown.random:
        yield Found(f"the {what} draws random numbers: {', '.join(shown.random)}", way_out="draw none in forward")


def clips_at_numbers(operation: Operation) -> bool:
    """Whether a clip has a number for each of its two limits."""
    return all(isinstance(operation.kwargs.get(limit), int | float) for limit in ("min", "max"))


def imported_library(inspection: Inspection) -> str | None:
    """Return the Python library that the state dict's architecture is imported from, None where a file defines it."""
    entry = inspection.description.weights.get("pytorch_state_dict")
    architecture = entry.raw.get("architecture") if entry else None
    source = architecture.get("import_from") if isinstance(architecture, Mapping) else None
    return str(source).partition(".")[0] if source else None


def statistics_per_tile(operation: Operation, tensor: Tensor) -> str | None:
    """Verdict: an operation that measures the image measures each tile where a tool tiles."""
    del tensor
    if not operation.measures:
        return None
    return "measures the image, which here is each tile by itself"
