"""The weights formats compared tensor by tensor, none of them run: ``torch.load`` with ``weights_only``, nothing else.

The result is JSON in the bytes of the one array that ``predict`` returns.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-6
"""Of a tensor's largest value: what a format may lose that stores the same type."""

_KEPT = (".running_mean", ".running_var")  # buffers that no state dict leaves out

Tensors = Mapping[str, NDArray[Any]]


def load(task: dict[str, Any]) -> Predict:
    """Load all formats named in ``task["options"]`` (format to file) and compare each with the state dict."""
    files: dict[str, str] = task["options"]
    found: dict[str, Any] = {"nan": {}, "compared": {}, "errors": {}}
    tensors: dict[str, Tensors] = {}
    learned: dict[str, Collection[str]] = {}
    for name, read in (("pytorch_state_dict", _state_dict), ("torchscript", _torchscript), ("onnx", _onnx)):
        if name not in files:
            continue
        try:
            tensors[name], learned[name] = read(Path(files[name]))
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with a file becomes a line
            found["errors"][name] = " ".join(str(error).split())[:300] or type(error).__name__
        else:
            bad = [key for key, value in tensors[name].items() if value.dtype.kind == "f" and np.isnan(value).any()]
            found["nan"][name] = bad
    parent = tensors.get("pytorch_state_dict")
    for name in ("torchscript", "onnx"):
        if parent is not None and name in tensors:
            found["compared"][name] = compare(parent, tensors[name], learned[name])
    if parent is None and {"torchscript", "onnx"} <= set(tensors):
        found["compared"]["onnx"] = compare(tensors["torchscript"], tensors["onnx"])
    answer = np.frombuffer(json.dumps(found).encode(), np.uint8)
    return lambda image: [answer]


def compare(parent: Tensors, other: Tensors, learned: Collection[str] = ()) -> dict[str, Any]:
    """Compare tensors of the same name, and report those that have no namesake.

    Parameters
    ----------
    parent, other : Mapping
        From name to array.
    learned : collection of str
        Those of the other's names that the parent must have too: parameters, no buffers that may have been left out.
        Where there are some the other is not frozen, and holds all that the network has.

    Returns
    -------
    dict
        ``same``: how many agree; ``differ``: name to the largest difference relative to the tensor's largest value;
        ``missing``: names without a counterpart (folded away by an exporter, or gone); ``lacking``: learned ones
        that the parent does not have; ``unknown``: whether the missing ones are none of the network's; ``prefix``:
        what the parent's names begin with and the other's do not (``module.`` of a network that trained on several
        cards).
    """
    same, differ, missing = 0, {}, []
    outer, prefix = _prefix(parent, other), ""
    if outer is None:
        prefix, outer = _prefix(other, parent) or "", ""
    for key, value in parent.items():
        if value.dtype.kind != "f":
            continue
        name = outer + key.removeprefix(prefix)
        if name not in other:
            missing.append(key)
            continue
        twin = other[name]
        if twin.shape != value.shape and twin.size == value.size:
            twin = twin.reshape(value.shape)
        if twin.shape != value.shape:
            differ[key] = float("inf")
            continue
        top = float(np.nanmax(np.abs(value))) if value.size else 0.0
        gap = np.abs(np.asarray(twin, np.float64) - np.asarray(value, np.float64))
        both_nan = np.isnan(np.asarray(twin, np.float64)) & np.isnan(np.asarray(value, np.float64))
        gap = np.where(both_nan, 0, gap)
        largest = float(gap.max()) / (top or 1.0) if gap.size else 0.0
        if largest <= (TOLERANCE if twin.dtype == value.dtype else 2e-3):
            same += 1
        else:
            differ[key] = largest if np.isfinite(largest) else float("inf")
    limited = {key: min(value, 1e9) for key, value in differ.items()}
    known = {outer + key.removeprefix(prefix) for key in parent}
    lacking = [name for name in learned if name not in known]
    return {
        "same": same,
        "differ": limited,
        "missing": missing,
        "lacking": lacking,
        "unknown": bool(learned and missing),
        "prefix": prefix,
    }


def _prefix(inner: Tensors, outer: Tensors) -> str | None:
    """Return what most of the outer names put before the inner ones, None where no two of them match."""
    found = Counter(
        name.removesuffix(key)
        for key in inner
        for name in outer
        if name == key or name.endswith(f".{key}")
    )  # fmt: skip
    return max(found, key=lambda prefix: (found[prefix], -len(prefix))) if found else None


def _state_dict(path: Path) -> tuple[Tensors, Collection[str]]:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise TypeError(f"it holds a {type(loaded).__name__}, not a mapping of tensors")
    other = [key for key, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise TypeError(f"it is no flat mapping of tensors: {other[0]} is a {type(loaded[other[0]]).__name__}")
    return {str(key): _array(value) for key, value in loaded.items()}, ()


def _torchscript(path: Path) -> tuple[Tensors, Collection[str]]:
    import torch

    network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    parameters = dict(network.named_parameters())
    every = {**parameters, **dict(network.named_buffers())}
    always = [name for name in every if name in parameters or name.endswith(_KEPT)]
    return {name: _array(value) for name, value in every.items()}, always


def _onnx(path: Path) -> tuple[Tensors, Collection[str]]:
    from bmz_export.evidence.onnx_file import read_onnx

    shown = read_onnx(path)
    if shown.error:
        raise ValueError(shown.error)
    return shown.weights, ()


def _array(tensor: "torch.Tensor") -> NDArray[Any]:
    import torch

    tensor = tensor.detach()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
