"""Published checkpoints by name, fetched once into the user's cache, and any checkpoint file read safely."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import UserError
from training.networks import NETWORKS

if TYPE_CHECKING:
    import torch
    from torch import nn

_WRAPPINGS = ("params_ema", "params", "net", "state_dict", "model")
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
class Origin:
    """Where weights come from: what a run records and every package made of it carries.

    Attributes
    ----------
    name : str
        Name in ``CHECKPOINTS``, or of the file.
    sha256 : str
        Of the file.
    licence : str or None
        In words; None where nobody stated one: a file of unknown origin.
    spdx : str or None
        Its SPDX identifier, where it has one.
    source : str
        Address where it was published, or the name of the file.
    citation : str or None
        What to cite.
    """

    name: str
    sha256: str
    licence: str | None
    spdx: str | None
    source: str
    citation: str | None


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


def cached(name: str) -> Path | None:
    """Return the path of a published checkpoint that was fetched before and is whole, else None."""
    path, known = _path(name), CHECKPOINTS[name].sha256
    if not path.is_file() or (known is not None and _sha256(path) != known):
        return None
    return path


def fetch(name: str, *, progress: bool = False) -> Path:
    """Return the path of a published checkpoint, downloaded into the user's cache if it is not there yet.

    The cache is the operating system's for this user; the environment variable ``BMZ_FMD_CACHE`` names another.

    Parameters
    ----------
    name : str
        A key of ``CHECKPOINTS``.
    progress : bool
        Whether a bar on standard error shows the download.

    Raises
    ------
    UserError
        For a checkpoint that no program may fetch, or a download that fails, breaks off or is not the published
        file; nothing is left behind then.
    """
    checkpoint = CHECKPOINTS[name]
    if not checkpoint.urls:
        raise UserError(
            f"{name}: its authors let no program fetch it; open {checkpoint.source} in a browser, download "
            f"{checkpoint.file} and give it with --checkpoint FILE"
        )
    there = cached(name)
    if there is not None:
        return there
    causes = []
    for url in checkpoint.urls:
        try:
            return _download(url, checkpoint, progress)
        except _DownloadError as error:
            causes.append(f"{url}: {error}")
    raise UserError(
        f"{name}: could not be downloaded ({'; '.join(causes)}); try again later, or download {checkpoint.file} from "
        f"{checkpoint.source} and give it with --checkpoint FILE"
    )


def load_checkpoint(source: str | Path, network: nn.Module, *, progress: bool = False) -> Origin | None:
    """Fill a network with the weights of a checkpoint.

    Parameters
    ----------
    source : str or Path
        A key of ``CHECKPOINTS``, which is fetched where it is not cached yet, or a file: a state dict in torch's
        present or legacy layout, bare or under ``params``, ``params_ema``, ``net``, ``state_dict`` or ``model``, its
        keys with or without a prefix such as ``module.``; or a run's checkpoint, of which the denoiser is taken.
    network : torch.nn.Module
        As ``training.networks.create`` returns it; changed in place, and only when everything fits.
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
    path = fetch(name, progress=progress) if name in CHECKPOINTS else Path(source)
    if not path.is_file():
        raise UserError(f"{name}: no such file, and no published checkpoint; those are {', '.join(CHECKPOINTS)}")
    weights = _unprefixed(_read(path), network)
    _refuse_misfit(name, weights, network)
    network.load_state_dict(weights)
    return _origin(name, path)


def _origin(name: str, path: Path) -> Origin | None:
    sha256 = _sha256(path)
    known = CHECKPOINTS.get(name) or _published(path, sha256)
    if known is not None:
        return Origin(known.name, sha256, known.licence, known.spdx, known.source, known.citation)
    unknown = Origin(path.name, sha256, None, None, path.name, None)
    try:
        before = json.loads((path.parent / "provenance.json").read_text(encoding="utf-8"))["checkpoint"]
        if before is None:
            return None
        inherited = {key: before[key] for key in ("licence", "spdx", "source", "citation")}
    except (OSError, ValueError, KeyError, TypeError):
        return unknown
    return replace(unknown, name=f"{path.parent.name}/{path.name}, from {before.get('name')}", **inherited)


