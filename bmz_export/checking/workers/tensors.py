"""The weights formats compared tensor by tensor, none of them run: ``torch.load`` with ``weights_only``, nothing else.

The result is JSON in the bytes of the one array that ``predict`` returns.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.runtimes import Predict, answer

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-6
"""Of a tensor's largest value: what a format may lose that stores the same type."""

_KEPT = (".running_mean", ".running_var")  # buffers that no state dict leaves out
_SHARED = 0.5
"""The part of its values that a tensor has in common with the one that an exporter renamed."""

Tensors = Mapping[str, NDArray[Any]]


class Format(NamedTuple):
    """What a weights format holds: tensors by name, and what of them is a parameter or stored in another type."""

    tensors: Tensors
    learned: Collection[str] = ()
    """Names that the parent must have too: no buffers, which may have been left out. Where there are some the format is
    not frozen, and holds all that the network has."""
    types: Mapping[str, str] = {}

    def type(self, name: str) -> str:
        """Return the type in which a tensor is stored."""
        return self.types.get(name, self.tensors[name].dtype.name)


def load(task: dict[str, Any]) -> Predict:
    """Load all formats named in ``task["options"]`` (format to file) and compare each with the first of them."""
    files: dict[str, str] = task["options"]
    found: dict[str, Any] = {"not finite": {}, "compared": {}, "errors": {}}
    formats: dict[str, Format] = {}
    for name, read in (("pytorch_state_dict", _state_dict), ("torchscript", _torchscript), ("onnx", _onnx)):
        if name not in files:
            continue
        try:
            formats[name] = read(Path(files[name]))
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with a file becomes a line
            found["errors"][name] = " ".join(str(error).split())[:300] or type(error).__name__
        else:
            found["not finite"][name] = [
                key for key, value in formats[name].tensors.items() if has_nan_or_infinity(value)
            ]
    for name in list(formats)[1:]:
        found["compared"][name] = compare(next(iter(formats.values())), formats[name])
    return answer(found)


def has_nan_or_infinity(value: NDArray[Any]) -> bool:
    """Whether a tensor holds NaN or infinity; a single infinity is a bound or the start of a maximum."""
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return False
    return value.size > 1 or bool(np.isnan(value).any())


def compare(parent: Format, other: Format) -> dict[str, Any]:
    """Compare tensors of the same name, and those without a namesake with one that holds the same values.

    Tensors with NaN or infinity are left out: they are told by themselves, and no other format is to blame for them.

    The result: ``same``: how many agree; ``differ``: name to the largest difference relative to the tensor's largest
    value; ``shapes``: name to both shapes where they are not alike; ``types``: both types and how many tensors, where
    values are equal but for the rounding to one of them; ``missing``: names without a counterpart (folded away by an
    exporter, or gone); ``lacking``: learned ones that the parent does not have; ``unknown``: whether the missing ones
    are none of the network's; ``prefix``: what the parent's names begin with and the other's do not (``module.`` of a
    network that trained on several cards).
    """
    floats = {key: value for key, value in parent.tensors.items() if value.dtype.kind == "f"}
    outer, prefix = _prefix(parent.tensors, other.tensors), ""
    if outer is None:
        prefix, outer = _prefix(other.tensors, parent.tensors) or "", ""
    known = {key: outer + key.removeprefix(prefix) for key in parent.tensors}
    names = {key: name for key, name in known.items() if key in floats and name in other.tensors}
    pairs = {key: (name, other.tensors[name]) for key, name in names.items()} | match_by_values(
        {key: value for key, value in floats.items() if key not in names},
        {name: value for name, value in other.tensors.items() if name not in names.values()},
    )
    same, differ, shapes, types = 0, {}, {}, Counter[tuple[str, str]]()
    for key, (name, found) in pairs.items():
        value = floats[key]
        if has_nan_or_infinity(value) or has_nan_or_infinity(found):
            continue
        if found.size != value.size:
            shapes[key] = [list(value.shape), list(found.shape)]
            continue
        pair = parent.type(key), other.type(name)
        gap = _gap(value, found.reshape(value.shape), pair)
        if gap > TOLERANCE:
            differ[key] = gap
            continue
        same += 1
        types[pair] += pair[0] != pair[1]
    missing = [key for key in floats if key not in pairs]
    return {
        "same": same,
        "differ": differ,
        "shapes": shapes,
        "types": [[*pair, count] for pair, count in types.items() if count],
        "missing": missing,
        "lacking": [name for name in other.learned if name not in known.values()],
        "unknown": bool(other.learned and missing),
        "prefix": prefix,
    }


