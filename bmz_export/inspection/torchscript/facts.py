"""What a TorchScript archive shows: devices, training mode, random numbers, files that it would touch."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from bmz_export.inspection.torchscript.archive import Archive, ArchiveError, read_archive
from bmz_export.inspection.torchscript.code import calls, dotted, reached, reaching_words
from bmz_export.inspection.torchscript.operators import arguments, is_random
from bmz_export.inspection.torchscript.structure import Inert

_MODE = ("train", "training", "dropout_p")
"""What operators call the argument that leaves them in training mode where it is not zero."""


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
        Number of tensors that ``forward`` must be given.
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
    """Look through a TorchScript archive; whatever is wrong with it becomes its ``error``."""
    try:
        return _look(read_archive(path))
    except ArchiveError as error:
        return TorchScript(error=str(error))
    except RecursionError:
        return TorchScript(error="its code is nested too deeply: no network's is")


def _look(archive: Archive) -> TorchScript:
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
        arguments=len(forward.args.args) - 1 - len(forward.args.defaults) if forward else None,
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
        and dotted(node.func) == "torch.device"
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
            given = arguments(operator, call)
            mode = next((given[each] for each in _MODE if each in given), None)
            if mode is not None:
                on = bool(mode.value) if isinstance(mode, ast.Constant) else any_trains
                training.update({name: None} if on else {})
            elif is_random(operator) and not given.keys() & _MODE:
                random[name] = None
    return training, random


def _reaches(archive: Archive) -> dict[str, None]:
    found: dict[str, None] = {}
    for module, tree in archive.trees.items():
        found.update(dict.fromkeys(reached(tree) if tree else reaching_words(archive.sources[module])))
    return found
