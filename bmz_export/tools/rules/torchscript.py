"""Rules on a TorchScript archive: what its text shows, and what torch says of it once that is harmless."""

from __future__ import annotations

from collections.abc import Iterator

from bmz_export.inspection import Inspection
from bmz_export.tools import finders
from bmz_export.tools.rule import Found, Rule


def _torchscript_readable(inspection: Inspection) -> Iterator[str]:
    entry = inspection.description.weights.get("torchscript")
    if entry and inspection.torchscript and inspection.torchscript.error:  # all other rules know nothing then
        yield f"{entry.source}: {inspection.torchscript.error}"


def _device_literal(inspection: Inspection) -> Iterator[str | Found]:
    shown = inspection.torchscript
    if shown and shown.devices:
        elsewhere = any(not name.startswith("cpu") for name in shown.devices)
        seen = "fails on a machine without that graphics card" if elsewhere else ""
        yield Found(f"the TorchScript code names the device {', '.join(shown.devices)}", seen)


def _saved_on_gpu(inspection: Inspection) -> Iterator[str]:
    for what, shown in (("TorchScript", inspection.torchscript_pickle), ("state dict", inspection.state_dict)):
        if shown and shown.devices:
            yield f"the {what} was saved from {', '.join(sorted(shown.devices))}"


def _torchscript_training(inspection: Inspection) -> Iterator[str | Found]:
    return finders.changing("TorchScript", inspection.torchscript)


def _reaching(inspection: Inspection) -> Iterator[str]:
    shown = inspection.torchscript_archive
    if shown and shown.reaches:
        yield f"the TorchScript reaches out of the network: {', '.join(shown.reaches)}"


def _tuple_returned(inspection: Inspection) -> Iterator[str]:
    shown = inspection.torchscript
    if shown and shown.returns and shown.returns != "Tensor":
        yield f"the TorchScript returns {shown.returns}, not one tensor"


def _arguments(inspection: Inspection) -> Iterator[str]:
    shown = inspection.torchscript
    if shown and shown.arguments is not None and shown.arguments != len(inspection.description.inputs):
        described = len(inspection.description.inputs)
        yield f"the TorchScript takes {shown.arguments} tensors, the description has {described}"


READABLE = Rule("torchscript-readable", "the model does not load",
                "libtorch reads a zip with code and tensors, and so does torch",
                "export the TorchScript again with torch.jit.trace and save it with torch.jit.save",
                _torchscript_readable)  # fmt: skip
NO_DEVICE_LITERAL = Rule("no-device-literal",
                         "works on the processor and fails on a graphics card: tensors on two devices",
                         "a trace bakes the device of every factory call (zeros, arange, tensor) into the code",
                         "derive such tensors from the input or register them as buffers, and trace again",
                         _device_literal)  # fmt: skip
SAVED_ON_CPU = Rule("saved-on-cpu", "does not load on a machine without that graphics card",
                    "the tools set no map location", "move the network to the CPU before saving",
                    _saved_on_gpu)  # fmt: skip
DETERMINISTIC = Rule("torchscript-deterministic", "another result at each run",
                     "dropout, batch normalisation in training mode and random operators are baked into "
                     "the code", "call .eval() before tracing, and take random operators out of forward",
                     _torchscript_training)  # fmt: skip
STAYS_INSIDE = Rule("torchscript-stays-inside",
                    "reads or writes files of the machine that it runs on, or reaches other processes and libraries",
                    "libtorch runs every operator that the code names, file access among them; some as soon as it "
                    "loads the archive", "do not run this package", _reaching)  # fmt: skip
INPUTS = Rule("torchscript-inputs", "the run fails: the network is given another number of tensors than it takes",
              "tools hand over as many tensors as rdf.yaml has inputs",
              "trace a forward that takes the inputs described", _arguments)  # fmt: skip
ONE_TENSOR = Rule("one-tensor-returned", "the run fails: the tool asks for a single tensor",
                  "QuPath's DjlDnnModel takes the one output of the network", "let forward return the tensor itself",
                  _tuple_returned)  # fmt: skip


def known_operators(*versions: str) -> Rule:
    """Return the rule that each of these versions of libtorch knows every operator of the TorchScript."""

    def find(inspection: Inspection) -> Iterator[str]:
        unknown = {version: inspection.unknown_operators(version) for version in versions}
        for name in dict.fromkeys(name for names in unknown.values() for name in names):
            lacking = ", ".join(version for version, names in unknown.items() if name in names)
            yield f"libtorch {lacking} does not know {name}"

    return Rule("operators", "the model does not load: unknown builtin operator",
                "a table of the operators of each libtorch, made from the libraries",
                "trace the network instead of scripting it, and write it with older operators", find)  # fmt: skip
