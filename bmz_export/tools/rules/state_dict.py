"""Rules on a state dict and the architecture file that it needs, read as opcodes and as a syntax tree."""

from __future__ import annotations

from collections.abc import Iterator

from bmz_export.inspection import Inspection
from bmz_export.tools import finders
from bmz_export.tools.rule import Found, Rule


def _state_dict_safe(inspection: Inspection) -> Iterator[Found]:
    shown = inspection.state_dict
    if shown is None:
        return
    if shown.error:
        yield Found(f"the state dict cannot be read: {shown.error}", "the state dict does not load")
    elif shown.layout == "torchscript":
        seen = "the state dict does not load: torch.load(weights_only=True) refuses such an archive"
        yield Found("the state dict is a TorchScript archive", seen)
    elif shown.calls:
        names = ", ".join(call.replace(" ", ".") for call in sorted(shown.calls)[:3])
        yield Found(f"unpickling the state dict would call {names}")


SAFE = Rule("state-dict-safe",
            "runs code of the file's author on loading, or is refused by torch.load(weights_only=True)",
            "a pickle calls whatever it names; torch from 2.6 on refuses all but tensors",
            "save the state dict alone: torch.save(network.state_dict(), file)",
            _state_dict_safe)  # fmt: skip


def _architecture(inspection: Inspection) -> Iterator[str | Found]:
    entry, shown = inspection.description.weights.get("pytorch_state_dict"), inspection.architecture
    if entry is None:
        return
    if entry.architecture is None and not entry.raw.get("architecture"):
        way_out = "add the `architecture`: the file that defines the network, its class and arguments"
        yield Found("the state dict comes without an architecture", way_out=way_out)
        return
    if shown is None or entry.architecture is None:
        return
    if shown.error:
        yield Found(f"{entry.architecture.source}: {shown.error}", way_out="correct that file")
    elif not entry.callable or entry.callable not in shown.definitions:
        known = ", ".join(list(shown.definitions)[:4]) or "nothing"
        yield f"{entry.architecture.source} defines no {entry.callable!r} (it defines {known})"
    else:
        misfit = shown.definitions[entry.callable].misfit(entry.kwargs)
        if misfit:
            yield f"{entry.callable}: {misfit}"


def _runs_at_import(inspection: Inspection) -> Iterator[str]:
    entry, shown = inspection.description.weights.get("pytorch_state_dict"), inspection.architecture
    if entry and entry.architecture and shown:
        for line, text in shown.at_import[:3]:
            yield f"{entry.architecture.source} line {line} would run at import: {text}"


def _imports(inspection: Inspection) -> Iterator[str | Found]:
    name = finders.imported_library(inspection)
    if name and name != "torch" and not inspection.description.weights["pytorch_state_dict"].raw.get("dependencies"):
        way_out = f"name the environment that holds {name} under `dependencies`"
        yield Found(f"the architecture is imported from {name}, and no dependencies name it", way_out=way_out)
    entry, shown = inspection.description.weights.get("pytorch_state_dict"), inspection.architecture
    if entry and entry.architecture and shown and not entry.raw.get("dependencies"):
        for name in shown.foreign:
            what = "a file beside it" if name.startswith(".") else name
            yield f"{entry.architecture.source} imports {what}"


ARCHITECTURE = Rule("architecture", "the state dict does not load: no network to put it in",
                    "bioimageio.core imports the file, takes the callable and calls it with the kwargs",
                    "name the class that the file defines, and the arguments that it takes", _architecture)  # fmt: skip
NO_CODE_AT_IMPORT = Rule("no-code-at-import", "code of the package's author runs as soon as the model is loaded",
                         "bioimageio.core and ilastik import the architecture file; here it is not run unless it is "
                         "trusted",
                         "a file that imports torch, numpy and plain modules of Python, and defines classes and "
                         "constants", _runs_at_import, "warning")  # fmt: skip
IMPORTS = Rule("torch-and-numpy-only", "the state dict does not load where that module is missing",
               "BioImage.IO's environment has torch and numpy; the architecture is a single file",
               "put all that the network needs into the one file", _imports)  # fmt: skip
