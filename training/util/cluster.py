"""A Dask cluster, where its address was given."""

from __future__ import annotations

from typing import Any

from training.errors import SettingError


def connect(address: str) -> Any:  # noqa: ANN401 distributed has no types
    """Return a client of a Dask scheduler; ``UserError`` where that cannot be had."""
    try:
        import distributed
    except ImportError:
        raise SettingError("`scheduler` needs Dask's distributed: pip install 'bmz-fmd[cluster]'") from None
    try:
        return distributed.Client(address)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SettingError(f"`scheduler` {address} cannot be reached ({error}): check that it runs") from None
