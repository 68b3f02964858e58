"""The ONNX Runtime that is installed here, on the CPU."""

from pathlib import Path
from typing import Any

from bmz_export.engines.runtimes import Predict
from bmz_export.package.external_data import refuse_outside_data
from training.inference.backends import from_onnx


def load(task: dict[str, Any]) -> Predict:
    """Load the file, unless it names weights outside its own folder."""
    file = Path(task["weights"])
    refuse_outside_data(file)
    return from_onnx(file, threads=task["threads"], beside=True)
