"""Rules times engines over a package: what Fiji, QuPath, ilastik, BioImage.IO and the browser will do with it, in numbers.

Rules read, engines run: each engine in a process of its own with a time limit and watched memory, and a package's own
Python only where it is trusted, or is byte for byte what this project writes.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bmz_export import numbers, seams
from bmz_export.certificate import NAME, Certificate, Difference, Fault, Row, Seam, TileRow, description_hash
from bmz_export.consumers import CONSUMERS
from bmz_export.consumers.qupath import QUPATH
from bmz_export.engines import ENGINES, GIB, Engine, Job, Outcome
from bmz_export.engines.process import run_worker
from bmz_export.evidence import Evidence
from bmz_export.jury import Jury, Result, tools_of
from bmz_export.package.archive import open_package
from bmz_export.package.own import is_own_architecture
from bmz_export.tiling import Tiling
from training.errors import UserError

PARALLEL = 2
"""Engines that run at once; each has one thread."""
FORMATS = ("pytorch_state_dict", "torchscript", "onnx")

Told = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a check may do.

    Attributes
    ----------
    rules_only : bool
        Read the package and run nothing of it.
    trust : bool
        Let the package's own Python run.
    tiles : bool
        Repeat each tool's tiling on a large image.
    engines : sequence of str or None
        Names of the engines to run; None for all that are installed.
    timeout : float
        Seconds for each engine and weights format.
    memory : int
        Bytes that each may hold.
    certify : bool
        Take the seam that is measured as the one that the package states from now on.
    """

    rules_only: bool = False
    trust: bool = False
    tiles: bool = False
    engines: Sequence[str] | None = None
    timeout: float = 300.0
    memory: int = 16 * GIB
    certify: bool = False


def check(path: Path, options: Options | None = None, *, told: Told | None = None) -> Certificate:
    """Check a package, ours or a stranger's.

    Parameters
    ----------
    path : Path
        A folder or a zip.
    options : Options, optional
        What the check may do.
    told : Callable, optional
        Hears what is being done, a line each.

    Returns
    -------
    Certificate
        With ``exit_code`` 0 where nothing that ran failed, else 1.

    Raises
    ------
    UserError
        Where there is no package to read, or an engine is asked for that is not there.
    """
    options = options or Options()
    for name in options.engines or ():
        if name not in ENGINES:
            raise UserError(f"--engines {name}: there is no such engine; there are {', '.join(ENGINES)}, all and none")
    with open_package(path) as package:
        return _Check(Evidence(package), options, told or (lambda line: None)).run()


