"""Rules times engines over a package: what Fiji, QuPath, ilastik, BioImage.IO and the browser will do with it.

Rules read, engines run: each engine in a process of its own with a time limit and watched memory, and a package's own
Python only where it is trusted, or is byte for byte what this project writes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bmz_export.checking import seams
from bmz_export.checking import trials as images
from bmz_export.checking.certificate import (
    NAME,
    PICTURE,
    Certificate,
    Difference,
    Fault,
    Row,
    Seam,
    TileRow,
    description_hash,
)
from bmz_export.checking.comparison import Comparison, Result
from bmz_export.checking.faults import run_fault
from bmz_export.checking.fiji_memory import memory_in_fiji
from bmz_export.checking.formats import compare_tensors, tools_loading
from bmz_export.checking.library_test import library_test
from bmz_export.checking.programs import find_programs, user_tools
from bmz_export.checking.report import headline, section
from bmz_export.checking.runner import FORMATS, CheckOptions, Log, Runner
from bmz_export.checking.tilings import tile
from bmz_export.checking.verdicts import tool_verdicts
from bmz_export.checking.version import rules_version
from bmz_export.engines import ENGINES, Engine
from bmz_export.engines.process import workers_ended
from bmz_export.inspection import Inspection
from bmz_export.opening import stated_provenance
from bmz_export.package.archive import open_package
from bmz_export.package.builder import Addition
from bmz_export.package.fiji_memory import Memory
from bmz_export.tools import TOOLS, distinct_rules
from training.errors import PackageError

__all__ = ["CheckOptions", "certify", "check", "refuse_unknown"]

PARALLEL = 2
"""Engines that run at once; each has one thread."""


def check(path: Path, options: CheckOptions | None = None, *, log: Log | None = None) -> Certificate:
    """Check a package, ours or a stranger's.

    Parameters
    ----------
    path : Path
        A folder or a zip.
    options : CheckOptions, optional
        What the check may do.
    log : Callable, optional
        Called with what is being done, a line each.

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
    refuse_unknown(options)
    with open_package(path) as package:
        return _Check(Runner(Inspection(package), options, log or (lambda line: None))).run()


def refuse_unknown(options: CheckOptions) -> None:
    """Raise a ``UserError`` where an engine or a tool is asked for that is not there."""
    for name in options.engines or ():
        if name not in ENGINES:
            raise PackageError(
                f"`engines` {name}: there is no such engine; there are {', '.join(ENGINES)}, all and none"
            )
    find_programs(options.programs)


