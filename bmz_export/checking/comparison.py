"""Compares what the engines returned: with the test output, with one another, and with themselves when run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import LATE, Difference, Fault, Row, Verdict
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.trials import NOISE, REPEATS, TEST, Trial, compare, defect, worst
from bmz_export.engines import Engine, Outcome
from bmz_export.package.description import Description
from bmz_export.tools import TOOLS

LIMIT = 1e-3
"""BioImage.IO's tolerance, as a part of the output's range: above it a result is another one."""
CLOSE = 1e-4
"""What a good export keeps; between this and ``LIMIT`` is a warning."""
REPEATABLE = 1e-5
_PLAINEST = ("runs", "sizes", "larger-image", "intensities")
"""Of the images on which two results differ, by their rules, the one that is told."""
WAIT_FACTOR, WAIT_SECONDS = 2.0, 0.5
"""A call at a new size that takes this many times the steady time, and this much longer, is a wait."""


_SEVERAL_AT_ONCE = tuple(tool.title for tool in TOOLS.values() if "test" in tool.library)  # those that send batches


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
    odd: set[int] = field(default_factory=set)  # trials whose results are none that could be compared

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
        """Whether there is a result for each trial, of the size described."""
        sized = all(trials[index].rule != "sizes" for index in self.odd)
        return sized and len(self.outcome.outputs) == len(trials)

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
        seconds = min(outcome.seconds[: TEST + 1]) if len(outcome.seconds) > TEST else None  # two images of one size
        return Row(tools=self.tools, engine=self.engine.name, title=self.engine.title, version=self.engine.version,
                   weights=self.format, sizes=self.shapes, difference=worst(self.differences),
                   seconds=None if seconds is None else round(seconds, 4), peak_memory=outcome.peak_memory or None,
                   verdict=self.verdict, note="; ".join((*self.notes, *outcome.notes))[:300])  # fmt: skip


class Comparison:
    """Compares all results of one check, and writes verdicts and differences into them.

    ``compiles`` says whether the TorchScript holds what old versions of libtorch compile; else a slow call is the
    machine's doing. ``loaded_by`` names the tools that load each format: what is wrong with it is wrong there too,
    where their own engines did not run. ``primary`` is the sound result that the others are compared with, the closest
    to the test output.
    """

    def __init__(
        self,
        description: Description,
        trials: Sequence[Trial],
        results: Sequence[Result],
        *,
        compiles: bool = True,
        loaded_by: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.description = description
        self.trials = trials
        self.results = [result for result in results if result.ran]
        self.primary: Result | None = None
        self._compiles, self._loaded_by = compiles, loaded_by
        roots = [name for name, entry in description.weights.items() if entry.parent is None]
        self._original = roots[0] if len(roots) == 1 else None  # what the other formats were made from
        self._found: dict[tuple[str, str], list[tuple[Result, float, str]]] = {}

    def run(self, expected: NDArray[Any] | None) -> None:
        """Compare all results with the package's test output, where it can be read, and with one another.

        Where several formats agree and are off the test output, it is the output that is wrong.
        """
        for result in self.results:
            self._check_alone(result)
        bare = [result for result in self.results if self.description.processed and not result.engine.processing]
        self._compare_group([result for result in self.results if result not in bare], expected)
        for result in bare:
            result.notes.append("the bare network, without the package's operations")
        self._compare_group(bare, None)
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
        dtype = "" if self.description.processed and not result.engine.processing else output.dtype
        wrong: dict[str, str] = {}
        for index, (trial, found) in enumerate(zip(self.trials, outputs, strict=False)):
            if result.odd.intersection(trial.like):  # what is wrong with it is known
                result.odd.add(index)
            elif what := defect(found, self.description.output_shape(output, {tensor.id: trial.image.shape}), dtype):
                result.odd.add(index)
                rule = "sizes" if trial.rule == "intensities" and "NaN" not in what else self._rule(trial)
                wrong.setdefault(rule, f"{what}, for {trial.name} ({trial.shape})")
        result.sound = len(outputs) > TEST and TEST not in result.odd
        if TEST in result.odd:  # what is wrong there is the cause of all else
            wrong = {"sound-output": wrong["runs"]}
        if error and not result.outcome.out_of_time and len(outputs) == len(self.trials):
            wrong["runs"] = error
        elif error and not result.outcome.out_of_time:
            failing = self.trials[len(outputs)]
            cause = error.removeprefix(f"on an input of shape {failing.image.shape}: ")
            rule = self._rule(failing) if len(outputs) > TEST else "runs"
            wrong[rule] = error if cause == error else f"fails on {failing.name} ({failing.shape}): {cause}"
        if "sizes" in wrong:
            wrong.pop("larger-image", None)
        for rule, text in wrong.items():
            self._fail(rule, result, text)
        if result.sound:
            self._check_repeats(result)
        if result.sound and self._compiles and result.engine.compiles:
            self._check_wait(result)

    def _check_repeats(self, result: Result) -> None:
        """Compare images that come again, or two at once, with what they gave alone."""
        outputs, axis = result.outcome.outputs, max(self.description.outputs[0].order.find("b"), 0)
        for index, (trial, found) in enumerate(zip(self.trials, outputs, strict=False)):
            if not trial.like or result.odd & {index, *trial.like}:
                continue
            parts = np.split(found, len(trial.like), axis=axis)
            gap = max(self._gap(part, result, of).largest for part, of in zip(parts, trial.like, strict=True))
            if len(parts) > 1 and gap > LIMIT:
                self._fail("batch", result, f"changes an image by {gap:.1e} of the range when two come at once", gap)
            elif len(parts) == 1 and gap > REPEATABLE:
                result.sound = False  # there is nothing to compare in a result that is another one each time
                self._fail(trial.rule, result, f"gives another result for {trial.name}, by {gap:.1e} of the range", gap)
                return

    def _rule(self, trial: Trial) -> str:
        larger = any(
            size > tested for size, tested in zip(trial.image.shape, self.trials[TEST].image.shape, strict=True)
        )
        return "larger-image" if trial.rule == "sizes" and larger else trial.rule

    def _gap(self, found: NDArray[Any], result: Result, index: int) -> Difference:
        """Return how far an array is from a result of a trial, as a part of its range; see ``NOISE``."""
        wanted, test = result.outcome.outputs[index], result.outcome.outputs[TEST]
        part = 0 if index == TEST else NOISE if np.ptp(self.trials[index].image) else 1
        return compare(found, wanted, part * max(float(np.ptp(test)), float(np.abs(wanted).max())))

    def _check_wait(self, result: Result) -> None:
        """Look for a libtorch that compiles at the second or third call with a new size."""
        seconds = result.outcome.seconds
        repeats = [index for index, trial in enumerate(self.trials[: len(seconds)]) if trial.rule == "repeatable"]
        if len(repeats) < REPEATS - 1:
            return
        times = [seconds[index] for index in (*self.trials[repeats[0]].like, *repeats)]
        wait, steady = max(times[1:3]), min(times)
        if wait > max(WAIT_FACTOR * steady, steady + WAIT_SECONDS):
            result.notes.append(f"waits {wait:.1f} s at a new size, {steady:.1f} s once steady")
            self._add("no-wait", result, f"stops for {wait:.1f} s at the second or third image of a new size", wait)

    def _compare_group(self, results: Sequence[Result], expected: NDArray[Any] | None) -> None:
        sound = [result for result in results if result.sound]
        gaps = {id(result): _from_test(result, expected) for result in sound}
        if not sound:
            return

        def rank(each: Result) -> tuple[bool, ...]:
            return not each.complete(self.trials), bool(each.odd), _largest(gaps[id(each)]) > CLOSE

        self.primary = self.primary or min(sound, key=rank)
        reference = min(sound, key=lambda each: (*rank(each), each.format != self._original))
        agree = [each for each in sound if self._agrees(each, reference, alone=gaps[id(reference)] is None)]
        off = [result for result in sound if _largest(gaps[id(result)]) > LIMIT]
        several = len({result.format for result in sound}) > 1
        rule = "test-output" if several and len(off) == len(sound) == len(agree) else "agrees-with-test"
        for result in sound:
            self._judge(result, gaps[id(result)], rule)

    def _agrees(self, result: Result, reference: Result, *, alone: bool) -> bool:
        """Compare all trials with those of the reference, and say whether they agree.

        Where the reference was compared with no test output (``alone``), one that agrees with it is its proof. Where it
        is not what the other formats were made from, either of the two may be wrong, and both are named.
        """
        if result is reference:
            return True
        outputs = result.outcome.outputs[: len(reference.outcome.outputs)]
        gaps = [
            (trial, self._gap(found, reference, index))
            for index, (trial, found) in enumerate(zip(self.trials, outputs, strict=False))
            if not trial.like and index not in result.odd | reference.odd
        ]
        wanted = f"{reference.format} in {reference.engine.title}"
        whole = worst([gap for trial, gap in gaps if trial.rule != "intensities"])
        if alone and whole and whole.largest <= LIMIT:
            reference.add_difference(whole)
        if whole:
            result.add_difference(whole)
        off = [(trial, gap) for trial, gap in gaps if gap.largest > LIMIT]
        if off:
            trial, gap = min(off, key=lambda each: (_PLAINEST.index(self._rule(each[0])), -each[1].largest))
            text = f"is up to {gap.largest:.1e} of the range off {wanted}, on {trial.name} ({trial.shape})"
            rule = "engines-agree" if trial.rule == "runs" else self._rule(trial)
            self._fail(rule, result, text, gap.largest)
            if reference.format != self._original:
                self._found[rule, result.format].append((reference, gap.largest, text))
        elif whole and whole.largest > CLOSE:
            self._add("engines-close", result, f"is {whole.largest:.1e} of the range off {wanted}", whole.largest)
        return not off

    def _judge(self, result: Result, gap: Difference | None, rule: str) -> None:
        """Note how far a result is from the test output, by ``rule`` above ``LIMIT``."""
        if gap is None:
            return
        result.add_difference(gap)
        if gap.largest > LIMIT:
            self._fail(rule, result, f"is up to {gap.largest:.1e} of the range off the test output", gap.largest)
        elif gap.largest > CLOSE:
            text = f"is {gap.largest:.1e} of the range off the test output"
            self._add("close-to-test", result, text, gap.largest)

    def best(self, weights: str | None) -> Result | None:
        """Return a result of a weights format that nothing is wrong with, ``primary`` where it is one."""
        right = [result for result in self.results if result.format == weights and result.verdict == "passed"]
        return self.primary if self.primary in right else next((result for result in right if result.sound), None)

    def _fail(self, rule: str, result: Result, text: str, value: float = 0) -> None:
        if rule == "one-at-a-time" and not set(result.tools) & set(_SEVERAL_AT_ONCE):
            result.notes.append(text)
        else:
            result.fail(text)
        self._add(rule, result, text, value)

    def _add(self, rule: str, result: Result, text: str, value: float) -> None:
        self._found.setdefault((rule, result.format), []).append((result, value, text))

    def faults(self) -> Iterator[Fault]:
        """Yield one fault for each thing that is wrong, with all engines that show it."""
        for (rule, weights), found in self._found.items():
            message = max(found, key=lambda entry: entry[1])[2]
            engines = ", ".join(dict.fromkeys(result.engine.title for result, _, _ in found))
            right = {tool for result in self.results for tool in result.tools
                     if result.format == weights and result.verdict == "passed"}  # fmt: skip
            loading = [tool for tool in self._loaded_by.get(weights, ()) if tool not in right]
            tools = tuple(dict.fromkeys([*(tool for result, _, _ in found for tool in result.tools), *loading]))
            if rule == "one-at-a-time":
                tools = _SEVERAL_AT_ONCE
            yield run_fault(rule, f"{weights} {message} (in {engines})", tools)


def _from_test(result: Result, expected: NDArray[Any] | None) -> Difference | None:
    found = result.outcome.outputs[TEST]
    if expected is None or found.shape != expected.shape or not np.isfinite(expected).all():
        return None
    return compare(found, expected)


def _largest(gap: Difference | None) -> float:
    return gap.largest if gap else 0.0
