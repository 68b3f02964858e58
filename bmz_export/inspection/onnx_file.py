"""What an ONNX file says, parsed without running it and without following a path that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.package.external_data import every, load_model, named_files

MAX_BYTES = 2**31  # protobuf holds no more in one message

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
_STANDARD = {"", "ai.onnx"}
_ORT = b"ORTM"  # where ONNX Runtime looks to tell its own format


@dataclass(frozen=True)
class Value:
    """An input or output of the graph: sizes are numbers where they are fixed, names where they are free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Onnx:
    """What an ONNX file shows.

    Attributes
    ----------
    opset, ir : int
        Version of the standard operators and of the file's own format.
    domains : tuple of str
        Operator sets beyond the standard one.
    operators : Counter
        How often each operator occurs, subgraphs and functions included.
    external : tuple of str
        Files that it names as weights.
    training, random : tuple of str
        Operators left in training mode, and that draw random numbers.
    weights : Mapping
        Initializers by name, those in the file alone.
    error : str or None
        Why it cannot be read.
    """

    opset: int = 0
    ir: int = 0
    domains: tuple[str, ...] = ()
    operators: Counter[str] = field(default_factory=Counter)
    external: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    error: str | None = None


def read_onnx(path: Path) -> Onnx:
    """Parse an ONNX file; whatever is wrong with it becomes its ``error``."""
    try:
        if path.stat().st_size >= MAX_BYTES:
            return Onnx(error="2 GiB or more in one file, which no runtime parses")
        with path.open("rb") as stream:
            if stream.read(8)[4:] == _ORT:
                return Onnx(error="of ONNX Runtime's own format, whose files are not looked through")
        return _read(load_model(path))
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return Onnx(error=f"not readable ({' '.join(str(error).split())[:120]})")


def _read(model: Any) -> Onnx:  # noqa: ANN401 -- onnx has no types
    if not model.graph.node and not model.graph.output:
        return Onnx(error="not an ONNX file: it holds no graph")
    operators: Counter[str] = Counter()
    training: Counter[str] = Counter()
    opset = max((entry.version for entry in model.opset_import if entry.domain in _STANDARD), default=0)
    nodes = list(every("NodeProto", model))
    constants = {tensor.name: tensor for tensor in every("TensorProto", model)}
    for node in nodes:
        if node.op_type == "Constant" and node.output:
            constants[node.output[0]] = next((each.t for each in node.attribute if each.HasField("t")), None)
    for node in nodes:
        operators[node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"] += 1
        if _trains(node, constants):
            training[node.op_type] += 1
    weights = {tensor.name: array for tensor in model.graph.initializer if (array := _array(tensor)) is not None}
    names = {tensor.name for tensor in model.graph.initializer}
    return Onnx(
        opset=opset,
        ir=model.ir_version,
        domains=tuple(entry.domain for entry in model.opset_import if entry.domain not in _STANDARD),
        operators=operators,
        external=tuple(dict.fromkeys(named_files(model))),
        training=tuple(training),
        random=tuple(name for name in operators if name in _RANDOM),
        inputs=tuple(_value(value) for value in model.graph.input if value.name not in names),
        outputs=tuple(_value(value) for value in model.graph.output),
        weights=weights,
    )


def _trains(node: Any, constants: Mapping[str, Any]) -> bool:  # noqa: ANN401
    if node.op_type == "BatchNormalization":
        return any(each.name == "training_mode" and each.i for each in node.attribute)
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return False
    mode = constants.get(node.input[2])
    array = _array(mode) if mode is not None else None
    return array is None or bool(array.any())


def _array(tensor: Any) -> NDArray[Any] | None:  # noqa: ANN401
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError):
        return None


def _value(value: Any) -> Value:  # noqa: ANN401
    from onnx import helper

    tensor = value.type.tensor_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, ValueError):
        dtype = "?"
    shape = tuple(each.dim_value if each.HasField("dim_value") else each.dim_param or "?" for each in tensor.shape.dim)
    return Value(value.name, dtype, shape)
