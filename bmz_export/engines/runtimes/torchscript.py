"""TorchScript on the torch that is installed here, on the CPU."""

from pathlib import Path
from typing import Any

from bmz_export.engines.runtimes import Predict
from training.inference.backends import from_torchscript


def load(task: dict[str, Any]) -> Predict:
    """Load the archive in evaluation mode."""
    import torch

    torch.set_num_threads(task["threads"])
    return from_torchscript(Path(task["weights"]))
