"""TorchScript on libtorch, loaded as deepImageJ and QuPath load it: DJL's model, no translator, the CPU."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict, jvm


def load(task: dict[str, Any]) -> Predict:
    """Load the archive; a folder in its place only starts the engine, which then unpacks its library."""
    os.environ["DJL_CACHE_DIR"] = task["options"]["unpacked"]
    os.environ["DJL_OFFLINE"] = "true"
    threads = task["threads"]
    jvm.start(task, f"-Dai.djl.pytorch.num_threads={threads}", f"-Dai.djl.pytorch.num_interop_threads={threads}")
    import jpype

    shape, nd_list, device = (
        jpype.JClass(name) for name in ("ai.djl.ndarray.types.Shape", "ai.djl.ndarray.NDList", "ai.djl.Device")
    )
    model = jpype.JClass("ai.djl.Model").newInstance("package", device.cpu(), "PyTorch")
    weights = Path(task["weights"])
    if weights.is_file():
        model.load(jpype.JClass("java.nio.file.Paths").get(str(weights.parent)), weights.name)
    predictor = model.newPredictor(jpype.JClass("ai.djl.translate.NoopTranslator")())

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        manager = model.getNDManager().newSubManager()
        try:
            tensor = manager.create(jvm.floats(image), shape(jpype.JArray(jpype.JLong)(list(image.shape))))
            result = predictor.predict(nd_list(tensor))
            result.attach(manager)
            return [jvm.array(result.get(index)) for index in range(result.size())]
        finally:
            manager.close()

    return predict
