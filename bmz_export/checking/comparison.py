"""Compares what the engines returned: with the test output, with one another, and with themselves when run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import LATE, Difference, Fault, Row, Verdict
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.trials import REPEATS, Trial, compare, defect, worst
from bmz_export.engines import Engine, Outcome
from bmz_export.package.description import Description
from bmz_export.tools import TOOLS

LIMIT = 1e-3
"""BioImage.IO's tolerance, as a part of the output's range: above it a result is another one."""
CLOSE = 1e-4
"""What a good export keeps; between this and ``LIMIT`` is a warning."""
REPEATABLE = 1e-5
WAIT_FACTOR, WAIT_SECONDS = 2.0, 0.5
"""A call at a new size that takes this many times the steady time, and this much longer, is a wait."""


@dataclass
class Result:
    """An engine on one weights format, and what came of it."""

    engine: Engine
    format: str
    outcome: Outcome = field(default_factory=Outcome)
    verdict: Verdict = "not compared"
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    shapes: tuple[str, ...] = ()
    sound: bool = False
    warm: int = 0  # the trial that repeats the test image

    @property
    def tools(self) -> tuple[str, ...]:
        """Titles of the tools that ship the engine."""
        found = tuple(tool.title for tool in TOOLS.values() if self.engine.name in tool.engines)
        return found or self.engine.tools

    @property
    def ran(self) -> bool:
        """Whether the engine was started."""
        return self.verdict not in ("not run", "not installed")

    def complete(self, trials: Sequence[Trial]) -> bool:
        """Whether there is a result for each trial."""
        return len(self.outcome.outputs) == len(trials)

    def add_difference(self, difference: Difference) -> None:
        """Note how far it is from something else: it counts as passed, unless it failed."""
        self.differences.append(difference)
        if self.verdict == "not compared":
            self.verdict = "passed"

    def fail(self, note: str) -> None:
        """Mark it as failed."""
        self.verdict = "failed"
        if note not in self.notes:
            self.notes.append(note)

    def row(self) -> Row:
        """Return it as a row of the certificate."""
        outcome = self.outcome
        seconds = outcome.seconds[self.warm] if len(outcome.seconds) > self.warm else None
        return Row(tools=self.tools, engine=self.engine.name, title=self.engine.title, version=self.engine.version,
                   weights=self.format, sizes=self.shapes, difference=worst(self.differences),
                   seconds=None if seconds is None else round(seconds, 4), peak_memory=outcome.peak_memory or None,
                   verdict=self.verdict, note="; ".join((*self.notes, *outcome.notes))[:300])  # fmt: skip


class Comparison:
    """Compares all results of one check, and writes verdicts and differences into them.

    ``compiles`` says whether the TorchScript holds what old versions of libtorch compile; else a slow call is the
    machine's doing. ``primary`` is the sound result that the others are compared with, the closest to the test output.
    """

    def __init__(
        self, description: Description, trials: Sequence[Trial], results: Sequence[Result], *, compiles: bool = True
    ) -> None:
        self.description = description
        self.trials = trials
        self.results = [result for result in results if result.ran]
        self.primary: Result | None = None
        self._compiles = compiles
        self._found: dict[tuple[str, str], list[tuple[Result, float, str]]] = {}

    def run(self, expected: NDArray[Any] | None, *, same_tensors: bool = False) -> None:
        """Compare all results with the package's test output, where it can be read, and with one another.

        Where the formats hold the same tensors and all of them are off the test output, it is the output that is wrong,
        even where only one of them was run.
        """
        for result in self.results:
            self._check_alone(result)
        bare = [result for result in self.results if self.description.processed and not result.engine.processing]
        self._compare_group([result for result in self.results if result not in bare], expected, same_tensors)
        for result in bare:
            result.notes.append("the bare network, without the package's operations")
        self._compare_group(bare, None, same_tensors)
        for result in self.results:
            if result.verdict == "not compared":
                result.notes.insert(0, "it runs, but there is nothing to compare its pixels with")
            if result.outcome.out_of_time and result.verdict != "failed":
                result.verdict = LATE
                result.notes.insert(0, f"{result.outcome.error}; {MORE_TIME}")

    def _check_alone(self, result: Result) -> None:
        """Look at a result by itself: does it run, are shape and type right, is it finite, the same when run again."""
        outputs, error = result.outcome.outputs, result.outcome.error
        result.shapes = tuple(dict.fromkeys(trial.shape for trial in self.trials[: len(outputs)]))
        tensor, output = self.description.inputs[0], self.description.outputs[0]
        result.sound = len(outputs) > (1 if error else 0)
        result.warm = next((index for index, trial in enumerate(self.trials) if trial.name == "test again"), 0)
        dtype = "" if self.description.processed and not result.engine.processing else output.dtype
        for trial, found in zip(self.trials, outputs, strict=False):
            if wrong := defect(found, self.description.output_shape(output, {tensor.id: trial.image.shape}), dtype):
                result.sound = False
                self._fail("sound-output", result, f"{wrong} ({trial.shape})")
                break
        if error and not result.outcome.out_of_time:
            self._fail("runs", result, error)
        for trial, found in zip(self.trials, outputs if result.sound else (), strict=False):
            if trial.like is not None and (gap := compare(found, outputs[trial.like]).largest) > REPEATABLE:
                result.sound = False  # there is nothing to compare in a result that is another one each time
                self._fail("repeatable", result, f"gives another result each time, by {gap:.1e} of the range", gap)
                break
        if result.sound and self._compiles and result.engine.compiles:
            self._check_wait(result)

    def _check_wait(self, result: Result) -> None:
        """Look for a libtorch that compiles at the second or third call with a new size."""
        seconds = result.outcome.seconds
        repeats = [index for index, trial in enumerate(self.trials[: len(seconds)]) if trial.name == "again"]
        if len(repeats) < REPEATS - 1:
            return
        times = [seconds[index] for index in (self.trials[repeats[0]].like or 0, *repeats)]
        wait, steady = max(times[1:3]), min(times)
        if wait > max(WAIT_FACTOR * steady, steady + WAIT_SECONDS):
            result.notes.append(f"waits {wait:.1f} s at a new size, {steady:.1f} s once steady")
            self._add("no-wait", result, f"stops for {wait:.1f} s at the second or third image of a new size", wait)

    def _compare_group(self, results: Sequence[Result], expected: NDArray[Any] | None, same_tensors: bool) -> None:
        sound = [result for result in results if result.sound]
        gaps = {id(result): _gap(result, expected) for result in sound}
        if not sound:
            return
        primary = min(sound, key=lambda each: (not each.complete(self.trials), _largest(gaps[id(each)]) > CLOSE))
        self.primary = self.primary or primary
        agree = [result for result in sound if self._compare_with(result, primary, alone=gaps[id(primary)] is None)]
        off = [result for result in sound if _largest(gaps[id(result)]) > LIMIT]
        several = same_tensors or len({result.format for result in sound}) > 1
        rule = "test-output" if several and len(off) == len(sound) == len(agree) else "agrees-with-test"
        for result in sound:
            self._judge(result, gaps[id(result)], "the test output", rule, "close-to-test")

    def _compare_with(self, result: Result, primary: Result, *, alone: bool) -> bool:
        """Compare all trials with those of the primary result, and pairs with their halves; say whether they agree.

        Where the primary result was compared with no test output (``alone``), one that agrees with it is its proof.
        """
        trials = zip(self.trials, result.outcome.outputs, primary.outcome.outputs, strict=False)
        gaps = [compare(a, b) for trial, a, b in trials if trial.like is None and a.shape == b.shape]
        gap = worst(gaps) if result is not primary else None
        if gap is not None and alone and gap.largest <= LIMIT:
            primary.add_difference(gap)
        self._judge(result, gap, f"{primary.format} in {primary.engine.title}", "engines-agree", "engines-close")
        self._check_batch(result)
        return _largest(gap) <= LIMIT

    def _check_batch(self, result: Result) -> None:
        axis = self.description.outputs[0].order.find("b")
        outputs = {trial.name: found for trial, found in zip(self.trials, result.outcome.outputs, strict=False)}
        for name, found in outputs.items():
            alone = outputs.get(name.removesuffix(", two at once"))
            if axis < 0 or alone is None or alone is found:
                continue
            first = found.take([0], axis=axis)
            if first.shape == alone.shape and (gap := compare(first, alone).largest) > LIMIT:
                self._fail("batch", result, f"changes an image by {gap:.1e} of the range when two come at once", gap)
                return

    def _judge(self, result: Result, gap: Difference | None, wanted: str, wrong: str, close: str) -> None:
        """Note how far a result is from what is wanted, by one rule above ``LIMIT``, by another above ``CLOSE``."""
        if gap is None:
            return
        result.add_difference(gap)
        if gap.largest > LIMIT:
            self._fail(wrong, result, f"is up to {gap.largest:.1e} of the range off {wanted}", gap.largest)
        elif gap.largest > CLOSE:
            self._add(close, result, f"is {gap.largest:.1e} of the range off {wanted}", gap.largest)

    def _fail(self, rule: str, result: Result, text: str, value: float = 0) -> None:
        result.fail(text)
        self._add(rule, result, text, value)

    def _add(self, rule: str, result: Result, text: str, value: float) -> None:
        self._found.setdefault((rule, result.format), []).append((result, value, text))

    def faults(self) -> Iterator[Fault]:
        """Yield one fault for each thing that is wrong, with all engines that show it."""
        for (rule, weights), found in self._found.items():
            message = max(found, key=lambda entry: entry[1])[2]
            engines = ", ".join(dict.fromkeys(result.engine.title for result, _, _ in found))
            tools = tuple(dict.fromkeys(tool for result, _, _ in found for tool in result.tools))
            yield run_fault(rule, f"{weights} {message} (in {engines})", tools)


def _gap(result: Result, expected: NDArray[Any] | None) -> Difference | None:
    if expected is None or result.outcome.outputs[0].shape != expected.shape or not np.isfinite(expected).all():
        return None
    return compare(result.outcome.outputs[0], expected)


def _largest(gap: Difference | None) -> float:
    return gap.largest if gap else 0.0
