"""What torch says of a TorchScript archive: asked once, in a process of its own that loads the archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bmz_export.engines.base import Job
from bmz_export.engines.process import ask_worker
from training.util.hashing import sha256

SECONDS_A_GROUP = 1 / 6
"""What libtorch 1.13.1 takes to compile a group [59 s for 360 of them]."""
_KNOWN: dict[str, TorchScript] = {}  # by sha256: an export is looked through as a folder and as a zip


@dataclass(frozen=True)
class TorchScript:
    """What a loaded archive holds.

    Attributes
    ----------
    calls : tuple of (str, int, tuple of str)
        Operators, each with its number of arguments by place and the names of those by name.
    devices : tuple of str
        Device literals in the code.
    training, random : tuple of str
        Operators that stay in training mode, and that draw random numbers.
    returns : str or None
        What ``forward`` returns: ``Tensor``, ``Tuple[Tensor, Tensor]``, ...
    arguments : int or None
        Number of tensors that ``forward`` must be given.
    fusion_groups : int or None
        About how many groups of touching pointwise operations libtorch 1.13.1 and 2.0.0 compile at each new image
        size. They are built with LLVM and do so at the second and third call.
    error : str or None
        Why torch gave no answer; nothing else is known then.
    """

    calls: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    devices: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    returns: str | None = None
    arguments: int | None = None
    fusion_groups: int | None = None
    error: str | None = None


def ask_torch(path: Path) -> TorchScript:
    """Load an archive in another process and return what it holds.

    Only for archives in which :func:`read_archive` found nothing: loading runs what they hold.
    """
    digest = sha256(path)
    if digest not in _KNOWN:
        job = Job(path.parent, "torchscript", path, (np.zeros(1, np.float32),))
        answer, outcome = ask_worker("bmz_export.inspection.torchscript.graph", job)
        if not answer:
            return TorchScript(error=f"torch does not load it: {outcome.error}")
        answer["calls"] = [(name, count, tuple(names)) for name, count, names in answer["calls"]]
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in answer.items()}
        _KNOWN[digest] = TorchScript(**values)
    return _KNOWN[digest]
