"""ONNX on ONNX Runtime for Java, the runtime under deepImageJ's ONNX engine."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict, jvm
from bmz_export.package.external_data import refuse_outside_data


def load(task: dict[str, Any]) -> Predict:
    """Load the file, unless it names weights outside its own folder; a folder in its place only starts the runtime."""
    jvm.start(task)
    import jpype

    environment = jpype.JClass("ai.onnxruntime.OrtEnvironment").getEnvironment()
    tensors = jpype.JClass("ai.onnxruntime.OnnxTensor")
    wrap = jpype.JClass("java.nio.FloatBuffer").wrap
    options = jpype.JClass("ai.onnxruntime.OrtSession$SessionOptions")()
    options.setIntraOpNumThreads(task["threads"])
    if Path(task["weights"]).is_dir():
        return lambda image: [image]
    refuse_outside_data(Path(task["weights"]))
    session = environment.createSession(task["weights"], options)
    (name, *_) = session.getInputNames()

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        shape = jpype.JArray(jpype.JLong)(list(image.shape))
        tensor = tensors.createTensor(environment, wrap(jvm.floats(image)), shape)
        inputs = jpype.JClass("java.util.HashMap")()
        inputs.put(name, tensor)
        results = session.run(inputs)
        try:
            return [np.array(results.get(index).getValue()) for index in range(results.size())]
        finally:
            results.close()
            tensor.close()

    return predict
