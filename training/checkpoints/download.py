"""Published checkpoints, fetched once into the user's cache."""

from __future__ import annotations

from pathlib import Path

from training.checkpoints.published import Checkpoint, published_checkpoints
from training.checkpoints.reading import read_weights
from training.errors import CheckpointError, UserError
from training.util.cache import cache_folder
from training.util.hashing import sha256
from training.util.web import failure
from training.util.writing import clear_parts, replacing


def cached(name: str) -> Path | None:
    """Return the path of a published checkpoint that was fetched before and is whole, else None."""
    path, known = _path(name), published_checkpoints()[name].sha256
    if not path.is_file() or (known is not None and sha256(path) != known):
        return None
    return path


def fetch(name: str, *, progress: bool = False) -> Path:
    """Return the path of a published checkpoint, downloaded into the user's cache if it is not there yet.

    The cache is the operating system's for this user; the environment variable ``BMZ_FMD_CACHE`` names another.

    Parameters
    ----------
    name : str
        A key of ``published_checkpoints()``.
    progress : bool
        Whether a bar on standard error shows the download, where that is a terminal.

    Raises
    ------
    UserError
        For a checkpoint that no program may fetch, or a download that fails, breaks off or is not the published
        file; nothing is left behind then.
    """
    checkpoint = published_checkpoints()[name]
    if not checkpoint.urls:
        raise CheckpointError(
            f"{name}: its authors let no program fetch it; open {checkpoint.source} in a browser, download "
            f"{checkpoint.file} and give it with `checkpoint` FILE"
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
    raise CheckpointError(
        f"{name}: could not be downloaded ({'; '.join(causes)}); try again later, or download {checkpoint.file} from "
        f"{checkpoint.source} and give it with `checkpoint` FILE"
    )


def _path(name: str) -> Path:
    """Return where a published checkpoint lies in the cache, there or not."""
    return cache_folder() / "checkpoints" / f"{name}.pth"


class _DownloadError(Exception):
    """Why one address gave no checkpoint, in a few words."""


def _download(url: str, checkpoint: Checkpoint, progress: bool) -> Path:
    import pooch
    import requests
    from tqdm import tqdm

    path = _path(checkpoint.name)
    try:
        # pooch asks whether the bar is true, which one without a total does not answer.
        size, disable = (checkpoint.megabytes or 1) * 10**6, None if progress else True
        with tqdm(desc=checkpoint.name, total=size, unit="B", unit_scale=True, leave=False, disable=disable) as bar:
            path.parent.mkdir(parents=True, exist_ok=True)
            clear_parts(path.parent)
            with replacing(path) as part:
                pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=30)(url, str(part), None)
                _check(part, checkpoint)
    except requests.RequestException as error:
        raise _DownloadError(failure(error)) from None
    except OSError as error:
        raise CheckpointError(
            f"{path.parent}: cannot be written ({error.strerror or error}); name another folder in BMZ_FMD_CACHE"
        ) from None
    return path


def _check(file: Path, checkpoint: Checkpoint) -> None:
    """Refuse a download that is not the published file, or, where its hash is not known, no checkpoint at all."""
    if checkpoint.sha256 is not None:
        if sha256(file) != checkpoint.sha256:
            raise _DownloadError("what came is not the published file, its sha256 differs")
        return
    try:
        read_weights(file)
    except UserError:
        raise _DownloadError("what came is no checkpoint") from None
