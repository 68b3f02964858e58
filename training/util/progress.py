"""Where the notes, warnings and progress of a training go."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from training.errors import TrainingWarning


def _silent(text: str) -> None:
    """Say nothing."""


def _no_progress(title: str, total: float | None) -> AbstractContextManager[Callable[[float, str], object]]:
    return nullcontext(lambda steps, what: None)


@dataclass(frozen=True)
class Listener:
    """Functions that show what happens; by default nothing is shown.

    Attributes
    ----------
    note, warn : callable
        Take one line.
    progress : callable
        From a title and a number of steps to a context that yields ``advance(steps, what)``.
    """

    note: Callable[[str], object] = _silent
    warn: Callable[[str], object] = _silent
    progress: Callable[[str, float | None], AbstractContextManager[Callable[[float, str], object]]] = _no_progress


def logged() -> Listener:
    """Return a listener whose notes go to the logger ``bmz_fmd``, and whose warnings are Python's."""
    return Listener(
        note=logging.getLogger("bmz_fmd").info, warn=lambda text: warnings.warn(text, TrainingWarning, stacklevel=2)
    )
