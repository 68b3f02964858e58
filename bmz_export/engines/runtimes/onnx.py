"""The ONNX Runtime that is installed here, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict
from bmz_export.package.external_data import refuse_outside_data


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
