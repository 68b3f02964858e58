"""What a TorchScript archive shows: devices, training mode, random numbers, files that it would touch."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from bmz_export.evidence.torchscript.archive import Archive, ArchiveError, Inert, read_archive
from bmz_export.evidence.torchscript.code import calls, reached, reaching_words

_DROPOUT = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout"}
_MODE = {**dict.fromkeys(_DROPOUT, 2), "rrelu": 3, "batch_norm": 5}
"""Operators that may be in training mode, and which of their arguments says so."""
_RANDOM = {
    "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli",
    "multinomial", "poisson", "uniform", "exponential", "geometric", "cauchy", "log_normal", "random",
}  # fmt: skip


@dataclass(frozen=True)
class TorchScript:
    """What an archive's code shows.

    Attributes
    ----------
    archive : Archive or None
        Its code and structure; None where it is no archive.
    devices : frozenset of str
        Device literals in the code.
    training, random, reaches : tuple of str
        Operators that stay in training mode, that draw random numbers, and that reach files or other machines.
    returns : str or None
        What ``forward`` returns, as annotated: ``Tensor``, ``Tuple[Tensor, Tensor]``, ...
    arguments : int or None
        Number of tensors that ``forward`` takes.
    error : str or None
        Why it cannot be read, or not all of it; what is told besides is then of the part that can.
    """

    archive: Archive | None = None
    devices: frozenset[str] = field(default=frozenset())
    training: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    returns: str | None = None
    arguments: int | None = None
    error: str | None = None


def read_torchscript(path: Path) -> TorchScript:
    """Look through a TorchScript archive."""
    try:
        archive = read_archive(path)
    except ArchiveError as error:
        return TorchScript(error=str(error))
    root = archive.root.kind if isinstance(archive.root, Inert) else ""
    forward = archive.functions().get(f"{root}.forward")
    training, random = _modes(archive)
    return TorchScript(
        archive=archive,
        devices=frozenset(_devices(archive)),
        training=tuple(training),
        random=tuple(random),
        reaches=tuple(_reaches(archive)),
        returns=ast.unparse(forward.returns) if forward and forward.returns else None,
        arguments=len(forward.args.args) - 1 if forward else None,
        error=_unread(archive),
    )


def _unread(archive: Archive) -> str | None:
    unread = [module for module, tree in archive.trees.items() if tree is None]
    if unread:
        return f"its code cannot be parsed ({unread[0]})"
    return None if isinstance(archive.root, Inert) else "its data.pkl describes no network"


def _devices(archive: Archive) -> set[str]:
    return {
        str(node.args[0].value)
        for tree in archive.trees.values()
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "torch.device"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def _modes(archive: Archive) -> tuple[dict[str, None], dict[str, None]]:
    """Return the operators left in training mode, and those that draw random numbers."""
    training: dict[str, None] = {}
    random: dict[str, None] = {}
    any_trains = any(module.attributes.get("training") is True for module in archive.modules())
    for tree in archive.trees.values():
        for operator, call in calls(tree) if tree else ():
            name = operator.rpartition("::")[2].removesuffix("_")
            position = _MODE.get(name)
            if position is not None:
                mode = call.args[position] if len(call.args) > position else None
                on = mode.value is True if isinstance(mode, ast.Constant) else mode is not None and any_trains
                training.update({name: None} if on else {})
            elif name in _RANDOM:
                random[name] = None
    return training, random


def _reaches(archive: Archive) -> dict[str, None]:
    found: dict[str, None] = {}
    for module, tree in archive.trees.items():
        found.update(dict.fromkeys(reached(tree) if tree else reaching_words(archive.sources[module])))
    return found
