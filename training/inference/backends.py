"""The one place that runs a network in this process: a torch module, a TorchScript archive, an ONNX file.

Whether a file may be loaded is decided before: ``bmz_export.inspection.safety`` says so of a package's weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.errors import ModelError
from training.util.allocator import keep_freed_memory
from training.util.messages import one_line

if TYPE_CHECKING:
    from torch import nn

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Forward = Callable[[NDArray[np.float32]], list[NDArray[Any]]]
"""From one float32 array to all tensors that the network returns, in their own types."""


def convolve_channels_last(model: nn.Module) -> None:
    """Lay the weights of a model's convolutions out channels last, in place.

    On a CPU, DnCNN then takes half the time and DRUNet two thirds; Restormer, whose time goes elsewhere, takes longer.
    A network that takes views of its tensors may fail with it, so it is for our own networks alone.
    """
    import torch

    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weights in model.parameters():
        if weights.dim() in layouts:
            weights.data = weights.data.contiguous(memory_format=layouts[weights.dim()])


def from_module(model: nn.Module) -> Predict:
    """Return a function from float32 arrays (B, 1, *space) to the same, that runs ``model`` where its weights are."""
    import torch

    keep_freed_memory()

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(model.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device)
            denoised: NDArray[np.float32] = model(batch).cpu().numpy()
            return denoised

    return predict


def from_torchscript(file: Path, device: str = "cpu", *, channels_last: bool = False) -> Forward:
    """Load a TorchScript archive, in evaluation mode.

    Parameters
    ----------
    file : Path
        The archive.
    device : str
        In torch's words.
    channels_last : bool
        See ``convolve_channels_last``.

    Raises
    ------
    UserError
        If this torch does not load it.
    """
    import torch

    keep_freed_memory()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deprecated")
            module = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{file.name}: not TorchScript that this torch loads ({one_line(str(error))})") from None

    if channels_last and device == "cpu":
        convolve_channels_last(module)

    def run(images: NDArray[np.float32]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            result = module(torch.from_numpy(images).to(device))
        tensors = [result] if isinstance(result, torch.Tensor) else list(result)
        return [tensor.cpu().numpy() for tensor in tensors]

    return run


def from_onnx(file: Path, *, threads: int = 0, beside: bool = False) -> Forward:
    """Load an ONNX file, on the CPU.

    Parameters
    ----------
    file : Path
        The model.
    threads : int
        0: as many as there are processors.
    beside : bool
        Whether weights may lie in files beside it. The runtime follows any path that the model names, so check first
        that none leads out of its folder.

    Raises
    ------
    UserError
        If this runtime does not load it.
    """
    import onnxruntime

    keep_freed_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        model = str(file) if beside else file.read_bytes()  # from memory, no file beside it is found
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 its errors share no base of their own
        raise ModelError(f"{file.name}: not ONNX that this runtime loads ({one_line(str(error))})") from None
    name = session.get_inputs()[0].name
    return lambda images: list(session.run(None, {name: images}))
