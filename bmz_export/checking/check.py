"""Rules times engines over a package: what Fiji, QuPath, ilastik, BioImage.IO and the browser will do with it.

Rules read, engines run: each engine in a process of its own with a time limit and watched memory, and a package's own
Python only where it is trusted, or is byte for byte what this project writes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking import seams
from bmz_export.checking import trials as numbers
from bmz_export.checking.certificate import (
    NAME,
    PICTURE,
    TENSORS,
    Certificate,
    Difference,
    Fault,
    Row,
    Seam,
    TileRow,
    description_hash,
)
from bmz_export.checking.comparison import Comparison, Result, tools_of
from bmz_export.checking.formats import compare_tensors, library_test
from bmz_export.checking.programs import find_programs, user_tools
from bmz_export.checking.runner import CheckOptions, Runner, Told, fault
from bmz_export.checking.tilings import tile_as_tools, untiled
from bmz_export.engines import ENGINES, Engine, Outcome
from bmz_export.engines.process import workers_ended
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.package.builder import Addition
from bmz_export.tools import TOOLS, distinct_rules
from training.errors import PackageError

__all__ = ["CheckOptions", "certify", "check"]

PARALLEL = 2
"""Engines that run at once; each has one thread."""


def check(path: Path, options: CheckOptions | None = None, *, told: Told | None = None) -> Certificate:
    """Check a package, ours or a stranger's.

    Parameters
    ----------
    path : Path
        A folder or a zip.
    options : CheckOptions, optional
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
        Where there is no package to read, or an engine or a tool is asked for that is not there.
    """
    options = options or CheckOptions()
    for name in options.engines or ():
        if name not in ENGINES:
            raise PackageError(
                f"`engines` {name}: there is no such engine; there are {', '.join(ENGINES)}, all and none"
            )
    find_programs(options.programs)
    with open_package(path) as package:
        return _Check(Runner(Inspection(package), options, told or (lambda line: None))).run()


def certify(
    folder: Path, options: CheckOptions | None = None, *, tiles: bool = True, told: Told | None = None
) -> tuple[Certificate, Addition]:
    """Check a package that is being built, tile it as the tools do, and write its certificate beside its files.

    Parameters
    ----------
    folder : Path
        The complete package. ``certificate.json`` and ``certificate.png`` are written into it.
    options : CheckOptions, optional
        Which engines and how long; all that are installed by default.
    tiles : bool
        Whether to repeat each tool's tiling on a large image, which takes about fifty times the test image's time.
    told : Callable, optional
        Hears what is being done, a line each.

    Returns
    -------
    certificate : Certificate
        Its seam is what the package states from now on.
    addition : Addition
        The files to list as attachments and the section for the README.
    """
    from bmz_export.checking.report import draw, section

    certificate = check(folder, replace(options or CheckOptions(), certify=True, tiles=tiles), told=told)
    (folder / NAME).write_text(certificate.to_json(), encoding="utf-8")
    draw(certificate, folder / PICTURE)
    return certificate, Addition((NAME, PICTURE), section(certificate))


class _Check:
    """Collects rows and faults; the same fault found for several tools stands once and names them all."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.inspection = runner.inspection
        self.description = runner.inspection.description
        self.rows: list[Row] = []
        self.tiles: list[TileRow] = []
        self.seams: list[Difference] = []
        self.seam_note = ""
        self._faults: dict[tuple[str, ...], Fault] = {}

    def run(self) -> Certificate:
        options = self.runner.options
        self.runner.told("the rules of all tools")
        applied = self._rules()
        if not options.rules_only:
            self._numbers()
            self._add(user_tools(self.runner))
        return Certificate(
            package=self.description.name or self.inspection.package.path.name,
            format_version=self.description.format_version,
            made_by=f"bmz-fmd {version('bmz-fmd')}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            rules_only=options.rules_only,
            trusted=options.trust,
            rules=applied,
            rows=tuple(self.rows),
            tiles=tuple(self.tiles),
            seam=self._judged_seam(),
            seam_note=self.seam_note,
            faults=tuple(sorted(self._faults.values(), key=lambda each: each.severity)),
            hashes=dict(self._hashes()),
            description_sha256=description_hash(self.description),
        )

    def _add(self, found: Iterable[Row | TileRow | Fault | Difference]) -> None:
        for each in found:
            if isinstance(each, Row):
                self.rows.append(each)
            elif isinstance(each, TileRow):
                self.tiles.append(each)
            elif isinstance(each, Difference):
                self.seams.append(each)
            else:
                key = (each.severity, each.rule, each.message, each.seen, each.way_out)
                known = self._faults.get(key)
                tools = tuple(dict.fromkeys((*known.tools, *each.tools))) if known else each.tools
                self._faults[key] = each.model_copy(update={"tools": tools})

    def _hashes(self) -> Iterator[tuple[str, str]]:
        for where, file in self.description.files():
            if where.startswith(("weights.", "test tensor")) and (found := self.inspection.hash(file)):
                yield file.source, found

    def _rules(self) -> int:
        for tool in TOOLS.values():
            for rule in tool.rules:
                self._add(
                    Fault(
                        severity=finding.severity,
                        tools=(tool.title,),
                        rule=finding.rule,
                        message=finding.message,
                        seen=finding.seen,
                        way_out=finding.way_out,
                        source=rule.source,
                    )
                    for finding in rule.check(self.inspection)
                )
        return len(distinct_rules())

    def _numbers(self) -> None:
        planned = self._unrunnable() or self._plan()
        if isinstance(planned, str):
            results, beside = self._run_all((), planned)
            self._add(result.row() for result in results)
            self._add(beside)
            self._unmeasured(planned)
            return
        image, pairs, tried = planned
        results, beside = self._run_all(tried)
        comparison = Comparison(self.description, tried, results, compiles=self.inspection.fusion_groups != 0)
        tensors = [row.verdict for row in beside if isinstance(row, Row) and row.engine == TENSORS]
        wanted = self._array(self.description.outputs[0].id)
        comparison.judge(wanted, alike="passed" in tensors and "failed" not in tensors)
        self._add(result.row() for result in results)
        self._add(beside)
        self._add(comparison.faults())
        primary = comparison.primary
        if primary is None:
            self._unmeasured("no engine gave a sound result")
            return
        if primary.complete(tried):
            outputs = iter(primary.outcome.outputs[len(tried) - sum(len(pair.images) for pair in pairs) :])
            self._add(pair.seam(*(next(outputs) for _ in pair.images)) for pair in pairs)
        else:
            self.seam_note = f"{primary.engine.title} did not get that far"
        if self.runner.options.tiles:
            self._add(tile_as_tools(self.runner, primary, image))

    def _unmeasured(self, reason: str) -> None:
        self.seam_note = reason
        if self.runner.options.tiles:
            self._add(untiled(reason))

    def _array(self, identifier: str) -> NDArray[Any] | None:
        tensor = self.description.tensor(identifier)
        test = self.inspection.test(tensor) if tensor else None
        return test.array if test else None

    def _unrunnable(self) -> str | None:
        inputs, outputs = self.description.inputs, self.description.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            return f"{len(inputs)} inputs and {len(outputs)} outputs: only one of each is tried"
        test = self._array(inputs[0].id)
        if test is None:
            return "there is no readable test input"
        if test.ndim != len(inputs[0].axes) or test.dtype.kind not in "fiub":
            return "the test input does not fit the description"
        return None

    def _plan(self) -> tuple[numbers.Array, list[seams.Pair], list[numbers.Trial]] | str:
        """Return the test image and what every engine is given, or why nothing can be."""
        tensor = self.description.inputs[0]
        image = np.ascontiguousarray(self._array(tensor.id), np.float32)
        try:
            pairs = list(self._pairs(image))
            two = [numbers.Trial(f"seam along {pair.letter}", each) for pair in pairs for each in pair.images]
            return image, pairs, [*numbers.trials(tensor, image), *two]
        except numbers.TooLargeError as error:
            self._add([fault("size", f"no engine is run: {error}", "memory runs out",
                             "describe smaller sizes, steps and halo")])  # fmt: skip
            return str(error)

    def _pairs(self, image: numbers.Array) -> Iterator[seams.Pair]:
        for letter in "yx":
            try:
                yield seams.Pair(self.description, image, letter)
            except seams.UnmeasuredError as reason:
                self.seam_note = str(reason)

    def _run_all(
        self, tried: Sequence[numbers.Trial], refused: str | None = None
    ) -> tuple[list[Result], list[Row | Fault]]:
        """Run every engine, unless all of them are refused, and beside them what needs no trial."""
        with ThreadPoolExecutor(min(PARALLEL, os.cpu_count() or 1)) as pool:
            try:
                others = [pool.submit(_listed, task, self.runner) for task in (library_test, compare_tensors)]
                runs = [
                    pool.submit(self._run, engine, weights, tried, refused)
                    for engine, weights in self.runner.selected()
                ]
                return [each.result() for each in runs], [found for other in others for found in other.result()]
            except BaseException:  # Ctrl-C above all: what runs is ended, what waits is not begun
                with workers_ended():
                    pool.shutdown(cancel_futures=True)
                raise

    def _run(self, engine: Engine, weights: str, tried: Sequence[numbers.Trial], refused: str | None) -> Result:
        reason = refused or self.runner.refusal(engine, weights)
        if reason:
            return Result(engine, weights, Outcome(skipped=reason), tools_of(engine))
        self.runner.told(f"{engine.title} on {weights}")
        images = [trial.image for trial in tried]
        if self.description.processed and not engine.processing:
            images = numbers.standardised(images)
        return Result(engine, weights, engine.run(self.runner.job(weights, images)), tools_of(engine))

    def _judged_seam(self) -> Seam | None:
        """Return the seam that remains with the declared halo, and note a fault where the package states another."""
        largest = numbers.worst(self.seams)
        if largest is None:
            return None
        halo = min((axis.halo for axis in self.description.outputs[0].space if axis.letter in "yx"), default=0)
        before = self._attached()
        stated = before.seam.difference.largest if before and before.seam else None
        if self.runner.options.certify:
            self._add(_stated_seam(largest.largest, halo))
        else:
            self._add(_seam_faults(largest.largest, stated, halo))
        return Seam(halo=halo, difference=largest, stated=stated)

    def _attached(self) -> Certificate | None:
        """Return the certificate inside the package, unless it speaks of other files: then what it states is void."""
        path = self.inspection.package.file(NAME)
        before = Certificate.read(path) if path else None
        if before is None or self.runner.options.certify:
            return before
        changed = [name for name, digest in self._hashes() if before.hashes.get(name) != digest]
        if changed:
            message = f"its {NAME} is of other files: {changed[0]} is not the one that was tested"
        elif before.description_sha256 != description_hash(self.description):
            message = f"its {NAME} is of another description: axes, operations or arguments were others when tested"
        else:
            return before
        self._add([fault("certificate", message, "figures of another model", "certify it again with bmz-fmd export",
                         severity="warning")])  # fmt: skip
        return None


