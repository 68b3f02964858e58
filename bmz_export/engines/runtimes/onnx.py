"""The ONNX Runtime that is installed here, on the CPU."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict


def load(task: dict[str, Any]) -> Predict:
    """Load the file, unless it names weights outside its own folder."""
    import onnxruntime

    refuse_outside_data(Path(task["weights"]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(task["weights"], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        return list(session.run(None, {name: image}))

    return predict


def refuse_outside_data(path: Path) -> None:
    """Raise ``ValueError`` where an ONNX file takes weights from outside its folder; old runtimes read them unasked."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        if uses_external_data(tensor):
            for entry in tensor.external_data:
                if entry.key == "location" and _leaves(entry.value):
                    raise ValueError(
                        f"{path.name} takes the weights {tensor.name} from outside the package: {entry.value}"
                    )


def _leaves(location: str) -> bool:
    paths = (PurePosixPath(location), PureWindowsPath(location))
    return any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)