def _gap(value: NDArray[Any], other: NDArray[Any], types: tuple[str, str]) -> float:
    """Return the largest difference beyond rounding to the coarser type, as a part of the largest value."""
    import torch

    if not value.size:
        return 0.0
    a, b = np.asarray(value, np.float64), np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0, np.abs(a - b))  # the same infinity, too
    if types[0] != types[1]:
        coarser = max((torch.finfo(getattr(torch, name)) for name in types), key=lambda info: info.eps)
        rounding = np.maximum(np.maximum(np.abs(a), np.abs(b)), coarser.tiny) * coarser.eps / 2
        gap = np.where(gap <= rounding, 0, gap)
    largest = float(gap.max())
    return largest / (float(np.abs(a).max()) or 1.0) if np.isfinite(largest) else largest


def match_by_values(tensors: Tensors, others: Tensors) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return which of the others is which tensor under another name, and its values, turned to lie as the tensor's do.

    Exporters name by numbers what they fold or turn. One is the other where it is the same, or where most of its values
    other than 0 are. What was changed by folding shares none, and finds no match.
    """
    every = [
        (name, turned)
        for name, value in others.items()
        if value.dtype.kind == "f" and value.size > 1
        for turned in ((value, value.T) if value.ndim == 2 else (value,))
    ]
    exact = {_key(value): (name, value) for name, value in reversed(every)}
    matched = {key: exact[_key(value)] for key, value in tensors.items() if _key(value) in exact}
    taken = {name for name, _ in matched.values()}
    for key, value in tensors.items():
        if key not in matched:
            free = ((name, other) for name, other in every if name not in taken)
            found = next(((name, other) for name, other in free if _shared(value, other) >= _SHARED), None)
            if found:
                matched[key] = found
                taken.add(found[0])
    return matched


def _key(value: NDArray[Any]) -> tuple[tuple[int, ...], int]:
    return value.shape, hash(value.tobytes())


def _shared(value: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the part of the values other than 0 that are the same in both."""
    if value.shape != other.shape:
        return 0.0
    telling = value != 0
    if telling.sum() < 2:
        return float(np.array_equal(value, other))
    return float((np.abs(value - other)[telling] <= TOLERANCE * np.abs(value).max()).mean())


def _prefix(inner: Tensors, outer: Tensors) -> str | None:
    """Return what most of the outer names put before the inner ones, None where no two of them match."""
    found = Counter(
        name.removesuffix(key)
        for key in inner
        for name in outer
        if name == key or name.endswith(f".{key}")
    )  # fmt: skip
    return max(found, key=lambda prefix: (found[prefix], -len(prefix))) if found else None


def _state_dict(path: Path) -> Format:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise TypeError(f"it holds a {type(loaded).__name__}, not a mapping of tensors")
    for name, value in loaded.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"it is no flat mapping of tensors: {name} is a {type(value).__name__}")
    return _format({str(key): value for key, value in loaded.items()})


def _torchscript(path: Path) -> Format:
    import torch

    network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    parameters = dict(network.named_parameters())
    every = {**parameters, **dict(network.named_buffers())}
    always = [name for name in every if name in parameters or name.endswith(_KEPT)]
    return _format(every, always)


def _onnx(path: Path) -> Format:
    from bmz_export.inspection.onnx_file import read_onnx

    shown = read_onnx(path)
    if shown.error:
        raise ValueError(shown.error)
    return Format(shown.weights)


def _format(tensors: "Mapping[str, torch.Tensor]", learned: Collection[str] = ()) -> Format:
    import torch

    whole = {name: value.detach() for name, value in tensors.items()}
    wide = {name for name, value in whole.items() if value.dtype == torch.bfloat16}  # which NumPy lacks
    arrays = {name: np.asarray((value.float() if name in wide else value).numpy()) for name, value in whole.items()}
    return Format(arrays, learned, dict.fromkeys(wide, "bfloat16"))
