"""Published checkpoints, fetched once into the user's cache."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.checkpoints.published import CHECKPOINTS, Checkpoint
from training.checkpoints.reading import read_weights
from training.errors import CheckpointError, UserError
from training.util.cache import cache_folder
from training.util.hashing import sha256


def cached(name: str) -> Path | None:
    """Return the path of a published checkpoint that was fetched before and is whole, else None."""
    path, known = _path(name), CHECKPOINTS[name].sha256
    if not path.is_file() or (known is not None and sha256(path) != known):
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
        raise CheckpointError(
            f"{path.parent}: cannot be written ({error.strerror or error}); name another folder in BMZ_FMD_CACHE"
        ) from None
    if checkpoint.sha256 is None:
        try:
            read_weights(path)
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
