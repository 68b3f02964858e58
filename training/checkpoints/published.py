"""The published checkpoints: where they are, what they are, and what binds whoever uses them."""

from __future__ import annotations

from dataclasses import dataclass

from training.networks import NETWORKS

_KAIR = "https://github.com/cszn/KAIR/releases/download/v1.0"
_RESTORMER = "https://github.com/swz30/Restormer/releases/download/v1.0"
_KBNET_FOLDER = (
    "https://mycuhk-my.sharepoint.com/:f:/g/personal/1155135732_link_cuhk_edu_hk/"
    "EofsV3eVcAxNlrW72JXqzRUBhkM1Mzw50pJ3BHlAyMYnVw"
)
_ACADEMIC = (
    "Academic Public License, non-commercial, modified copies under the same licence: "
    "https://github.com/swz30/Restormer/blob/main/LICENSE.md"
)


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a published checkpoint.

    Attributes
    ----------
    name : str
        Name in ``CHECKPOINTS``.
    network : str
        Name in ``training.networks.NETWORKS``.
    description : str
        The noise that it was trained on, in a few words.
    file : str
        Name of the published file.
    urls : tuple of str
        Addresses that a program may fetch, the authors' own first; none where it must be fetched by hand.
    sha256 : str or None
        Of the file, where one is known.
    licence : str
        In words.
    spdx : str or None
        SPDX identifier, where the licence has one.
    source : str
        Where a person finds it.
    """

    name: str
    network: str
    description: str
    file: str
    urls: tuple[str, ...]
    sha256: str | None
    licence: str
    spdx: str | None
    source: str

    @property
    def citation(self) -> str:
        """The paper to cite."""
        return NETWORKS[self.network].paper


def _dncnn(level: int, sha256: str | None = None) -> Checkpoint:
    return Checkpoint(
        name=f"dncnn_{level}",
        network="dncnn",
        description=f"gray photographs, Gaussian noise of {level}/255",
        file=f"dncnn_{level}.pth",
        urls=(f"{_KAIR}/dncnn_{level}.pth",),
        sha256=sha256,
        licence="MIT",
        spdx="MIT",
        source="https://github.com/cszn/KAIR",
    )


def _restormer(noise: str, description: str) -> Checkpoint:
    file = f"gaussian_gray_denoising_{noise}.pth"
    return Checkpoint(
        name=f"restormer_gray_{noise}",
        network="restormer",
        description=f"gray photographs, Gaussian noise {description}",
        file=file,
        urls=(f"{_RESTORMER}/{file}", f"https://huggingface.co/deepinv/Restormer/resolve/main/{file}"),
        sha256=None,
        licence=_ACADEMIC,
        spdx=None,
        source="https://github.com/swz30/Restormer",
    )


def _kbnet(level: int) -> Checkpoint:
    return Checkpoint(
        name=f"kbnet_gray_{level}",
        network="kbnet",
        description=f"gray photographs, Gaussian noise of {level}/255",
        file=f"gau_gray_{level}.pth",
        urls=(),
        sha256=None,
        licence="MIT for the code; none stated for the weights",
        spdx=None,
        source=_KBNET_FOLDER,
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _dncnn(15),
        _dncnn(25, "0451a70de9b672ae037270498fbb1c17a1c1c4403785df586ff65df5b858e5b0"),
        _dncnn(50),
        Checkpoint(
            name="drunet_gray",
            network="drunet",
            description="gray photographs, Gaussian noise of 0 to 50/255, told by the noise map",
            file="drunet_gray.pth",
            urls=(f"{_KAIR}/drunet_gray.pth", "https://huggingface.co/deepinv/drunet/resolve/main/drunet_gray.pth"),
            sha256="e27fb29456732c604c8ee3ac3e92ecadd2a7a4e36a8be675e92ebbf93a240de4",
            licence="MIT",
            spdx="MIT",
            source="https://github.com/cszn/KAIR",
        ),
        _restormer("sigma15", "of 15/255"),
        _restormer("sigma25", "of 25/255"),
        _restormer("sigma50", "of 50/255"),
        _restormer("blind", "of 0 to 50/255"),
        _kbnet(15),
        _kbnet(25),
        _kbnet(50),
    )
}

_DEFAULTS = {
    "dncnn": "dncnn_25",
    "drunet": "drunet_gray",
    "restormer": "restormer_gray_sigma25",
    "kbnet": "kbnet_gray_25",
}


def default_checkpoint(network: str) -> str:
    """Return the name of the published checkpoint that a network is fine-tuned from unless told otherwise."""
    return _DEFAULTS[network]
