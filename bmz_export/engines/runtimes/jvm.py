"""Java inside this process: started once, arrays across."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARRAYS = {
    "FLOAT32": ("toFloatArray", np.float32),
    "FLOAT64": ("toDoubleArray", np.float64),
    "INT64": ("toLongArray", np.int64),
    "INT32": ("toIntArray", np.int32),
    "UINT8": ("toUint8Array", np.uint8),
    "INT8": ("toByteArray", np.int8),
    "BOOLEAN": ("toBooleanArray", np.bool_),
}


def start(task: dict[str, Any], *properties: str) -> None:
    """Start Java with the engine's jars; its temporary files go where the worker's go."""
    import jpype

    options = task["options"]
    jpype.startJVM(
        options["jvm"],
        f"-Djava.io.tmpdir={os.environ['TMPDIR']}",
        f"-Duser.home={os.environ['HOME']}",
        *properties,
        classpath=options["jars"],
        convertStrings=True,
    )


def floats(image: NDArray[np.float32]) -> Any:  # noqa: ANN401 -- a Java array
    """Return an image as Java's ``float[]``."""
    import jpype

    return jpype.JArray(jpype.JFloat)(np.ascontiguousarray(image).ravel())


def array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 -- DJL's NDArray
    """Return a tensor of DJL as NumPy's, in its own number type."""
    shape = tuple(int(size) for size in tensor.getShape().getShape())
    method, dtype = _ARRAYS[str(tensor.getDataType().name())]
    return np.array(getattr(tensor, method)(), dtype=dtype).reshape(shape)
