"""The weights formats compared tensor by tensor, none of them run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from bmz_export.checking.certificate import LATE, TENSORS, Fault, Row, Verdict
from bmz_export.checking.faults import MORE_TIME, run_fault
from bmz_export.checking.runner import FORMATS, Runner
from bmz_export.inspection import Inspection
from bmz_export.inspection.safety import hostile
from bmz_export.tools import TOOLS

_SOURCE = 2**20  # characters of an architecture file that are looked at


def tools_loading(inspection: Inspection, name: str) -> tuple[str, ...]:
    """Return the titles of the tools that load a weights format of a package."""
    every = ("bioimage.io", "bioimageio.core")
    return tuple(each.title for each in TOOLS.values() if each.name in every or each.weights_choice(inspection) == name)


def compare_tensors(runner: Runner) -> Iterator[Row | Fault]:
    """Yield how the weights of the formats compare, none of them run: the state dict loaded with ``weights_only``.

    It needs no trust, and finds what no image shows: one parameter that is a per cent off.
    """
    files = {name: str(path.absolute()) for name in FORMATS if (path := runner.inspection.weights(name)) is not None}
    if hostile(runner.inspection, "pytorch_state_dict"):
        files.pop("pytorch_state_dict", None)
    if "torchscript" in files and (why := hostile(runner.inspection, "torchscript")):
        del files["torchscript"]
        yield _row("torchscript", "not run", why, None)
    if len(files) < 2 and "pytorch_state_dict" not in files:
        return
    runner.log("the tensors of the formats")
    found, outcome = runner.ask_worker("tensors", files)
    memory = outcome.peak_memory or None
    if outcome.out_of_time:
        yield from (_row(name, LATE, f"{outcome.error}; {MORE_TIME}", memory) for name in files)
        return
    if outcome.error:
        yield run_fault("tensors", f"the formats could not be compared tensor by tensor: {outcome.error}")
        yield from (_row(name, "failed", outcome.error, memory) for name in files)
        return
    for name in files:
        faults = list(_faults(name, found, runner.inspection))
        yield from faults
        errors = [fault.message for fault in faults if fault.severity == "error"]
        compared = found["compared"].get(name)
        if errors:
            yield _row(name, "failed", errors[0], memory)
        elif compared and compared["same"]:
            folded = f", {len(compared['missing'])} folded away by the exporter" if compared["missing"] else ""
            yield _row(name, "passed", f"{compared['same']} tensors equal{folded}", memory)
        elif name != "pytorch_state_dict":
            yield _row(name, "not run", "nothing to compare with", memory)


def _row(weights: str, verdict: Verdict, note: str, memory: int | None) -> Row:
    return Row(tools=("all",), engine=TENSORS, title="tensor by tensor", version=version("torch"), weights=weights,
               peak_memory=memory, verdict=verdict, note=note[:300])  # fmt: skip


def _faults(name: str, found: Mapping[str, Any], inspection: Inspection) -> Iterator[Fault]:
    """Yield what is wrong with one format."""
    tools = tools_loading(inspection, name)
    if name in found["errors"]:
        yield run_fault("loads", f"{name} does not load: {found['errors'][name]}", tools)
        return
    if bad := found["not finite"].get(name):
        yield run_fault("finite-weights", f"{name} holds NaN or infinity in {bad[0]} ({len(bad)} tensors)", tools)
        return
    compared = found["compared"].get(name)
    if compared is None:
        return
    prefix, lacking, same = compared["prefix"], compared["lacking"], compared["same"]
    if prefix and not _expected(inspection, prefix):
        keys = f"the state dict's names begin with {prefix!r}, those of {name} do not"
        yield run_fault("state-dict-keys", keys, tools)
    elif same and lacking:
        yield run_fault("state-dict-keys", f"the state dict lacks {lacking[0]}, which {name} has", tools)
    elif difference := _difference(compared):
        yield run_fault("same-weights", f"{name} holds other weights than its parent: {difference}", tools)
    elif same and compared["unknown"]:
        keys = f"the state dict holds {compared['missing'][0]}, which {name} has not"
        yield run_fault("state-dict-keys", keys, tools_loading(inspection, "pytorch_state_dict"), "warning")
    for here, there, count in compared["types"]:
        types = f"{name} holds {there} where its parent holds {here}"
        yield run_fault("weights-type", f"{types} ({count} tensors, equal but for the rounding)")


def _expected(inspection: Inspection, prefix: str) -> bool:
    """Whether the architecture has a part of that name; without an architecture file nobody knows."""
    entry = inspection.description.weights["pytorch_state_dict"]
    path = inspection.package.file(entry.architecture.source) if entry.architecture else None
    if path is None:
        return True
    with path.open(encoding="utf-8", errors="replace") as stream:
        return f"self.{prefix.partition('.')[0]}" in stream.read(_SOURCE)


def _difference(compared: Mapping[str, Any]) -> str | None:
    differ, shapes = compared["differ"], compared["shapes"]
    if not differ and not shapes:
        return None
    if shapes:
        first, (here, there) = next(iter(shapes.items()))
        how = f"{first} of shape {tuple(there)} for {tuple(here)}"
    else:
        first, largest = max(differ.items(), key=lambda item: item[1])
        how = f"{first} by {largest:.2g} of its largest value"
    count = len(differ) + len(shapes)
    return f"{count} of {compared['same'] + count} tensors differ, {how}"
