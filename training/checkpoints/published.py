"""The published checkpoints, as the networks' files name them: where they are, and what binds whoever uses them."""

from __future__ import annotations

from dataclasses import dataclass

from training.networks import NETWORKS


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a published checkpoint.

    Attributes
    ----------
    name : str
        Key of :func:`published_checkpoints`.
    network : str
        Name in ``training.networks.NETWORKS``.
    file : str
        Name of the published file.
    noise : str
        The level of the Gaussian noise that it was trained on, with gray photographs.
    urls : tuple of str
        Addresses that a program may fetch, the authors' own first; none where it must be fetched by hand.
    source : str
        Where a person finds it.
    licence : str
        In words.
    spdx : str or None
        SPDX identifier, where the licence has one.
    sha256 : str or None
        Of the file, where one is known.
    megabytes : int or None
        Size of the file in 10**6 bytes, where it is known.
    """

    name: str
    network: str
    file: str
    noise: str
    urls: tuple[str, ...]
    source: str
    licence: str
    spdx: str | None = None
    sha256: str | None = None
    megabytes: int | None = None

    @property
    def citation(self) -> str:
        """The paper to cite."""
        return NETWORKS[self.network].paper

    @property
    def summary(self) -> str:
        """File, size, licence and address, for a person who is asked whether to fetch it."""
        size = f"{self.megabytes} MB, " if self.megabytes is not None else ""
        return f"{self.file} ({size}{self.licence}) from {(*self.urls, self.source)[0]}"


def published_checkpoints() -> dict[str, Checkpoint]:
    """Return the published checkpoints of all networks in the registry, by name."""
    found = {}
    for network in NETWORKS.values():
        common = dict(network.checkpoints)
        common.pop("default", None)
        folders, files = common.pop("addresses", ()), common.pop("files", {})
        for name, facts in files.items():
            urls = tuple(f"{folder}/{facts['file']}" for folder in folders)
            found[name] = Checkpoint(name=name, network=network.name, urls=urls, **common, **facts)
    return found


def default_checkpoint(network: str) -> Checkpoint | None:
    """Return the published checkpoint that a network is fine-tuned from by default; None where there is none."""
    name = NETWORKS[network].checkpoints.get("default")
    return None if name is None else published_checkpoints()[name]
