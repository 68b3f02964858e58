"""Judges what the engines returned: against the test output, one another, and themselves when asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.certificate import Difference, Fault, Row, Severity, Verdict
from bmz_export.checking.trials import REPEATS, Trial, compare, unfit, worst
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

_EXPORT = "export the package again with bmz-fmd export, or with torch.jit.trace and torch.onnx.export(dynamo=False)"


def tools_of(engine: Engine) -> tuple[str, ...]:
    """Return the titles of the tools that ship an engine."""
    return tuple(tool.title for tool in TOOLS.values() if engine.name in tool.engines) or engine.tools


@dataclass
class Result:
    """An engine on one weights format, and what came of it."""

    engine: Engine
    format: str
    outcome: Outcome
    tools: tuple[str, ...]
    verdict: Verdict = "not compared"
    differences: list[Difference] = field(default_factory=list)
    shapes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    sound: bool = False
    warm: int = 0  # the trial that repeats the test image

    def complete(self, tried: Sequence[Trial]) -> bool:
        """Whether there is a result for each trial."""
        return len(self.outcome.outputs) == len(tried)

    def measured(self, difference: Difference) -> None:
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
        skipped = outcome.skipped is not None
        seconds = outcome.seconds[self.warm][-1] if len(outcome.seconds) > self.warm else None
        return Row(
            tools=self.tools,
            engine=self.engine.name,
            title=self.engine.title,
            version=self.engine.version,
            weights=self.format,
            sizes=() if skipped else self.shapes,
            difference=worst(self.differences),
            seconds=None if seconds is None else round(seconds, 4),
            peak_memory=outcome.peak_memory or None,
            verdict="not run" if skipped else self.verdict,
            note=(outcome.skipped or "; ".join((*self.notes, *outcome.notes)))[:300],
        )


class Comparison:
    """Judges all results of one check.

    Parameters
    ----------
    description : Description
        With one input and one output.
    tried : sequence of Trial
        What each engine was given, in order.
    results : sequence of Result
        What came of it; verdicts and differences are written into them.
    compiles : bool
        Whether the TorchScript holds what old versions of libtorch compile; else a slow call is the machine's doing.

    Attributes
    ----------
    primary : Result or None
        The sound result that the others are compared with: the one closest to the test output.
    """

    def __init__(
        self, description: Description, tried: Sequence[Trial], results: Sequence[Result], *, compiles: bool = True
    ) -> None:
        self.description = description
        self.tried = tried
        self.results = results
        self.primary: Result | None = None
        self._alike = False
        self._compiles = compiles
        self._told: dict[tuple[str, str], list[tuple[Result, float, str]]] = {}
        self._operations = description.processed

    def judge(self, wanted: NDArray[Any] | None, *, alike: bool = False) -> None:
        """Judge all results.

        Parameters
        ----------
        wanted : array or None
            The package's test output, None where it cannot be read.
        alike : bool
            Whether the formats hold the same tensors: if all of them are off the test output, it is the output that is
            wrong, even where only one of them was run.
        """
        self._alike = alike
        for result in self.results:
            if result.outcome.skipped is None:
                self._look(result)
        whole = [result for result in self.results if result.engine.processing or not self._operations]
        self._together(whole, wanted)
        if self._operations:
            bare = [result for result in self.results if not result.engine.processing]
            for result in bare:
                result.notes.append("the bare network, without the package's operations")
            self._together(bare, None)
        for result in self.results:
            if result.outcome.skipped is None and result.verdict == "not compared":
                result.notes.insert(0, "it runs, but there is nothing to compare its pixels with")

    def _look(self, result: Result) -> None:
        """Judge a result by itself: does it run, are shape and type right, is it finite, the same when asked again."""
        outputs = result.outcome.outputs
        result.shapes = tuple(dict.fromkeys(trial.shape for trial in self.tried[: len(outputs)]))
        tensor, output = self.description.inputs[0], self.description.outputs[0]
        result.sound = bool(outputs)
        result.warm = next((index for index, trial in enumerate(self.tried) if trial.name == "test again"), 0)
        for trial, found in zip(self.tried, outputs, strict=False):
            shape = self.description.output_shape(output, {tensor.id: trial.image.shape})
            bare = self._operations and not result.engine.processing
            fault = unfit(found, shape, "" if bare else output.dtype)
            if fault:
                result.sound = False
                result.fail(f"{fault} ({trial.shape})")
                self._tell("sound-output", result, 0, fault)
                break
        if result.outcome.error:
            result.fail(result.outcome.error)
            result.sound = result.sound and len(outputs) > 1
            self._tell("runs", result, 0, result.outcome.error)
        if result.sound:
            self._again(result)

    def _again(self, result: Result) -> None:
        outputs, seconds = result.outcome.outputs, result.outcome.seconds
        asked = self.tried[: len(outputs)]
        for index, trial in enumerate(asked):
            if trial.like is None:
                continue
            first = trial.like
            gap = compare(outputs[index], outputs[first])
            if gap.largest > REPEATABLE:
                result.sound = False  # there is nothing to compare in a result that is another one each time
                result.fail(f"another result when asked again: {gap.largest:.1e} of the range")
                self._tell("repeatable", result, gap.largest, "gives another result each time, by {:.1e} of the range")
                break
        repeats = [index for index, trial in enumerate(asked) if trial.name == "again"]
        if result.engine.compiles and self._compiles and len(repeats) == REPEATS - 1:
            times = [seconds[asked[repeats[0]].like or 0][0], *(seconds[index][0] for index in repeats)]
            wait = max(times[1:3])
            if wait > max(WAIT_FACTOR * min(times), min(times) + WAIT_SECONDS):
                result.notes.append(f"waits {wait:.1f} s at a new size, {min(times):.1f} s once steady")
                self._tell("no-wait", result, wait, "stops for {:.1f} s at the second or third image of a new size")

    def _together(self, results: Sequence[Result], wanted: NDArray[Any] | None) -> None:
        sound = [result for result in results if result.sound]
        gaps = {id(result): _gap(result, wanted) for result in sound}
        ranked = sorted(sound, key=lambda result: (not result.complete(self.tried), _largest(gaps[id(result)]) > CLOSE))
        if not ranked:
            return
        primary = ranked[0]
        self.primary = self.primary or primary
        alone = gaps[id(primary)] is None
        agree = [result for result in sound if self._against(result, primary, both=alone)]
        off = [result for result in sound if _largest(gaps[id(result)]) > LIMIT]
        together = len(off) == len(sound) == len(agree) and (
            self._alike or len({result.format for result in sound}) > 1
        )
        for result in sound:
            gap = gaps[id(result)]
            if gap is None:
                continue
            result.measured(gap)
            if result in off:
                result.fail(f"{gap.largest:.1e} of the range off the test output")
                rule = "test-output" if together else "agrees-with-test"
                self._tell(rule, result, gap.largest, "is up to {:.1e} of the range off the test output")
            elif gap.largest > CLOSE:
                self._tell("close-to-test", result, gap.largest, "is {:.1e} of the range off the test output")

    def _against(self, result: Result, primary: Result, *, both: bool) -> bool:
        """Compare all trials with those of the primary result, and pairs with their halves; say whether they agree.

        Where the primary result was compared with no test output (``both``), one that agrees with it is its proof.
        """
        asked = zip(self.tried, result.outcome.outputs, primary.outcome.outputs, strict=False)
        gaps = [compare(a, b) for trial, a, b in asked if trial.like is None and a.shape == b.shape]
        gap = worst(gaps) if result is not primary else None
        largest = _largest(gap)
        if gap is not None:
            result.measured(gap)
            if both and largest <= LIMIT:
                primary.measured(gap)
        if largest > LIMIT:
            result.fail(f"{largest:.1e} of the range off {primary.engine.title} on {primary.format}")
            self._tell("engines-agree", result, largest, f"is up to {{:.1e}} of the range off {primary.format} "
                       f"in {primary.engine.title}")  # fmt: skip
        elif largest > CLOSE:
            self._tell("engines-close", result, largest, f"is {{:.1e}} of the range off {primary.format}")
        self._pairs(result)
        return largest <= LIMIT

    def _pairs(self, result: Result) -> None:
        axis = self.description.outputs[0].order.find("b")
        by_name = {trial.name: index for index, trial in enumerate(self.tried[: len(result.outcome.outputs)])}
        for name, index in by_name.items():
            single = name.removesuffix(", two at once")
            if single == name or axis < 0 or single not in by_name:
                continue
            first = result.outcome.outputs[index].take([0], axis=axis)
            alone = result.outcome.outputs[by_name[single]]
            if first.shape == alone.shape and (gap := compare(first, alone)).largest > LIMIT:
                result.fail(f"{gap.largest:.1e} of the range off when two images come at once")
                self._tell(
                    "batch", result, gap.largest, "changes an image by {:.1e} of the range when two come at once"
                )
                return

    def _tell(self, rule: str, result: Result, value: float, text: str) -> None:
        self._told.setdefault((rule, result.format), []).append((result, value, text))

    def faults(self) -> Iterator[Fault]:
        """Yield one fault for each thing that is wrong, with all engines that show it."""
        for (rule, weights), told in self._told.items():
            _, value, text = max(told, key=lambda entry: entry[1])
            engines = ", ".join(dict.fromkeys(entry[0].engine.title for entry in told))
            tools = tuple(dict.fromkeys(tool for entry in told for tool in entry[0].tools))
            seen, way, severity = _WORDS[rule]
            message = text.format(value) if "{:" in text else text
            yield Fault(
                severity=severity,
                tools=tools,
                rule=rule,
                message=f"{weights} {message} (in {engines})",
                seen=seen,
                way_out=way,
                source="run here",
            )


def _gap(result: Result, wanted: NDArray[Any] | None) -> Difference | None:
    if wanted is None or result.outcome.outputs[0].shape != wanted.shape or not np.isfinite(wanted).all():
        return None
    return compare(result.outcome.outputs[0], wanted)


def _largest(gap: Difference | None) -> float:
    return gap.largest if gap else 0.0


_WORDS: dict[str, tuple[str, str, Severity]] = {
    "runs": ("the run fails", _EXPORT, "error"),
    "sound-output": ("no image, or a blank one", _EXPORT, "error"),
    "repeatable": ("another picture at each run", "call .eval() before exporting", "error"),
    "no-wait": ("Fiji seems to hang", "put an aten::alias after each operation while tracing", "warning"),
    "test-output": (
        "every format agrees with the others: it is the test output that is wrong",
        "make the test tensors again with the network itself",
        "error",
    ),
    "agrees-with-test": ("other pixels than the author's", _EXPORT, "error"),
    "close-to-test": ("pixels that differ slightly from the author's", _EXPORT, "warning"),
    "engines-agree": ("other pixels than in the other tools", _EXPORT, "error"),
    "engines-close": ("pixels that differ slightly from other tools", _EXPORT, "warning"),
    "batch": ("another picture when several images are processed at once", _EXPORT, "error"),
}
