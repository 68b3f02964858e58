"""Whether a weights file of a package may be loaded: asked in one place before anything of it runs anywhere."""

from __future__ import annotations

from bmz_export.inspection import Inspection
from training.errors import PackageError


def unsafe(inspection: Inspection, weights: str, *, processing: bool, trust: bool) -> str | None:
    """Say why nobody should run a weights file, None where it may be run.

    Parameters
    ----------
    inspection : Inspection
        The package.
    weights : str
        The format.
    processing : bool
        Whether the one that would run it applies the description's operations too.
    trust : bool
        Whether the package's own Python may run.
    """
    if inspection.weights(weights) is None:
        return "its file is missing"
    entry = inspection.description.weights[weights]
    if entry.architecture and inspection.package.file(entry.architecture.source) is None:
        return "its architecture file is missing"
    tensors = (*inspection.description.inputs, *inspection.description.outputs)
    custom = any(operation.id == "custom" for tensor in tensors for operation in tensor.operations)
    if custom and processing and not trust:
        return "its operations are the package's own Python, which runs only where you trust the one who made it"
    return hostile(inspection, weights)


def hostile(inspection: Inspection, weights: str) -> str | None:
    """Say why a weights file is not even loaded, None where it may be.

    What cannot be read counts too: the library that loads it may read what we do not, and code can run as soon as a
    file is loaded.
    """
    look = {"onnx": _onnx, "torchscript": _torchscript, "pytorch_state_dict": _state_dict}.get(weights)
    return look(inspection) if look else f"nothing here can tell whether its {weights} is safe to load"


def check_loadable(inspection: Inspection, weights: str) -> None:
    """Raise a ``PackageError`` unless a weights file and the test tensors may be loaded."""
    description = inspection.description
    tests = (inspection.test(tensor) for tensor in (*description.inputs, *description.outputs))
    reason = hostile(inspection, weights) or next((test.error for test in tests if test and test.error), None)
    if reason:
        path = inspection.package.path
        raise PackageError(f"{path}: not loaded: {reason}; bmz-fmd check {path} says more")


def _onnx(inspection: Inspection) -> str | None:
    shown = inspection.onnx
    if shown is None:
        return None
    if shown.error:
        return f"the ONNX cannot be read, so it is not loaded: {shown.error}"
    return "the ONNX names other files as weights; they are not followed" if shown.external else None


def _torchscript(inspection: Inspection) -> str | None:
    shown = inspection.torchscript_archive
    if shown is None:
        return None
    if shown.error:
        return f"the TorchScript's code cannot be read, so it is not loaded: {shown.error}"
    if shown.reaches:
        return (
            f"the TorchScript reaches files, processes or other libraries ({', '.join(shown.reaches)}); it is not run"
        )
    return None


def _state_dict(inspection: Inspection) -> str | None:
    shown = inspection.state_dict
    if shown is None:
        return None
    if shown.layout == "torchscript":
        return "the state dict is a TorchScript archive, which is code"
    return "the state dict is not safe to load" if shown.calls or shown.error else None
