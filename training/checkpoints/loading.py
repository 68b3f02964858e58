"""A network filled with the weights of a checkpoint, and where those come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.checkpoints.download import fetch
from training.checkpoints.published import Checkpoint, published_checkpoints
from training.checkpoints.reading import read_weights
from training.errors import CheckpointError
from training.util.hashing import sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

    from training.networks import Network


@dataclass(frozen=True)
class Origin:
    """Where weights come from: what a run records and every package made of it carries.

    Attributes
    ----------
    name : str
        Of the published checkpoint, or of the file.
    sha256 : str
        Of the file.
    licence : str or None
        In words; None where nobody stated one: a file of unknown origin.
    source : str
        Address where it was published, or the name of the file.
    spdx : str or None
        The licence's SPDX identifier, where it has one.
    citation : str or None
        What to cite.
    """

    name: str
    sha256: str
    licence: str | None
    source: str
    spdx: str | None = None
    citation: str | None = None


def load_weights(
    source: str | Path, network: nn.Module, *, changed: Sequence[str] = (), progress: bool = False
) -> Origin | None:
    """Fill a network with the weights of a checkpoint.

    Parameters
    ----------
    source : str or Path
        A published checkpoint's name, which is fetched where it is not cached yet, or a file: a state dict in torch's
        present or legacy layout, bare or under ``params``, ``params_ema``, ``net``, ``state_dict`` or ``model``, its
        keys with or without a prefix such as ``module.``; or a run's checkpoint, of which the denoiser is taken.
    network : torch.nn.Module
        As ``training.networks.create`` returns it; changed in place, and only when everything fits.
    changed : sequence of str
        ``key=value``, the settings by which the network differs from the published one, which a message names.
    progress : bool
        Whether a bar on standard error shows a download.

    Returns
    -------
    Origin or None
        None where the file is of a run of this program that began from scratch: nobody else's licence binds then.

    Raises
    ------
    UserError
        Where there is no such checkpoint, the file is no checkpoint or would run code when loaded, or it does not
        fit; the first three differences are named.
    """
    name = str(source)
    published = published_checkpoints()
    path = fetch(name, progress=progress) if name in published else Path(source)
    if not path.is_file():
        raise CheckpointError(f"{name}: no such file, and no published checkpoint; those are {', '.join(published)}")
    weights = _unprefixed(read_weights(path), network)
    _refuse_misfit(name, weights, network, changed)
    network.load_state_dict(weights)
    return _origin(name, path)


def settings_of(source: str | Path, network: Network) -> dict[str, Any]:
    """Return the network's settings that a checkpoint's weights were made with, as far as they can be read off it.

    Parameters
    ----------
    source : str or Path
        As for ``load_weights``; nothing is fetched.
    network : Network
        Its registry entry.

    Raises
    ------
    UserError
        Where the file is no checkpoint, or of another network.
    """
    path = Path(source)
    if network.one_file or not path.is_file():
        return {}
    weights = read_weights(path)
    inside = "denoiser."  # of a run's checkpoint the denoiser is meant
    if any(key.startswith(inside) for key in weights):
        weights = {key.removeprefix(inside): value for key, value in weights.items() if key.startswith(inside)}
    try:
        return network.settings_of(weights)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None


def _origin(name: str, path: Path) -> Origin | None:
    digest = sha256(path)
    known = published_checkpoints().get(name) or _published(path, digest)
    if known is not None:
        return Origin(known.name, digest, known.licence, known.source, known.spdx, known.citation)
    unknown = Origin(path.name, digest, None, path.name)
    try:
        before = json.loads((path.parent / "provenance.json").read_text(encoding="utf-8"))["checkpoint"]
        if before is None:
            return None
        inherited = {key: before[key] for key in ("licence", "spdx", "source", "citation")}
    except (OSError, ValueError, KeyError, TypeError):
        return unknown
    return replace(unknown, name=f"{path.parent.name}/{path.name}, from {before.get('name')}", **inherited)


def _published(path: Path, digest: str) -> Checkpoint | None:
    """Return the published checkpoint that a file is: by its hash, or by its name where no hash was ever published.

    The name is no proof, but the careful side: whoever downloads such a file by hand is bound by its licence.
    """
    return next(
        (
            one
            for one in published_checkpoints().values()
            if digest == one.sha256 or (not one.sha256 and path.name == one.file)
        ),
        None,
    )


def _unprefixed(weights: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights under the network's keys where they stand under a common prefix, such as ``module.``.

    Of a calibrated denoiser, whose prefix ends in ``denoiser.``, the constants beside it are left out.
    """
    expected = network.state_dict()
    prefixes = {"", *(name.removesuffix(key) for name in weights for key in expected if name.endswith(f".{key}"))}
    fitting = {prefix: sum(prefix + key in weights for key in expected) for prefix in sorted(prefixes)}
    prefix = max(fitting, key=fitting.__getitem__)
    if prefix.endswith("denoiser."):
        weights = {key: value for key, value in weights.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def _refuse_misfit(name: str, weights: dict[str, torch.Tensor], network: nn.Module, changed: Sequence[str]) -> None:
    expected = network.state_dict()
    differences = []
    for key, value in expected.items():
        if key not in weights:
            differences.append(f"{key} is missing")
        elif weights[key].shape != value.shape:
            differences.append(f"{key} is {_size(weights[key])} instead of {_size(value)}")
    differences += [f"{key} is unknown" for key in weights if key not in expected]
    if not differences:
        return
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    raise CheckpointError(
        f"{name}: does not fit {type(network).__name__}: {', '.join(differences[:3])}{more}; "
        f"{_way_out(weights, expected, changed)}"
    )


def _way_out(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], changed: Sequence[str]) -> str:
    if changed:
        return f"`network_settings` {', '.join(changed)} make it another network: choose those of the checkpoint"
    first = next(key for key, value in expected.items() if value.ndim == 4)
    inputs = weights[first].shape[1] if first in weights and weights[first].ndim == 4 else None
    wanted = expected[first].shape[1]
    if inputs is not None and inputs == wanted + 2:
        return "it is of a colour denoiser: take the one for gray images"
    if inputs == 1 and wanted == 2:
        return "it has no channel for the noise level: take a DRUNet that was trained with one"
    return "choose the `network` and its settings that the checkpoint was made for"


def _size(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