def _listed(task: Callable[[Runner], Iterator[Row | Fault]], runner: Runner) -> list[Row | Fault]:
    return list(task(runner))


def _that_tile() -> tuple[str, ...]:
    return tuple(tool.title for tool in TOOLS.values() if tool.tilings)


def _stated_seam(largest: float, halo: int) -> Iterator[Fault]:
    if largest > seams.WARN_LIMIT:
        told = f"a seam of {largest:.1e} of the range remains with the halo of {halo}; it is stated in the certificate"
        yield fault("seam", told, "faint lines where tiles meet", "large tiles show fewer of them", tools=_that_tile(),
                    severity="warning")  # fmt: skip


def _seam_faults(largest: float, stated: float | None, halo: int) -> Iterator[Fault]:
    told = f"seams of {largest:.1e} of the range between tiles with the declared halo of {halo}"
    way = "declare a larger halo, or state the seam in a certificate (bmz-fmd export does)"
    if stated is not None and largest > stated * 1.1 + 1e-5:
        yield fault(
            "seam", f"{told}, the package states {stated:.1e}", "lines where tiles meet", way, tools=_that_tile()
        )
    elif stated is None and largest > seams.STATED_LIMIT:
        yield fault("seam", f"{told}, and the package states none", "lines where tiles meet", way, tools=_that_tile())
    elif largest > seams.WARN_LIMIT:
        yield fault("seam", told, "faint lines where tiles meet", way, tools=_that_tile(), severity="warning")