def certify(
    folder: Path, options: CheckOptions | None = None, *, tiles: bool = True, log: Log | None = None
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
    log : Callable, optional
        Called with what is being done, a line each.

    Returns
    -------
    certificate : Certificate
        Its seam is what the package states from now on.
    addition : Addition
        The files to list as attachments, the section for the README, and what was measured of memory and edges.
    """
    from bmz_export.checking.picture import draw
    from bmz_export.checking.report import edges

    certificate = check(folder, replace(options or CheckOptions(), certify=True, tiles=tiles), log=log)
    (folder / NAME).write_text(certificate.to_json(), encoding="utf-8")
    draw(certificate, folder / PICTURE)
    return certificate, Addition((NAME, PICTURE), section(certificate), certificate.memory, edges(certificate))


class _Check:
    """Collects what rules and engines find."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.inspection = runner.inspection
        self.description = runner.inspection.description
        self.found: list[Row | TileRow | Fault | Difference] = []
        self.seam_note = ""
        self.memory: Memory | None = None

    def run(self) -> Certificate:
        options = self.runner.options
        self.runner.log("the rules of all tools")
        for rule in distinct_rules():
            tools = tuple(tool.title for tool in TOOLS.values() if rule in tool.rules)
            self.found += [Fault(tools=tools, source=rule.source, **vars(each)) for each in rule.check(self.inspection)]
        if options.rules_only or not (options.engines is None or options.engines):
            self.seam_note = "not requested"
        else:
            self._run_engines()
        if not options.rules_only:
            self.found += user_tools(self.runner)
        before = self._attached()
        seam = self._seam(before)
        faults = _merged(each for each in self.found if isinstance(each, Fault))
        rows = tuple(each for each in self.found if isinstance(each, Row))
        tiles = tuple(each for each in self.found if isinstance(each, TileRow))
        provenance = stated_provenance(self.inspection.package)
        return Certificate(
            package=self.description.name or self.inspection.package.path.name,
            format_version=self.description.format_version,
            made_by=f"bmz-fmd {version('bmz-fmd')}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            rules_only=options.rules_only,
            trusted=options.trust,
            rules=len(distinct_rules()),
            rules_version=rules_version(),
            tools=tuple(tool_verdicts(rows, tiles, faults, options)),
            rows=rows,
            tiles=tiles,
            seam=seam,
            seam_note=self.seam_note,
            beats_noisy=provenance.beats_noisy() if provenance else None,
            judgement=(provenance and provenance.judgement()) or "",
            trust=provenance.trust.sentence if provenance and provenance.trust else "",
            memory=self.memory,
            stated=f"{headline(before)[0]} ({before.created[:10]})" if before and not options.certify else "",
            faults=faults,
            hashes=self._hashes(),
            description_sha256=description_hash(self.description),
        )

    def _hashes(self) -> dict[str, str]:
        return {
            file.source: digest
            for where, file in self.description.files()
            if where.startswith(("weights.", "test tensor")) and (digest := self.inspection.hash(file))
        }

    def _run_engines(self) -> None:
        planned = self._plan()
        refused, trials = (planned, []) if isinstance(planned, str) else (None, planned)
        with ThreadPoolExecutor(min(PARALLEL, os.cpu_count() or 1)) as pool:
            try:
                tasks = (library_test, compare_tensors)
                others = [pool.submit(lambda task: [*task(self.runner)], task) for task in tasks]
                runs = [pool.submit(self._run, *each, trials, refused) for each in self.runner.selected()]
                results = [each.result() for each in runs]
                beside = [found for other in others for found in other.result()]
            except BaseException:  # Ctrl-C above all: what runs is ended, what waits is not begun
                with workers_ended():
                    pool.shutdown(cancel_futures=True)
                raise
        comparison = None
        if refused is None:
            comparison = Comparison(
                self.description,
                trials,
                results,
                compiles=self.inspection.fusion_groups != 0,
                loaded_by={name: tools_loading(self.inspection, name) for name in FORMATS},
            )
            comparison.run(self.runner.array(self.description.outputs))
            self.found += comparison.faults()
        self.found += (result.row() for result in results)
        self.found += beside
        if self.runner.options.certify and self.runner.options.tiles and refused is None:
            self.memory = memory_in_fiji(self.runner)
        if comparison is None or comparison.primary is None:
            self.seam_note = refused or "no engine gave a sound result"
            return
        try:
            for each in tile(self.runner, comparison, trials[images.TEST].image):
                self.found.append(each)  # one by one: what was measured stays where the rest cannot be
        except seams.UnmeasuredError as reason:
            self.seam_note = str(reason)

    def _plan(self) -> list[images.Trial] | str:
        """Return what every engine is given, or why nothing can be."""
        inputs, outputs = self.description.inputs, self.description.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            return f"{len(inputs)} inputs and {len(outputs)} outputs: only one of each is tried"
        test = self.runner.array(inputs)
        if test is None:
            return "there is no readable test input"
        if test.ndim != len(inputs[0].axes) or test.dtype.kind not in "fiub":
            return "the test input does not fit the description"
        try:
            return images.trials(inputs[0], np.ascontiguousarray(test, np.float32))
        except images.TooLargeError as error:
            self.found.append(run_fault("size", f"no engine is run: {error}"))
            return str(error)

    def _run(self, engine: Engine, weights: str, trials: Sequence[images.Trial], refused: str | None) -> Result:
        if not engine.installed():
            return Result(engine, weights, verdict="not installed", notes=[engine.install_hint])
        if refused := refused or self.runner.unsafe(weights, processing=engine.processing):
            return Result(engine, weights, verdict="not run", notes=[refused])
        self.runner.log(f"{engine.title} on {weights}")
        outcome = self.runner.run(engine, weights, [trial.image for trial in trials], like=images.TEST)
        if outcome.skipped:
            return Result(engine, weights, outcome, verdict="not run", notes=[outcome.skipped])
        return Result(engine, weights, outcome)

    def _seam(self, before: Certificate | None) -> Seam | None:
        """Return the seam that remains with the declared halo, and note a fault where the package states another."""
        largest = images.worst([each for each in self.found if isinstance(each, Difference)])
        if largest is None:
            return None
        halo = min((axis.halo for axis in self.description.outputs[0].space if axis.letter in "yx"), default=0)
        stated = before.seam.difference.largest if before and before.seam else None
        self.found += seams.seam_faults(largest.largest, halo, stated, certify=self.runner.options.certify)
        return Seam(halo=halo, difference=largest, stated=stated)

    def _attached(self) -> Certificate | None:
        """Return the certificate inside the package, unless it speaks of other files: then what it states is void."""
        path = self.inspection.package.file(NAME)
        before = Certificate.read(path) if path else None
        if before is None or self.runner.options.certify:
            return before
        changed = [name for name, digest in self._hashes().items() if before.hashes.get(name) != digest]
        if changed:
            message = f"its {NAME} is of other files: {changed[0]} is not the one that was tested"
        elif before.description_sha256 != description_hash(self.description):
            message = f"its {NAME} is of another description: axes, operations or arguments were others when tested"
        else:
            return before
        self.found.append(run_fault("certificate", message))
        return None


def _merged(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the faults, errors first; one that was found for several tools stands once and names them all."""
    merged: dict[tuple[str, ...], Fault] = {}
    for each in faults:
        key = (each.severity, each.rule, each.message, each.seen, each.way_out)
        tools = (*merged[key].tools, *each.tools) if key in merged else each.tools
        merged[key] = each.model_copy(update={"tools": tuple(dict.fromkeys(tools))})
    return tuple(sorted(merged.values(), key=lambda each: each.severity))
