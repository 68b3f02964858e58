"""TorchScript on the torch that is installed here, on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict


def load(task: dict[str, Any]) -> Predict:
    """Load the archive in evaluation mode."""
    import torch

    torch.set_num_threads(task["threads"])
    network = torch.jit.load(task["weights"], map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def predict(image: NDArray[np.float32]) -> list[NDArray[Any]]:
        with torch.no_grad():
            result = network(torch.from_numpy(image))
        tensors = [result] if isinstance(result, torch.Tensor) else list(result)
        return [tensor.numpy() for tensor in tensors]

    return predict
