"""What every engine does, and what those do whose files are fetched, pinned by version and hash."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from bmz_export.engines.base import Job, Outcome, Progress
from bmz_export.engines.cache import engine_folder, folder_size, install_into, remove_engine
from bmz_export.engines.process import run_worker
from training.errors import EngineError

_EXTRA = "pip install 'bmz-fmd[engines]'"


@dataclass(frozen=True)
class Engine(ABC):
    """A runtime that some tool ships, in the version that it ships.

    Attributes
    ----------
    name
        Unique; what ``bmz-fmd engines install`` takes.
    title
        For tables.
    version
        Of the runtime itself.
    runtime
        The module of ``engines.runtimes`` that runs it.
    weights
        Weights formats that it runs.
    tools
        The tools that use it, for a reader.
    processing
        Whether it applies the pre- and post-processing of the description; else it runs the bare network.
    compiles
        Whether it compiles at the second and third call with a new size, which may then take long.
    """

    name: str
    title: str
    version: str
    runtime: str
    weights: tuple[str, ...]
    tools: tuple[str, ...]
    processing: bool = False
    compiles: bool = False

    @property
    @abstractmethod
    def install_hint(self) -> str:
        """The one command that installs it."""

    @abstractmethod
    def missing(self) -> str | None:
        """Say what it needs that is not here, beside what ``install`` fetches, and how to get that."""

    @abstractmethod
    def installed(self) -> bool:
        """Whether it can run now, without fetching anything."""

    @abstractmethod
    def size(self) -> int:
        """Bytes on disk, 0 where it is not installed."""

    def install(self, progress: Progress | None = None) -> None:
        """Fetch it, pinned by version and hash, into the user's cache; a ``UserError`` says why it could not."""
        if missing := self.missing():
            raise EngineError(f"{self.name} {missing}")

    def remove(self) -> int:
        """Delete what ``install`` fetched and return the bytes freed."""
        return remove_engine(self.name)

    def run(self, job: Job, **options: object) -> Outcome:
        """Run a job in a process of its own. A failure of any kind is told in the outcome, never raised.

        ``options`` go to the runtime.
        """
        if not self.installed():
            return Outcome(skipped=f"{self.title} is not installed: {self.install_hint}")
        return run_worker(f"bmz_export.engines.runtimes.{self.runtime}", job, options)


class FetchedEngine(Engine):
    """An engine whose files are fetched into the cache; a program that is already here runs them."""

    packages: ClassVar[tuple[str, ...]]
    """Python packages that drive the program."""
    program_hint: ClassVar[str]
    """The program, and where to get one."""

    @abstractmethod
    def program(self) -> Path | None:
        """Return the program, None where there is none."""

    @abstractmethod
    def pinned(self) -> Iterable[str]:
        """Return what the lock pins, such as hashes."""

    @abstractmethod
    def total(self) -> int:
        """Return the bytes to be fetched; a ``UserError`` says that there is nothing for this machine."""

    @abstractmethod
    def fill(self, folder: Path, advance: Callable[[str, int], None]) -> None:
        """Put its files into an empty folder; ``advance`` is told what is being done and of new bytes."""

    @abstractmethod
    def options(self, folder: Path) -> dict[str, Any]:
        """Return what the runtime needs to run the files in this folder."""

    @property
    def folder(self) -> Path:
        """Where its files lie once it is installed."""
        return engine_folder(self.name, self.pinned())

    @property
    def install_hint(self) -> str:
        """The one command that installs it."""
        command = f"bmz-fmd engines install {self.name}"
        return f"{_EXTRA} && {command}" if self._absent() else command

    def missing(self) -> str | None:
        """Say which packages or program it needs that are not here, and how to get them."""
        if absent := self._absent():
            return f"needs {' and '.join(absent)}: {_EXTRA}"
        return None if self.program() else f"needs {self.program_hint}"

    def installed(self) -> bool:
        """Whether files, packages and program are there."""
        return self.folder.is_dir() and not self.missing()

    def size(self) -> int:
        """Bytes of the files that were fetched."""
        return folder_size(self.folder)

    def install(self, progress: Progress | None = None) -> None:
        """Fetch the files, check their hashes, and keep all of them or none."""
        super().install()
        if self.folder.is_dir():
            return
        total, done = self.total(), 0

        def advance(what: str, count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(f"{what} {self.title}", done, total)

        install_into(self.folder, partial(self.fill, advance=advance), progress)

    def run(self, job: Job, **options: object) -> Outcome:
        """Run a job in a process of its own."""
        return super().run(job, **self.options(self.folder), **options)

    def _absent(self) -> list[str]:
        return [name for name in self.packages if importlib.util.find_spec(name) is None]
