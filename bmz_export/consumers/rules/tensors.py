"""Rules on the test tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmz_export.consumers.rule import Rule, images
from bmz_export.evidence import Evidence
from bmz_export.package.description import Axis, Tensor


def _test_tensors(evidence: Evidence) -> Iterator[str]:
    shapes: dict[str, tuple[int, ...]] = {}
    for where, tensor in images(evidence):
        if tensor.test is None:
            yield f"{where} has no test tensor"
            continue
        test = evidence.test(tensor)
        if test is None:
            continue
        if test.array is None:
            yield f"{where}: {tensor.test.source}: {test.error}"
            continue
        shapes[tensor.id] = tuple(test.array.shape)
        if tensor.dtype and test.array.dtype.name != tensor.dtype:
            yield f"{where}: {tensor.test.source} is {test.array.dtype.name}, the description says {tensor.dtype}"
        elif test.array.dtype.byteorder == ">":
            yield f"{where}: {tensor.test.source} is big-endian"
        if test.fortran:
            yield f"{where}: {tensor.test.source} is in Fortran order, which Java reads transposed"
        if test.array.ndim != len(tensor.axes):
            yield f"{where}: {tensor.test.source} has {test.array.ndim} axes, the description {len(tensor.axes)}"
            shapes.pop(tensor.id)
    for where, tensor in images(evidence):
        if tensor.id in shapes:
            yield from (f"{where}: {message}" for message in _shape_faults(evidence, tensor, shapes))


def _shape_faults(evidence: Evidence, tensor: Tensor, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    source = tensor.test.source if tensor.test else ""
    expected = evidence.description.output_shape(tensor, shapes)
    output = tensor in evidence.description.outputs
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


def _uninformative(evidence: Evidence) -> Iterator[str]:
    for where, tensor in images(evidence):
        test = evidence.test(tensor)
        if test is None or test.array is None or tensor.test is None or test.array.dtype.kind not in "fiub":
            continue
        array = np.asarray(test.array, np.float64)
        if not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            yield f"{where}: {tensor.test.source}: {bad:,} of its {array.size:,} values are NaN or infinite"
        elif array.size > 1 and np.ptp(array) == 0:
            yield f"{where}: {tensor.test.source} is {array.flat[0]:g} everywhere, so the test proves nothing"


TEST_TENSORS = Rule(
    "test-tensors",
    "the tool's own test of the model fails",
    "bioimageio.core, deepImageJ and QuPath read the test tensors as float32 in C order, in the shape described",
    "make the test tensors again from a real image with the network itself",
    _test_tensors,
)
INFORMATIVE_TESTS = Rule(
    "informative-test",
    "a test that proves nothing: wrong weights pass it",
    "bioimageio.core compares with the test output alone; NaN on both sides counts as equal",
    "make the test tensors from a real image",
    _uninformative,
)
