"""bioimageio's own validation and test of a package: one row of many, since it passes an ONNX of NaN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bmz_export.checking.certificate import LATE, LIBRARY_TEST, Fault, Row, Verdict
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.runner import Runner
from bmz_export.engines import ENGINES
from bmz_export.tools import TOOLS


def _that(use: str) -> tuple[str, ...]:
    return tuple(tool.title for tool in TOOLS.values() if use in tool.library)


def library_test(runner: Runner) -> Iterator[Row | Fault]:
    """Yield what bioimageio's own test says, where its engine was asked for."""
    engine = ENGINES["bioimageio.core"]
    if not runner.wants(engine.name):
        return
    description = runner.inspection.description
    remote = any(file.remote for _, file in description.files())  # the library would fetch a stranger's addresses
    formats = [
        name
        for name in ("torchscript", "onnx")
        if name in description.weights and not remote and not runner.unsafe(name, processing=True)
    ]
    runner.log("bioimageio's own test")
    found, outcome = runner.ask_worker(
        "library_test", {"description": description.path.name, "formats": formats, "pack": not remote}
    )
    faults: list[Fault] = []
    verdict: Verdict
    note, verdict = f"valid; {', '.join(formats) or 'nothing'} tested", "passed"
    note += "; not packed: it names files elsewhere, which are not fetched" if remote else ""
    if outcome.out_of_time:
        note, verdict = f"{outcome.error}; {MORE_TIME}", LATE
    elif outcome.error:
        what = f"bioimageio's own test did not come to its end: {outcome.error}"
        faults = [run_fault("library-test", what, _that("read"))]
    else:
        faults = list(_faults(found))
    yield from faults
    if faults:
        note, verdict = "; ".join(each.message for each in faults), "failed"
    yield Row(tools=_that("read"), engine=LIBRARY_TEST, title="bioimageio's own test", version=engine.version,
              weights="all", peak_memory=outcome.peak_memory or None, verdict=verdict, note=note[:300])  # fmt: skip


def _faults(found: Mapping[str, Any]) -> Iterator[Fault]:
    if found["status"] != "valid":
        problems = "; ".join(found["problems"][:3])
        yield run_fault("valid-description", f"the description is not valid: {problems}", _that("read"))
    if found["repackaged"]:
        yield run_fault("repackages", f"cannot be packed with TorchScript alone: {found['repackaged']}", _that("pack"))
    for name, result in found["tests"].items():
        if result["status"] != "passed":
            reason = (result["errors"] or [result["status"]])[0]
            yield run_fault("library-test", f"bioimageio's own test of {name} fails: {reason}", _that("test"))
