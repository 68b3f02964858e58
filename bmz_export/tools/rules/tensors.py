"""Rules on the test tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmz_export.inspection import Inspection
from bmz_export.package.description import Axis, Tensor
from bmz_export.tools import finders
from bmz_export.tools.rule import Found, Rule


def _test_tensors(inspection: Inspection) -> Iterator[str | Found]:
    described = inspection.description.tensor
    shapes: dict[str, tuple[int, ...]] = {}  # of the first tensor of each id, to which references lead
    for where, tensor in finders.images(inspection):
        if tensor.test is None:
            seen, way_out = "there is nothing to test the model with", "save one as .npy and name it as `test_tensor`"
            yield Found(f"{where} has no test tensor", seen, way_out)
            continue
        test = inspection.test(tensor)
        if test is None:
            continue
        if test.array is None:
            yield f"{where}: {tensor.test.source}: {test.error}"
            continue
        if tensor.dtype and test.array.dtype.name != tensor.dtype:
            types = f"{test.array.dtype.name}, the description says {tensor.dtype}"
            yield Found(f"{where}: {tensor.test.source} is {types}", way_out="save it in the type that is described")
        elif test.array.dtype.byteorder == ">":
            yield Found(f"{where}: {tensor.test.source} is big-endian", way_out='save array.astype("<f4")')
        if test.fortran:
            yield Found(f"{where}: {tensor.test.source} is in Fortran order, which Java reads transposed",
                        way_out="save numpy.ascontiguousarray of it")  # fmt: skip
        if test.array.ndim != len(tensor.axes):
            yield f"{where}: {tensor.test.source} has {test.array.ndim} axes, the description {len(tensor.axes)}"
        elif tensor is described(tensor.id):
            shapes[tensor.id] = tuple(test.array.shape)
    for where, tensor in finders.images(inspection):
        if tensor.id in shapes and tensor is described(tensor.id):
            yield from (f"{where}: {message}" for message in _shape_faults(inspection, tensor, shapes))


def _shape_faults(inspection: Inspection, tensor: Tensor, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    source = tensor.test.source if tensor.test else ""
    expected = inspection.description.output_shape(tensor, shapes)
    output = tensor in inspection.description.outputs
    for index, (axis, size) in enumerate(zip(tensor.axes, shapes[tensor.id], strict=True)):
        fault = _size_fault(axis, size)
        if fault is None and output and axis.reference is None and axis.size is None and axis.type != "batch":
            continue
        if fault is None and output and (wanted := expected[index]) is not None and wanted != size:
            fault = f"{wanted} follows from the test input"
        if fault:
            yield f"{source} has {size} along {axis.id or axis.letter}, but {fault}"


def _size_fault(axis: Axis, size: int) -> str | None:
    if axis.size is not None and size != axis.size:
        return f"the description says {axis.size}"
    if axis.min is not None and axis.step is not None:
        if size < axis.min:
            return f"the least size is {axis.min}"
        if (size - axis.min) % axis.step if axis.step else size != axis.min:
            return f"sizes are {axis.min} + n * {axis.step}"
    return None


def _uninformative(inspection: Inspection) -> Iterator[str]:
    for where, tensor in finders.images(inspection):
        test = inspection.test(tensor)
        if test is None or test.array is None or tensor.test is None or test.array.dtype.kind not in "fiub":
            continue
        low, high = float(np.min(test.array)), float(np.max(test.array))  # NaN where any value is
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = int(np.count_nonzero(~np.isfinite(test.array)))
            yield f"{where}: {tensor.test.source}: {bad:,} of its {test.array.size:,} values are NaN or infinite"
        elif test.array.size > 1 and low == high:
            yield f"{where}: {tensor.test.source} is {low:g} everywhere, so the test proves nothing"
    yield from _same_test(inspection)


def _same_test(inspection: Inspection) -> Iterator[str]:
    given = {
        inspection.hash(tensor.test): tensor.test.source for tensor in inspection.description.inputs if tensor.test
    }
    for output in inspection.description.outputs:
        found = inspection.hash(output.test) if output.test else None
        if output.test and found and found in given:
            yield f"output {output.id!r}: {output.test.source} holds the same as the test input {given[found]}"


TEST_TENSORS = Rule("test-tensors", "the tool's own test of the model fails",
                    "bioimageio.core, deepImageJ and QuPath read the test tensors as float32 in C order, in the shape "
                    "described", "make the test tensors again from a real image with the network itself",
                    _test_tensors)  # fmt: skip
INFORMATIVE_TESTS = Rule("informative-test", "a test that proves nothing: wrong weights pass it",
                         "bioimageio.core compares with the test output alone; NaN on both sides counts as equal",
                         "make the test tensors from a real image", _uninformative)  # fmt: skip