def _published(path: Path, sha256: str) -> Checkpoint | None:
    """Return the published checkpoint that a file is: by its hash, or by its name where no hash was ever published.

    The name is no proof, but the careful side: whoever downloads such a file by hand is bound by its licence.
    """
    return next(
        (one for one in CHECKPOINTS.values() if sha256 == one.sha256 or (not one.sha256 and path.name == one.file)),
        None,
    )


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint file; nothing of it is run."""
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's word on TorchScript archives, which are refused below
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "unsupported global" in str(error).lower() or "unsupported class" in str(error).lower():
            raise UserError(
                f"{path}: holds more than numbers, and loading it could run code; save the network's state_dict() alone"
            ) from None
        raise _no_checkpoint(path) from None
    except (RuntimeError, ValueError, KeyError, EOFError, TypeError, AttributeError, IndexError, AssertionError):
        raise _no_checkpoint(path) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    wrapping: str | None = ""
    while isinstance(content, Mapping) and wrapping is not None:
        wrapping = next((key for key in _WRAPPINGS if isinstance(content.get(key), Mapping)), None)
        content = content if wrapping is None else content[wrapping]
    if not isinstance(content, Mapping):
        raise _no_checkpoint(path)
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise _no_checkpoint(path)
    broken = next((key for key, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
    if broken is not None:
        raise UserError(f"{path}: {broken} holds NaN or infinite numbers; take another checkpoint")
    return tensors


def _no_checkpoint(path: Path) -> UserError:
    return UserError(
        f"{path}: not a checkpoint, or damaged; give a file of network weights that torch.save wrote (.pth), and "
        "download it again if you did"
    )


def _unprefixed(weights: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights under the network's own keys where they stand under a common prefix, such as ``module.``.

    Of a calibrated denoiser, whose prefix ends in ``denoiser.``, the constants beside it are left out.
    """
    expected = network.state_dict()
    prefixes = {"", *(key.removesuffix(own) for key in weights for own in expected if key.endswith(f".{own}"))}
    fitting = {prefix: sum(prefix + own in weights for own in expected) for prefix in sorted(prefixes)}
    prefix = max(fitting, key=fitting.__getitem__)
    if prefix.endswith("denoiser."):
        weights = {key: value for key, value in weights.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def _refuse_misfit(name: str, weights: dict[str, torch.Tensor], network: nn.Module) -> None:
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
    raise UserError(
        f"{name}: does not fit {type(network).__name__}: {', '.join(differences[:3])}{more}; "
        f"{_way_out(weights, expected)}"
    )


def _way_out(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    first = next(key for key, value in expected.items() if value.ndim == 4)
    inputs = weights[first].shape[1] if first in weights and weights[first].ndim == 4 else None
    wanted = expected[first].shape[1]
    if inputs is not None and inputs == wanted + 2:
        return "it is of a colour denoiser: take the one for gray images"
    if inputs == 1 and wanted == 2:
        return "it has no channel for the noise level: take a DRUNet that was trained with one"
    return "choose the --network and its settings that the checkpoint was made for"


def _size(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _path(name: str) -> Path:
    """Return where a published checkpoint lies in the cache, there or not."""
    import pooch

    folder = os.environ.get("BMZ_FMD_CACHE") or pooch.os_cache("bmz-fmd")
    return Path(folder).expanduser().absolute() / "checkpoints" / f"{name}.pth"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _DownloadError(Exception):
    """Why one address gave no checkpoint, in a few words."""


def _download(url: str, checkpoint: Checkpoint, progress: bool) -> Path:
    import pooch
    import requests

    path = _path(checkpoint.name)
    pooch.get_logger().setLevel(logging.WARNING)  # it would announce the download and advise to note the hash
    try:
        with _bar(checkpoint.name) if progress else _no_bar() as bar:
            pooch.retrieve(
                url,
                known_hash=checkpoint.sha256,
                fname=path.name,
                path=path.parent,
                downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=30),
            )
    except requests.HTTPError as error:
        raise _DownloadError(str(error).partition(" for url")[0]) from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
        raise _DownloadError("no connection, or it broke off") from None
    except requests.RequestException as error:
        raise _DownloadError(type(error).__name__) from None
    except ValueError:
        raise _DownloadError("what came is not the published file, its sha256 differs") from None
    except OSError as error:
        raise UserError(
            f"{path.parent}: cannot be written ({error.strerror or error}); name another folder in BMZ_FMD_CACHE"
        ) from None
    if checkpoint.sha256 is None:
        try:
            _read(path)
        except UserError:
            path.unlink()
            raise _DownloadError("what came is no checkpoint") from None
    return path


@contextmanager
def _no_bar() -> Iterator[bool]:
    yield False


@contextmanager
def _bar(name: str) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, progress.add_task(name, total=None))


class _Bar:
    """A bar of rich, as pooch drives one."""

    def __init__(self, progress: Any, task: Any) -> None:  # noqa: ANN401
        self._progress = progress
        self._task = task
        self.total = 0

    def update(self, number: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=number)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop_task(self._task)
