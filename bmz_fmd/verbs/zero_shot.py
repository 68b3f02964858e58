"""What verbs that take ``--zero-shot`` share: the words for its weights, and where they have no meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bmz_fmd import console
from bmz_fmd.verbs.train import ask
from training.errors import UserError


def zero_shot_words(
    *,
    network: str | None,
    network_set: Sequence[str] | None,
    checkpoint: str | None,
    camera: Path | None,
    device: str,
    yes: bool,
) -> dict[str, Any]:
    """Return the parameters of ``bmz_fmd.zero_shot``, and of ``bmz_fmd.train``, that options of these names mean."""
    from training.runs.settings import parse_changes

    return {
        "network": network,
        "network_settings": parse_changes(network_set or (), "--network-set"),
        "checkpoint": checkpoint,
        "camera": camera,
        "device": device,
        "fetch": yes or ask,
        "listener": console.listener(),
    }


def only_with_zero_shot(options: Mapping[str, object]) -> None:
    """Raise ``UserError`` for the first option that was given, where ``--zero-shot`` was not."""
    for name, given in options.items():
        if given is not None:
            raise UserError(f"`{name}` has no meaning without `zero_shot`: a model brings its own weights")