class _Faults:
    """Collects faults; the same one found for several tools stands once and names them all."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Fault] = {}

    def add(self, fault: Fault) -> None:
        key = (fault.severity, fault.rule, fault.message, fault.seen, fault.way_out)
        known = self._found.get(key)
        tools = tuple(dict.fromkeys((*known.tools, *fault.tools))) if known else fault.tools
        self._found[key] = fault.model_copy(update={"tools": tools})

    def all(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._found.values(), key=lambda fault: fault.severity))


class _Check:
    def __init__(self, evidence: Evidence, options: Options, told: Told) -> None:
        self.evidence = evidence
        self.package = evidence.package
        self.description = evidence.description
        self.options = options
        self.told = told
        self.faults = _Faults()
        self.rows: list[Row] = []
        self.tiles: list[TileRow] = []
        self.seam: Seam | None = None
        self.own = False

    def run(self) -> Certificate:
        self.told("rules of all tools")
        applied = self._rules()
        if not self.options.rules_only:
            self.own = is_own_architecture(self.evidence)
            self._numbers()
        return Certificate(
            package=self.description.name or self.package.path.name,
            format_version=self.description.format_version,
            made_by=f"bmz-fmd {version('bmz-fmd')}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            rules_only=self.options.rules_only,
            trusted=self.options.trust,
            rules=applied,
            rows=tuple(self.rows),
            tiles=tuple(self.tiles),
            seam=self.seam,
            faults=self.faults.all(),
            hashes=dict(self._hashes()),
            description_sha256=description_hash(self.description),
        )

    def _hashes(self) -> Iterator[tuple[str, str]]:
        for where, file in self.description.files():
            if where.startswith(("weights.", "test tensor")) and (found := self.evidence.hash(file)):
                yield file.source, found

    # --- rules -----------------------------------------------------------------------------------------------------------

    def _rules(self) -> int:
        applied = 0
        for consumer in CONSUMERS.values():
            for rule in consumer.rules:
                applied += 1
                for finding in rule.check(self.evidence):
                    self.faults.add(
                        Fault(
                            severity=finding.severity,
                            tools=(consumer.title,),
                            rule=finding.rule,
                            message=finding.message,
                            seen=finding.seen,
                            way_out=finding.way_out,
                            source=rule.source,
                        )
                    )
        return applied

    # --- numbers ---------------------------------------------------------------------------------------------------------

    def _numbers(self) -> None:
        why = self._unrunnable()
        if why:
            self._nothing_runs(why)
            return
        tensor, output = self.description.inputs[0], self.description.outputs[0]
        test, wanted = self.evidence.test(tensor), self.evidence.test(output)
        assert test is not None and test.array is not None  # _unrunnable looked
        image = np.ascontiguousarray(test.array, np.float32)
        pair = seams.Pair(self.description, image)
        tried = numbers.trials(tensor, image)
        tried += [numbers.Trial("seam", each) for each in pair.images]
        results = self._run_engines(tried)
        jury = Jury(self.description, tried, results)
        jury.judge(None if wanted is None else wanted.array)
        for fault in jury.faults():
            self.faults.add(fault)
        if jury.primary is not None and pair.images:
            whole, left, right = jury.primary.outcome.outputs[-3:] if jury.primary.complete(tried) else (None,) * 3
            if whole is not None and left is not None and right is not None:
                self._state_seam(pair.halo, pair.seam(whole, left, right))
        if self.options.tiles and jury.primary is not None:
            self._tilings(jury.primary, image)
        self._judge_seam()
        self.rows = [result.row() for result in results] + self.rows

    def _unrunnable(self) -> str | None:
        inputs, outputs = self.description.inputs, self.description.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            return f"{len(inputs)} inputs and {len(outputs)} outputs: only one of each is tried"
        test = self.evidence.test(inputs[0])
        if test is None or test.array is None:
            return "there is no readable test input"
        if test.array.ndim != len(inputs[0].axes) or test.array.dtype.kind not in "fiub":
            return "the test input does not fit the description"
        return None

    def _selected(self) -> Iterator[tuple[Engine, str]]:
        for name, engine in ENGINES.items():
            if self.options.engines is None or name in self.options.engines:
                for weights in FORMATS:
                    if weights in engine.weights and weights in self.description.weights:
                        yield engine, weights

    def _nothing_runs(self, why: str) -> None:
        for engine, weights in self._selected():
            self.rows.append(Result(engine, weights, Outcome(skipped=why), tools_of(engine)).row())

    def _run_engines(self, tried: Sequence[numbers.Trial]) -> list[Result]:
        with ThreadPoolExecutor(min(PARALLEL, os.cpu_count() or 1)) as pool:
            found = [pool.submit(self._run, engine, weights, tried) for engine, weights in self._selected()]
            others = [pool.submit(task) for task in (self._compare_tensors, self._library_test)]
            for other in others:
                other.result()
            return [result.result() for result in found]

    def _run(self, engine: Engine, weights: str, tried: Sequence[numbers.Trial]) -> Result:
        tools = tools_of(engine)
        path = self.evidence.weights(weights)
        reason = self._refusal(engine, weights)
        if reason or path is None:
            return Result(engine, weights, Outcome(skipped=reason or "its file is missing"), tools)
        self.told(f"{engine.title} on {weights}")
        images = [trial.image for trial in tried]
        if self._operations and not engine.processing:
            images = [numbers.standardised(image) for image in images]
        return Result(engine, weights, engine.run(self._job(weights, path, images)), tools)

    @property
    def _operations(self) -> bool:
        return any(tensor.operations for tensor in (*self.description.inputs, *self.description.outputs))

    def _job(self, weights: str, path: Path, images: Sequence[numbers.Array]) -> Job:
        return Job(
            package=self.package.folder,
            weights_format=weights,
            weights=path,
            inputs=tuple(images),
            timeout=self.options.timeout,
            memory_limit=self.options.memory,
            trust=self.options.trust or (weights == "pytorch_state_dict" and self.own),
        )

    def _refusal(self, engine: Engine, weights: str) -> str | None:
        """Say why an engine is not let near a file, None where it is."""
        if not engine.installed():
            return f"not installed: {engine.install_hint}"
        if weights == "onnx" and self.evidence.onnx is not None and self.evidence.onnx.external:
            return "the ONNX names other files as weights; they are not followed"
        if weights == "torchscript" and self.evidence.torchscript is not None and self.evidence.torchscript.reaches:
            return "the TorchScript reads or writes files; it is not run"
        state_dict = self.evidence.state_dict
        if weights == "pytorch_state_dict" and state_dict is not None and (state_dict.calls or state_dict.error):
            return "the state dict is not safe to load"
        tensors = (*self.description.inputs, *self.description.outputs)
        custom = any(operation.id == "custom" for tensor in tensors for operation in tensor.operations)
        if custom and engine.processing and not self.options.trust:
            return "its operations are the package's own Python: run it with --trust if you know where it is from"
        return None

    # --- beside the engines ----------------------------------------------------------------------------------------------

    def _aside(self, runtime: str, weights: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], Outcome]:
        """Run one of our own workers, whose answer is JSON in the bytes of an array."""
        path = self.package.folder / self.description.path.name
        job = replace(self._job(weights, path, [np.zeros(1, np.float32)]), trust=False)
        outcome = run_worker(f"bmz_export.engines.runtimes.{runtime}", job, options)
        return (json.loads(bytes(outcome.outputs[0])) if outcome.outputs else {}), outcome

    def _compare_tensors(self) -> None:
        files = {name: str(path) for name in FORMATS if (path := self.evidence.weights(name)) is not None}
        if self.options.engines is not None and not self.options.engines:
            return
        safe = self.evidence.state_dict is None or not (
            self.evidence.state_dict.calls or self.evidence.state_dict.error
        )
        if not safe:
            files.pop("pytorch_state_dict", None)
        if len(files) < 2 and "pytorch_state_dict" not in files:
            return
        self.told("tensors of the formats")
        found, outcome = self._aside("tensors", "all", files)
        base = {
            "tools": ("all",), "engine": "tensors", "title": "tensor by tensor", "version": version("torch"),
            "peak_memory": outcome.peak_memory or None,
        }  # fmt: skip
        for name in files:
            verdict, note = self._tensor_verdict(name, found, outcome.error)
            if name != "pytorch_state_dict" or verdict == "failed":
                self.rows.append(Row.model_validate({**base, "weights": name, "verdict": verdict, "note": note}))

    def _tensor_verdict(self, name: str, found: Mapping[str, Any], error: str | None) -> tuple[str, str]:
        way = "export the package again from one network"
        if not found or name in found["errors"]:
            message = found["errors"][name] if found else error or "no answer"
            if found:
                self._tell("loads", f"{name} does not load: {message}", "the model does not load", way)
            return ("failed" if found else "not run"), message
        if found["nan"].get(name):
            bad = found["nan"][name]
            self._tell("finite-weights", f"{name}: {bad[0]} holds NaN ({len(bad)} tensors)", "a blank image", way)
            return "failed", f"NaN in {bad[0]}"
        compared = found["compared"].get(name)
        if compared is None:
            return "not run", "nothing to compare with"
        differ, same, missing = compared["differ"], compared["same"], compared["missing"]
        if differ:
            first, largest = next(iter(differ.items()))
            how = "another shape" if largest >= 1e9 else f"{largest:.2g} of its largest value"
            message = f"{name} holds other weights than its parent: {len(differ)} of {same + len(differ)} tensors, {first} by {how}"
            self._tell("same-weights", message, "other pixels in the tools that run this format", way)
            return "failed", f"{len(differ)} of {same + len(differ)} tensors differ, {first} by {how}"
        note = f"{same} tensors equal" + (f", {len(missing)} folded away by the exporter" if missing else "")
        return ("passed", note) if same else ("not run", "no tensor has a namesake")

    def _library_test(self) -> None:
        """Ask bioimageio's own test, whose word is a row and never the verdict: it passes an ONNX of NaN."""
        engine = ENGINES["bioimageio.core"]
        if self.options.engines is not None and engine.name not in self.options.engines:
            return
        formats = [name for name in self.description.weights if name in ("torchscript", "onnx")]
        formats = [name for name in formats if self._refusal(engine, name) is None]
        self.told("bioimageio's own test")
        options = {"description": self.description.path.name, "formats": formats}
        found, outcome = self._aside("library_test", "all", options)
        base = {
            "tools": ("BioImage.IO", "bioimageio.core", "ilastik"), "engine": "bioimageio test",
            "title": "bioimageio's own test", "version": engine.version, "peak_memory": outcome.peak_memory or None,
        }  # fmt: skip
        if not found:
            note = outcome.error or "no answer"
            self.rows.append(Row.model_validate({**base, "weights": "all", "verdict": "not run", "note": note}))
            return
        verdict, note = "passed", "valid, repackaged and tested: " + ", ".join(formats) if formats else "valid"
        if found["status"] != "valid":
            verdict, note = "failed", "; ".join(found["problems"][:3])
            self._tell("valid-description", f"the description is not valid: {note}", "the model is refused",
                       "correct rdf.yaml", ("BioImage.IO", "bioimageio.core", "ilastik"))  # fmt: skip
        elif found["repackaged"]:
            verdict, note = "failed", f"cannot be packed with TorchScript alone: {found['repackaged']}"
            self._tell("repackages", note, "the model is refused", "let torchscript or the state dict stand alone",
                       ("ilastik",))  # fmt: skip
        for name, result in found["tests"].items():
            if result["status"] != "passed":
                verdict, note = "failed", f"{name}: {result['status']}: {'; '.join(result['errors'][:1])}"
                self._tell("library-test", f"bioimageio's own test of {name} fails: {'; '.join(result['errors'][:1])}",
                           "the model is marked as failing", "see the other lines for the cause",
                           ("BioImage.IO", "bioimageio.core"))  # fmt: skip
        self.rows.append(Row.model_validate({**base, "weights": "all", "verdict": verdict, "note": note[:300]}))

    def _tell(
        self, rule: str, message: str, seen: str, way_out: str, tools: tuple[str, ...] = (),
        severity: Literal["error", "warning"] = "error",
    ) -> None:  # fmt: skip
        tools = tools or tuple(consumer.title for consumer in CONSUMERS.values())
        self.faults.add(
            Fault(
                severity=severity,
                tools=tools,
                rule=rule,
                message=message,
                seen=seen,
                way_out=way_out,
                source="run here",
            )
        )

    # --- tiles -----------------------------------------------------------------------------------------------------------

    def _state_seam(self, halo: int, difference: Difference) -> None:
        known = self.seam.difference if self.seam else Difference(largest=0, mean=0)
        largest = numbers.worst([known, difference]) or difference
        self.seam = Seam(halo=halo, difference=largest, stated=self._stated())

    def _stated(self) -> float | None:
        path = self.package.file(NAME)
        before = Certificate.read(path) if path else None
        return before.seam.difference.largest if before and before.seam else None

    def _judge_seam(self) -> None:
        if self.seam is None or self.options.certify:
            return
        largest, stated = self.seam.difference.largest, self.seam.stated
        limit = stated * 1.1 + 1e-5 if stated is not None else seams.STATED_LIMIT
        told = f"seams of {largest:.1e} of the range between tiles with the declared halo of {self.seam.halo}"
        tools = tuple(CONSUMERS[name].title for name in ("deepimagej", "qupath", "ilastik"))
        way = "declare a larger halo, or state the seam in a certificate (bmz-fmd export does)"
        if largest > limit:
            what = "more than the package states" if stated is not None else "and the package states none"
            self._tell("seam", f"{told}, {what}", "lines where the tiles meet", way, tools)
        elif largest > seams.WARN_LIMIT:
            self._tell("seam", told, "faint lines where the tiles meet", way, tools, "warning")

    def _tilings(self, primary: Result, test: numbers.Array) -> None:
        tensor, output = self.description.inputs[0], self.description.outputs[0]
        path = self.evidence.weights(primary.format)
        if path is None or "y" not in tensor.order or "x" not in tensor.order or tensor.order != output.order:
            return
        if tensor.order[-2:] != "yx":
            return
        image = seams.large_image(tensor, test)
        if min(size - least for size, least in zip(image.shape[-2:], seams.LARGE, strict=True)) < 0:
            return  # fixed sizes: every tool tiles by them, and there is no whole image to compare with
        shape = (image.shape[-2], image.shape[-1])
        plans = [(title, way, tiling) for title, way, tiling in tool_tilings(self.evidence, shape)]
        windows = [list(tiling.windows(image)) for _, _, tiling in plans]
        self.told(f"{sum(map(len, windows))} tiles on {shape[1]} x {shape[0]}")
        images = [image, *(window for group in windows for window in group)]
        job = replace(self._job(primary.format, path, images), timeout=self.options.timeout * 10)
        outcome = primary.engine.run(job)
        engine = f"{primary.engine.title} on {primary.format}"
        halos = [axis.halo for axis in output.space]
        position = 1
        for (title, way, tiling), group in zip(plans, windows, strict=True):
            parts = outcome.outputs[position : position + len(group)]
            position += len(group)
            row = {"tool": title, "way": way, "engine": engine, "image": shape, "tiles": len(group)}
            if len(parts) < len(group):
                note = outcome.error or outcome.skipped or "no result"
                self.tiles.append(TileRow.model_validate({**row, "verdict": "failed", "note": note}))
                self._tell("tiles", f"the network does not take {title}'s tiles: {note}", "a part of the image is missing",
                           "export with free sizes", (title,))  # fmt: skip
                continue
            found = seams.by_region(tiling.stitch(parts), outcome.outputs[0], tiling, seams.near_seam(halos))
            own = [found[name] for name in ("interior", "seam") if found[name] is not None]
            shown = way == BARE
            if own and not shown:
                self._state_seam(
                    max(halos, default=0),
                    numbers.worst([each for each in own if each]) or Difference(largest=0, mean=0),
                )
            note = "its own window has no halo: run the script that lies in the package" if shown else ""
            self.tiles.append(
                TileRow.model_validate({**row, **found, "verdict": "shown" if shown else "passed", "note": note})
            )


BARE = "512 tiles without halo, as in its own window"


def tool_tilings(evidence: Evidence, shape: tuple[int, int]) -> Iterator[tuple[str, str, Tiling]]:
    """Yield each tool that tiles, in words and in tiles; QuPath twice, by its own window and by the package's script."""
    ways = {
        "deepimagej": "one tile (two where the size is no multiple of step), mirrored halo",
        "qupath": BARE,
        "ilastik": "512 tiles less twice the halo, reflected, cut blocks centred",
    }
    for name, way in ways.items():
        tiling = CONSUMERS[name].tiling(evidence, shape)
        if tiling is not None:
            yield CONSUMERS[name].title, way, tiling
    yield (
        CONSUMERS["qupath"].title,
        "512 tiles that overlap by the halo, as in the package's script",
        QUPATH.scripted(evidence, shape),
    )
