"""The registry of networks: what each is, where it comes from, and ``create``; readable without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """What is known of a network before any weights.

    Attributes
    ----------
    name : str
        Name in the registry and of the file (``training/networks/<name>.py``).
    class_name : str
        The class in that file.
    title : str
        The name in the paper.
    paper : str
        Citation with DOI or address.
    source : str
        Address of the published code.
    code_licence : str
        Licence of the published code (SPDX where one exists).
    stride : int
        Total stride: sizes that the bare network takes are multiples of it.
    noise_map : bool
        Whether it wants a second channel that holds the noise level.
    settings : Mapping
        Constructor settings as published (gray, Gaussian denoising).
    radius : Callable
        From settings to the receptive radius in pixels, or None where a global operation sees the whole image.
    """

    name: str
    class_name: str
    title: str
    paper: str
    source: str
    code_licence: str
    stride: int
    noise_map: bool
    settings: Mapping[str, Any]
    radius: Callable[[Mapping[str, Any]], int | None]


NETWORKS: dict[str, Network] = {}


def create(name: str, **settings: Any) -> nn.Module:
    """Return the named network, with the published settings where none are given, and untrained weights."""
    raise NotImplementedError
