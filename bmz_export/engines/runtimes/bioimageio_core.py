"""The whole prediction of bioimageio.core: pre-processing, network, post-processing.

Each image is run whole and unpadded, as the library's own test and the zoo's continuous integration run it, with
deterministic algorithms on.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import NotRunError, Predict
from bmz_export.package.archive import DESCRIPTION_NAMES
from training.inference.backends import Forward

Format = Literal["pytorch_state_dict", "torchscript", "onnx"]


def load(task: dict[str, Any]) -> Predict:
    """Load the package's weights in the format asked for."""
    if task["weights_format"] == "pytorch_state_dict" and not task["trust"]:
        raise NotRunError("the package's own Python runs only where you trust the one who made it")
    from bioimageio.core import enable_determinism

    enable_determinism("full", weight_formats=[task["weights_format"]])
    # the one that was looked at: by itself the library may take another that lies beside it
    files = (Path(task["package"]) / name for name in DESCRIPTION_NAMES)
    device = "CPUExecutionProvider" if task["weights_format"] == "onnx" else "cpu"
    return pipeline(next(file for file in files if file.is_file()), task["weights_format"], device)


def pipeline(description: Path, weights_format: Format, device: str) -> Forward:
    """Return the prediction of the package that a file describes, which takes arrays in the package's axis order."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model, get_axes_infos, get_member_ids
    from bioimageio.core.tensor import Tensor
    from bioimageio.spec import load_model_description

    model = load_model_description(description, perform_io_checks=False)
    loaded = create_prediction_pipeline(model, weights_format=weights_format, devices=[device])
    loaded.load()  # type: ignore[no-untyped-call]
    (name,) = get_member_ids(model.inputs)
    axes = [info.id for info in get_axes_infos(model.inputs[0])]
    outputs = get_member_ids(model.outputs)

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        sample = create_sample_for_model(model, inputs={name: Tensor.from_numpy(image, dims=axes)})
        result = loaded.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
        return [np.asarray(result.members[output].data.data) for output in outputs]

    return predict
