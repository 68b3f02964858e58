"""What a check may run, and how: which engines on which formats, what is kept from running, the job that each gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.own_architecture import is_own_architecture
from bmz_export.checking.trials import Array
from bmz_export.engines import ENGINES, GIB, Engine, Job, Outcome
from bmz_export.engines.process import ask_worker
from bmz_export.inspection import Inspection, safety
from bmz_export.package.description import Tensor

FORMATS = ("pytorch_state_dict", "torchscript", "onnx")

Log = Callable[[str], object]
"""Called with what is being done, a line each."""


@dataclass(frozen=True)
class CheckOptions:
    """What a check may do.

    Attributes
    ----------
    rules_only : bool
        Read the package and run no engine on it; torch alone loads its TorchScript, where that holds nothing but
        computation, to list its operators.
    trust : bool
        Let the package's own Python run.
    tiles : bool
        Repeat each tool's tiling on a large image.
    engines : sequence of str or None
        Names of the engines to run; None for all.
    timeout : float
        Seconds of processor time for each engine and weights format.
    memory : int
        Bytes that each may hold.
    certify : bool
        Take the seam that is measured as the one that the package states from now on.
    programs : mapping
        From names of tools to where the user has them (``Program.place``), to be run too.
    """

    rules_only: bool = False
    trust: bool = False
    tiles: bool = False
    engines: Sequence[str] | None = None
    timeout: float = 300.0
    memory: int = 16 * GIB
    certify: bool = False
    programs: Mapping[str, Path] = field(default_factory=dict)


class Runner:
    """Runs things of one package in processes of their own."""

    def __init__(self, inspection: Inspection, options: CheckOptions, log: Log) -> None:
        self.inspection = inspection
        self.options = options
        self.log = log

    def wants(self, engine: str) -> bool:
        """Say whether an engine was asked for."""
        return self.options.engines is None or engine in self.options.engines

    def selected(self) -> Iterator[tuple[Engine, str]]:
        """Yield each engine that was asked for with each weights format that it runs and the package has."""
        for name, engine in ENGINES.items():
            if self.wants(name):
                for weights in FORMATS:
                    if weights in engine.weights and weights in self.inspection.description.weights:
                        yield engine, weights

    def unsafe(self, weights: str, *, processing: bool) -> str | None:
        """Say why nobody should run a weights file; see :func:`bmz_export.inspection.safety.unsafe`."""
        return safety.unsafe(self.inspection, weights, processing=processing, trust=self.options.trust)

    def array(self, tensors: Sequence[Tensor]) -> NDArray[Any] | None:
        """Return the test tensor of the first of these, None where it cannot be read."""
        test = self.inspection.test(tensors[0]) if tensors else None
        return test.array if test else None

    def run(
        self,
        engine: Engine,
        weights: str,
        images: Sequence[Array],
        *,
        patience: float = 1,
        threads: int = 1,
        memory: float = inf,
        like: int = 0,
    ) -> Outcome:
        """Let an engine run these images; ``patience`` multiplies the time limit, ``memory`` lowers that of bytes.

        The bare network of a package that normalises outside of it gets images with the mean and deviation of one of
        them, ``like``, taken out of all, so that a tile of it stays a tile.
        """
        if self.inspection.description.processed and not engine.processing:
            mean, deviation = images[like].mean(), images[like].std() or 1
            images = [np.asarray((image - mean) / deviation, np.float32) for image in images]
        job = self._job(weights, images, self.options.timeout * patience, threads)
        return engine.run(replace(job, memory_limit=int(min(job.memory_limit, memory))))

    def _job(self, weights: str, images: Sequence[Array], timeout: float, threads: int = 1) -> Job:
        return Job(
            package=self.inspection.package.folder,
            weights_format=weights,
            weights=self.inspection.weights(weights) or self.inspection.description.path,
            inputs=tuple(images),
            timeout=timeout,
            memory_limit=self.options.memory,
            trust=self.options.trust or (weights == "pytorch_state_dict" and is_own_architecture(self.inspection)),
            threads=threads,
        )

    def ask_worker(self, name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], Outcome]:
        """Run a module of ``checking.workers`` on the package; its answer is JSON in the bytes of an array."""
        job = replace(self._job("", [np.zeros(1, np.float32)], self.options.timeout), trust=False)
        return ask_worker(f"bmz_export.checking.workers.{name}", job, options)
