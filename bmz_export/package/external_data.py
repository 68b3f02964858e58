"""What an ONNX file takes from other files: runtimes follow whatever path it names, some of them out of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def load_model(path: Path) -> Any:  # noqa: ANN401 -- onnx has no types
    """Parse an ONNX file as its runtimes do, by its content and not by its name, and follow no path in it."""
    import onnx

    return onnx.load_model(str(path), format="protobuf", load_external_data=False)


def every(kind: str, message: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield all messages of a kind in a model, such as ``TensorProto`` or ``NodeProto``.

    Wherever they stand: initializers, sparse ones, attributes, subgraphs, functions, training.
    """
    if message.DESCRIPTOR.name == kind:
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from every(kind, inner)


def named_files(model: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield each file that a model names as the place of a tensor's values; empty where it names none."""
    from onnx import TensorProto

    for tensor in every("TensorProto", model):
        locations = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            yield from locations or [""]


def refuse_outside_data(path: Path) -> None:
    """Raise ``ValueError`` where an ONNX file takes weights from outside its folder; old runtimes read them unasked."""
    for location in named_files(load_model(path)):
        if _leaves(location):
            raise ValueError(f"{path.name} takes weights from outside the package: {location}")


def _leaves(location: str) -> bool:
    paths = (PurePosixPath(location), PureWindowsPath(location))
    return any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)
