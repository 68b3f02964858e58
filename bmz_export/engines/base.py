"""What an engine is asked and what it answers: values alone, readable without any runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

GIB = 1024**3

Progress = Callable[[str, int, int], None]
"""Called as an installation goes on with what is being fetched, steps done, steps in all."""


@dataclass(frozen=True)
class Job:
    """One package's weights in one format, to be run on some images by one engine.

    Attributes
    ----------
    package
        The unpacked package: a folder with ``rdf.yaml`` at its root.
    weights_format
        The key of ``weights`` in the description: ``torchscript``, ``onnx`` or ``pytorch_state_dict``.
    weights
        The file that holds them.
    inputs
        Images, each for a call of its own, in the package's axis order (batch and channel included). The engines take
        them as float32.
    timeout
        Seconds of processor time, one thread's, for everything: start of the process, loading, all calls. On the clock
        a few times as many may pass, for what waits without computing and for a busy machine.
    memory_limit
        Bytes that the process and its children may hold together.
    disk_limit
        Bytes that they may write, beyond eight times what the inputs take.
    trust
        Whether the package's own Python may run (an architecture file).
    threads
        Processor threads of the runtime. One keeps times comparable on a busy machine.
    """

    package: Path
    weights_format: str
    weights: Path
    inputs: tuple[NDArray[Any], ...]
    timeout: float = 120.0
    memory_limit: int = 16 * GIB
    disk_limit: int = GIB
    trust: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    outputs
        One array an input. Where the job failed: those of the inputs before that.
    seconds
        How long the call for each of ``outputs`` took.
    peaks
        The most bytes that the process itself held from its start to the end of each of these calls; 0 where the system
        does not tell.
    peak_memory
        The most bytes that the process and its children held together.
    error
        None, or one line: what failed, in the engine's own words.
    out_of_time
        Whether the error is that it was stopped at a limit of time, which says nothing of the package.
    skipped
        None, or one line: why the engine did not run at all. That is neither passed nor failed.
    notes
        What else a reader should know, a line each.
    """

    outputs: tuple[NDArray[Any], ...] = ()
    seconds: tuple[float, ...] = ()
    peaks: tuple[int, ...] = ()
    peak_memory: int = 0
    error: str | None = None
    out_of_time: bool = False
    skipped: str | None = None
    notes: tuple[str, ...] = ()
