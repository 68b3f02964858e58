"""The weights formats compared tensor by tensor, none of them run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from bmz_export.checking.certificate import LATE, TENSORS, Fault, Row, Verdict
from bmz_export.checking.runner import FORMATS, MORE_TIME, Runner, run_fault
from bmz_export.inspection import Inspection
from bmz_export.tools import TOOLS

_AGAIN = "export the package again from one network"
_SOURCE = 2**20  # characters of an architecture file that are looked at


def runners(inspection: Inspection, name: str) -> tuple[str, ...]:
    """Return the titles of the tools that run a weights format of a package."""
    every = ("bioimage.io", "bioimageio.core")
    return tuple(each.title for each in TOOLS.values() if each.name in every or each.weights_choice(inspection) == name)


def compare_tensors(runner: Runner) -> Iterator[Row | Fault]:
    """Yield how the weights of the formats compare, none of them run: the state dict loaded with ``weights_only``.

    It needs no trust, and finds what no image shows: one parameter that is a per cent off.
    """
    files = {name: str(path.absolute()) for name in FORMATS if (path := runner.inspection.weights(name)) is not None}
    if runner.hostile("pytorch_state_dict"):
        files.pop("pytorch_state_dict", None)
    if "torchscript" in files and (why := runner.hostile("torchscript")):
        del files["torchscript"]
        yield _row("torchscript", "not run", why, None)
    if len(files) < 2 and "pytorch_state_dict" not in files:
        return
    runner.log("the tensors of the formats")
    found, outcome = runner.ask_worker("tensors", files)
    if outcome.error:
        if not outcome.out_of_time:
            yield run_fault(
                "tensors",
                f"the formats could not be compared tensor by tensor: {outcome.error}",
                "nothing: it is not known whether all tools run the same weights",
                "if it is a matter of memory: a larger machine",
            )
        late = outcome.out_of_time
        for name in files:
            note = f"{outcome.error}; {MORE_TIME}" if late else outcome.error
            yield _row(name, LATE if late else "failed", note, outcome.peak_memory or None)
        return
    for name in files:
        verdict, note, problem = _tensors(name, found, runner.inspection)
        if problem:
            yield run_fault(*problem, _AGAIN, tools=runners(runner.inspection, name))
        elif extra := _extra(name, found):
            seen = "the state dict does not load where the network has no such part"
            tools = runners(runner.inspection, "pytorch_state_dict")
            yield run_fault("state-dict-keys", extra, seen, _AGAIN, tools=tools, severity="warning")
        for here, there, count in found["compared"].get(name, {}).get("types", ()):
            message = (
                f"{name} holds {there} where its parent holds {here} ({count} tensors, equal but for the rounding)"
            )
            yield run_fault(
                "weights-type", message, "pixels that differ slightly between tools", _AGAIN, severity="warning"
            )
        if name != "pytorch_state_dict" or verdict == "failed":
            yield _row(name, verdict, note, outcome.peak_memory or None)


def _row(weights: str, verdict: Verdict, note: str, memory: int | None) -> Row:
    return Row(
        tools=("all",),
        engine=TENSORS,
        title="tensor by tensor",
        version=version("torch"),
        weights=weights,
        peak_memory=memory,
        verdict=verdict,
        note=note[:300],
    )


def _expected(inspection: Inspection, prefix: str) -> bool:
    """Whether the architecture has a part of that name; without an architecture file nobody knows."""
    entry = inspection.description.weights["pytorch_state_dict"]
    path = inspection.package.file(entry.architecture.source) if entry.architecture else None
    if path is None:
        return True
    with path.open(encoding="utf-8", errors="replace") as stream:
        return f"self.{prefix.partition('.')[0]}" in stream.read(_SOURCE)


def _tensors(
    name: str, found: Mapping[str, Any], inspection: Inspection
) -> tuple[Verdict, str, tuple[str, str, str] | None]:
    """Return verdict, note, and (rule, message, what is seen) of a fault for one format."""
    if name in found["errors"]:
        reason = found["errors"][name]
        return "failed", reason, ("loads", f"{name} does not load: {reason}", "the model does not load")
    if bad := found["unsound"].get(name):
        message = f"{name} holds NaN or infinity in {bad[0]} ({len(bad)} tensors)"
        return "failed", message, ("finite-weights", message, "a blank image: no value of it is a number")
    compared = found["compared"].get(name)
    if compared is None:
        return "not run", "nothing to compare with", None
    if keys := _keys(name, compared, inspection):
        return "failed", keys, ("state-dict-keys", keys, "the state dict does not load: its keys are missing")
    return _difference(name, compared)


def _keys(name: str, compared: Mapping[str, Any], inspection: Inspection) -> str | None:
    """Say why the state dict's names do not fit the network, None where they do as far as can be told."""
    prefix, lacking = compared["prefix"], compared["lacking"]
    if prefix and not _expected(inspection, prefix):
        return f"the state dict's names begin with {prefix!r}, those of {name} do not"
    return f"the state dict lacks {lacking[0]}, which {name} has" if compared["same"] and lacking else None


def _extra(name: str, found: Mapping[str, Any]) -> str | None:
    """Say what the state dict holds beyond the network, as far as a format that is not frozen tells."""
    compared = found.get("compared", {}).get(name, {})
    if not (compared.get("unknown") and compared["same"]):
        return None
    return f"the state dict holds {compared['missing'][0]}, which {name} has not"


def _difference(name: str, compared: Mapping[str, Any]) -> tuple[Verdict, str, tuple[str, str, str] | None]:
    differ, shapes, same, missing = (compared[key] for key in ("differ", "shapes", "same", "missing"))
    if differ or shapes:
        count = len(differ) + len(shapes)
        if shapes:
            first, (here, there) = next(iter(shapes.items()))
            how = f"{first} of shape {tuple(there)} for {tuple(here)}"
        else:
            first, largest = max(differ.items(), key=lambda item: item[1])
            how = f"{first} by {largest:.2g} of its largest value"
        note = f"{count} of {same + count} tensors differ, {how}"
        seen = "other pixels in the tools that run this format"
        return "failed", note, ("same-weights", f"{name} holds other weights than its parent: {note}", seen)
    note = f"{same} tensors equal" + (f", {len(missing)} folded away by the exporter" if missing else "")
    return ("passed", note, None) if same else ("not run", "no tensor has a namesake", None)
