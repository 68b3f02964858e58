"""Whether an architecture file is, byte for byte, what this project writes: then it may be imported untrusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bmz_export.inspection.source import MAX_BYTES
from bmz_export.package.weights import CALLABLE, compose_architecture
from training.errors import UserError
from training.networks import NETWORKS

if TYPE_CHECKING:
    from bmz_export.inspection import Inspection

_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,64}")


def is_own_architecture(inspection: Inspection) -> bool:
    """Say whether a package's architecture file equals the one composed from the networks installed here.

    The composed file quotes the package's arguments, so only plain ones count: numbers, words, lists of them. The file
    then does nothing at import that this project does not, whoever wrote the package. The file of an earlier version
    is not ours in this sense: its state dict runs with ``trust`` alone, its TorchScript and ONNX as ever.
    """
    entry = inspection.description.weights.get("pytorch_state_dict")
    if entry is None or entry.architecture is None or entry.callable != CALLABLE:
        return False
    path = inspection.package.file(entry.architecture.source)
    if path is None or set(entry.kwargs) != {"network", "calibration"}:
        return False
    if not all(isinstance(each, Mapping) and plain_arguments(each) for each in entry.kwargs.values()):
        return False
    with path.open("rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    return any(composed(network, entry.kwargs) == text for network in NETWORKS)


def composed(network: str, kwargs: Mapping[str, Any]) -> bytes | None:
    """Return the architecture file of a network with these arguments, None where they are none of it."""
    try:
        return compose_architecture(network, kwargs).encode()
    except (UserError, ValueError, TypeError, KeyError):
        return None


def plain_arguments(values: Mapping[Any, Any]) -> bool:
    """Say whether arguments are numbers, words and lists of them, by names: what a file may quote unharmed."""
    return all(isinstance(key, str) and key.isidentifier() and _plain(value) for key, value in values.items())


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 64 and all(_plain(item) for item in value)
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    return isinstance(value, bool | int | float)
