"""What a rule is, and the rules that several tools share.

A rule looks at what the files of a package show (:class:`~bmz_export.evidence.Evidence`) and runs nothing. It says what
a tool would stumble over in general, so that it holds for packages that nobody has seen yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bmz_export.evidence import Evidence
from bmz_export.package.description import Axis, Operation, Tensor, Weights
from bmz_export.tiling import Tiling

Severity = Literal["error", "warning"]
TORCH_FORMATS = ("pytorch_state_dict", "torchscript")
PER_SAMPLE = frozenset({"zero_mean_unit_variance", "scale_range", "scale_mean_variance"})
"""Operations that measure the image they are given."""


@dataclass(frozen=True)
class Finding:
    """What a rule found: the rule, how bad, what is wrong here, what the tool's user would see, the way out."""

    rule: str
    severity: Severity
    message: str
    seen: str
    way_out: str


@dataclass(frozen=True)
class Rule:
    """One thing that a tool demands of a package.

    Attributes
    ----------
    name : str
        Short and unique within a tool.
    breaks : str
        What the tool's user sees where the rule is broken.
    source : str
        Where that was read, or how it was found.
    way_out : str
        What to do.
    find : Callable
        From the evidence to one message for each violation.
    severity : str
        ``error``: the tool fails or shows wrong pixels; ``warning``: less than that.
    """

    name: str
    breaks: str
    source: str
    way_out: str
    find: Callable[[Evidence], Iterable[str]]
    severity: Severity = "error"

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield a finding for each violation."""
        for message in dict.fromkeys(self.find(evidence)):
            yield Finding(self.name, self.severity, message, self.breaks, self.way_out)


class Consumer(Protocol):
    """A tool: its rules, the engines that it runs on, the weights that it takes and how it tiles."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def title(self) -> str:
        """For tables."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What it demands."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that it ships."""

    @property
    def install(self) -> str:
        """How a user puts a package there, in a sentence."""

    def weights_choice(self, evidence: Evidence) -> str | None:
        """Return the weights format that it would run, None where it can run none."""

    def tiling(self, evidence: Evidence, shape: tuple[int, int]) -> Tiling | None:
        """Return how it cuts an image of this (height, width) in pixels, None where it runs images whole."""


# --- helpers for finders ------------------------------------------------------------------------------------


def images(evidence: Evidence) -> Iterator[tuple[str, Tensor]]:
    """Yield each input and output with its name for messages."""
    for side, tensors in (("input", evidence.description.inputs), ("output", evidence.description.outputs)):
        for tensor in tensors:
            yield f"{side} {tensor.id!r}", tensor


def halo(evidence: Evidence, letter: str) -> int:
    """Return the halo that the first output declares on an axis, in pixels."""
    output = next(iter(evidence.description.outputs), None)
    axis = output.axis(letter) if output else None
    return axis.halo if axis else 0


def operations(verdict: Callable[[Operation, Tensor], str | None]) -> Callable[[Evidence], Iterator[str]]:
    """Return a finder that asks ``verdict`` what is wrong with each pre- and postprocessing operation."""

    def find(evidence: Evidence) -> Iterator[str]:
        for where, tensor in images(evidence):
            for operation in tensor.operations:
                message = verdict(operation, tensor)
                if message:
                    yield f"{where}: {operation.id or 'an operation without a name'} {message}"

    return find


def library(evidence: Evidence) -> str | None:
    """Return the Python library that the state dict's architecture is imported from, None where a file defines it."""
    entry = evidence.description.weights.get("pytorch_state_dict")
    architecture = entry.raw.get("architecture") if entry else None
    source = architecture.get("import_from") if isinstance(architecture, Mapping) else None
    return str(source).partition(".")[0] if source else None


def statistics_per_tile(operation: Operation, tensor: Tensor) -> str | None:
    """Verdict: an operation that measures the image measures each tile where a tool tiles."""
    del tensor
    if operation.id not in PER_SAMPLE or operation.kwargs.get("mode") == "fixed":
        return None
    return "measures the image, which here is each tile by itself"


def _archive(*kinds: str) -> Callable[[Evidence], Iterator[str]]:
    def find(evidence: Evidence) -> Iterator[str]:
        return (problem.message for problem in evidence.package.problems if problem.kind in kinds)

    return find


# --- the archive --------------------------------------------------------------------------------------------

AT_THE_ROOT = Rule(
    "rdf-at-root",
    "the tool finds no model in the archive",
    "all tools look for rdf.yaml at the root of the zip",
    "zip the files themselves, not the folder around them",
    _archive("archive.nested", "archive.name"),
)
JAVA_ZIP = Rule(
    "zip-for-java",
    "unzipping fails",
    "java.util.zip reads stored and deflated entries alone, and no data descriptor after a stored one",
    "zip it again with method stored or deflated",
    _archive("archive.method", "archive.streamed"),
)
PORTABLE_NAMES = Rule(
    "portable-names",
    "on Windows a file is lost or the package does not unpack",
    "names that differ in case only, or that Windows reserves",
    "rename the file",
    _archive("archive.case", "archive.windows"),
    "warning",
)
ONE_DESCRIPTION = Rule(
    "one-description",
    "it depends on the tool which description counts",
    "QuPath takes model.yaml before rdf.yaml (qupath-bioimageio-spec, Model.findRdf)",
    "keep rdf.yaml alone",
    _archive("archive.second-description"),
    "warning",
)

# --- the description ----------------------------------------------------------------------------------------


def _malformed(evidence: Evidence) -> Iterator[str]:
    return (problem.message for problem in evidence.description.problems)


def _not_a_model(evidence: Evidence) -> Iterator[str]:
    description = evidence.description
    if description.type != "model":
        yield f"type is {description.type!r}, not 'model'"
    if not re.fullmatch(r"\d+\.\d+\.\d+", description.format_version):
        yield f"format_version is {description.format_version!r}, not three numbers in quotes"


WELL_FORMED = Rule(
    "well-formed",
    "the description is refused as invalid",
    "bioimageio.spec checks each field's type; Java casts it and throws",
    "correct the field in rdf.yaml",
    _malformed,
)
IS_A_MODEL = Rule(
    "is-a-model",
    "the package is not listed among the models",
    "bioimageio.spec: type and format_version choose the format",
    "write `type: model` and the format_version that the fields follow",
    _not_a_model,
)


def _several(evidence: Evidence) -> Iterator[str]:
    for side, tensors in (("inputs", evidence.description.inputs), ("outputs", evidence.description.outputs)):
        if len(tensors) > 1:
            names = ", ".join(tensor.id for tensor in tensors)
            yield f"{len(tensors)} {side} ({names})"


ONE_IN_ONE_OUT = Rule(
    "one-in-one-out",
    "the model is refused",
    "QuPath's BioimageIoTools and ilastik's tiktorch take one input and one output",
    "a model of one input and one output",
    _several,
)


def _newest_objects(evidence: Evidence) -> Iterator[str]:
    raw = evidence.description.raw
    for name in ("documentation", "license"):
        if isinstance(raw.get(name), dict):
            yield f"{name} is an object, not a string (formats from 0.5.11 on write it so)"
    covers = raw.get("covers")
    if isinstance(covers, list) and any(isinstance(cover, dict) for cover in covers):
        yield "covers is a list of objects, not of strings (formats from 0.5.11 on write it so)"


PLAIN_STRINGS = Rule(
    "plain-strings",
    "the model does not load: the parser throws",
    "read from the parsers of both and run: documentation and covers of the newest format are objects",
    "write rdf.yaml as format_version 0.5.4 with plain strings",
    _newest_objects,
)


def _not_float32(evidence: Evidence) -> Iterator[str]:
    for where, tensor in images(evidence):
        if tensor.dtype != "float32":
            yield f"{where} is {tensor.dtype or 'of no type'}, not float32"


FLOAT32 = Rule(
    "float32",
    "the network is given another type than it expects, or its output is refused",
    "deepImageJ and QuPath feed float32; ilastik takes float32 both ways",
    "declare and export float32",
    _not_float32,
)


def _odd_outputs(evidence: Evidence) -> Iterator[str]:
    description = evidence.description
    for output in description.outputs:
        for axis in output.axes:
            if axis.reference is None:
                continue
            source = description.tensor(axis.reference[0])
            if source is None or not any(axis.reference[1] in (other.id, other.letter) for other in source.axes):
                yield f"output {output.id!r}: axis {axis.id!r} follows {'.'.join(axis.reference)}, which is not there"


def _crossed(evidence: Evidence) -> Iterator[str]:
    for output in evidence.description.outputs:
        for axis in output.space:
            source = evidence.description.tensor(axis.reference[0]) if axis.reference else None
            names = {other.id: other.letter for other in source.axes} if source else {}
            letter = names.get(axis.reference[1], axis.letter) if axis.reference else axis.letter
            if letter != axis.letter:
                yield f"output {output.id!r}: axis {axis.id!r} takes its size from the input's {letter}"


SAME_AXES = Rule(
    "same-axes",
    "height and width are exchanged on images that are not square",
    "each tool makes the output as large as the axis that it refers to",
    "let each output axis refer to the input axis of its own name",
    _crossed,
)
REFERENCES_EXIST = Rule(
    "references-exist",
    "the model is refused",
    "bioimageio.spec and JDLL look the referenced axis up",
    "refer to an input and an axis by their ids",
    _odd_outputs,
)


# --- files --------------------------------------------------------------------------------------------------


def _missing(evidence: Evidence) -> Iterator[str]:
    for where, file in evidence.description.files():
        if not file.remote and evidence.package.file(file.source) is None:
            yield f"{where}: {file.source} is not in the package"


def _remote(evidence: Evidence) -> Iterator[str]:
    for where, file in evidence.description.files():
        if file.remote:
            yield f"{where}: {file.source} is an address, not a file of the package"


def _wrong_hash(evidence: Evidence) -> Iterator[str]:
    for where, file in evidence.description.files():
        found = evidence.hash(file)
        if file.sha256 and found and found != file.sha256.lower():
            yield f"{where}: {file.source} has sha256 {found[:12]}..., the description says {file.sha256[:12]}..."


def _no_hash(evidence: Evidence) -> Iterator[str]:
    for name, entry in evidence.description.weights.items():
        if entry.file and not entry.file.sha256:
            yield f"weights.{name}: {entry.file.source} has no sha256, so nobody notices another file"


def _missing_weights(evidence: Evidence) -> Iterator[str]:
    found = (*_missing(evidence), *_remote(evidence))
    return (message for message in found if message.startswith("weights."))


WEIGHTS_PRESENT = Rule(
    "weights-present",
    "the model does not load: a file is missing",
    "the tool opens the weights from the package's folder",
    "put the file there",
    _missing_weights,
)
FILES_PRESENT = Rule(
    "files-present",
    "the model does not load: a file is missing",
    "every tool opens the files that the description names, from the package's folder",
    "put the file there, or take it out of the description",
    _missing,
)
FILES_INSIDE = Rule(
    "files-inside",
    "works only while that address answers, and not without a network",
    "bioimageio.spec downloads what the description names by address",
    "put the file into the package",
    _remote,
    "warning",
)
HASHES = Rule(
    "hashes",
    "the model is refused: the file is not the one that was described",
    "bioimageio.spec compares each sha256",
    "export the package again, or find out who changed the file",
    _wrong_hash,
)
HASHED = Rule(
    "weights-hashed",
    "a changed weights file goes unnoticed",
    "bioimageio.spec compares a sha256 only where there is one",
    "write the sha256 of each weights file",
    _no_hash,
    "warning",
)

# --- test tensors -------------------------------------------------------------------------------------------


def _test_tensors(evidence: Evidence) -> Iterator[str]:
    shapes: dict[str, tuple[int, ...]] = {}
    for where, tensor in images(evidence):
        if tensor.test is None:
            yield f"{where} has no test tensor"
            continue
        test = evidence.test(tensor)
        if test is None:
            continue
        if test.array is None:
            yield f"{where}: {tensor.test.source}: {test.error}"
            continue
        shapes[tensor.id] = tuple(test.array.shape)
        if tensor.dtype and test.array.dtype.name != tensor.dtype:
            yield f"{where}: {tensor.test.source} is {test.array.dtype.name}, the description says {tensor.dtype}"
        elif test.array.dtype.byteorder == ">":
            yield f"{where}: {tensor.test.source} is big-endian"
        if test.fortran:
            yield f"{where}: {tensor.test.source} is in Fortran order, which Java reads transposed"
        if test.array.ndim != len(tensor.axes):
            yield f"{where}: {tensor.test.source} has {test.array.ndim} axes, the description {len(tensor.axes)}"
            shapes.pop(tensor.id)
    for where, tensor in images(evidence):
        if tensor.id in shapes:
            yield from (f"{where}: {message}" for message in _shape_faults(evidence, tensor, shapes))


def _shape_faults(evidence: Evidence, tensor: Tensor, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    source = tensor.test.source if tensor.test else ""
    expected = evidence.description.output_shape(tensor, shapes)
    output = tensor in evidence.description.outputs
    for index, (axis, size) in enumerate(zip(tensor.axes, shapes[tensor.id], strict=True)):
        fault = _size_fault(axis, size)
        if fault is None and output and axis.reference is None and axis.size is None and axis.type != "batch":
            continue
        if fault is None and output and (wanted := expected[index]) is not None and wanted != size:
            fault = f"{wanted} follows from the test input"
        if fault:
            yield f"{source} has {size} along {axis.id or axis.letter}, but {fault}"


def _size_fault(axis: Axis, size: int) -> str | None:
    if axis.size is not None and size != axis.size:
        return f"the description says {axis.size}"
    if axis.min is not None and axis.step is not None:
        if size < axis.min:
            return f"the least size is {axis.min}"
        if (size - axis.min) % axis.step if axis.step else size != axis.min:
            return f"sizes are {axis.min} + n * {axis.step}"
    return None


def _uninformative(evidence: Evidence) -> Iterator[str]:
    for where, tensor in images(evidence):
        test = evidence.test(tensor)
        if test is None or test.array is None or tensor.test is None or test.array.dtype.kind not in "fiub":
            continue
        array = np.asarray(test.array, np.float64)
        if not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            yield f"{where}: {tensor.test.source}: {bad:,} of its {array.size:,} values are NaN or infinite"
        elif array.size > 1 and np.ptp(array) == 0:
            yield f"{where}: {tensor.test.source} is {array.flat[0]:g} everywhere, so the test proves nothing"


TEST_TENSORS = Rule(
    "test-tensors",
    "the tool's own test of the model fails",
    "bioimageio.core, deepImageJ and QuPath read the test tensors as float32 in C order, in the shape described",
    "make the test tensors again from a real image with the network itself",
    _test_tensors,
)
INFORMATIVE_TESTS = Rule(
    "informative-test",
    "a test that proves nothing: wrong weights pass it",
    "bioimageio.core compares with the test output alone; NaN on both sides counts as equal",
    "make the test tensors from a real image",
    _uninformative,
)

# --- weights ------------------------------------------------------------------------------------------------


def _torchscript_readable(evidence: Evidence) -> Iterator[str]:
    entry = evidence.description.weights.get("torchscript")
    if entry and evidence.torchscript and evidence.torchscript.error:
        yield f"{entry.source}: {evidence.torchscript.error}"


def _device_literal(evidence: Evidence) -> Iterator[str]:
    shown = evidence.torchscript
    if shown and shown.devices:
        yield f"the TorchScript code names the device {', '.join(sorted(shown.devices))}"


def _saved_on_gpu(evidence: Evidence) -> Iterator[str]:
    for what, shown in (("TorchScript", evidence.torchscript_pickle), ("state dict", evidence.state_dict)):
        if shown and shown.devices:
            yield f"the {what} was saved from {', '.join(sorted(shown.devices))}"


def _torchscript_training(evidence: Evidence) -> Iterator[str]:
    shown = evidence.torchscript
    if shown and shown.training:
        yield f"the TorchScript still trains: {', '.join(shown.training)}"
    if shown and shown.random:
        yield f"the TorchScript draws random numbers: {', '.join(shown.random)}"


def _reaching(evidence: Evidence) -> Iterator[str]:
    shown = evidence.torchscript
    if shown and shown.reaches:
        yield f"the TorchScript reads or writes files: {', '.join(shown.reaches)}"


def _tuple_returned(evidence: Evidence) -> Iterator[str]:
    shown = evidence.torchscript
    if shown and shown.returns and shown.returns != "Tensor":
        yield f"the TorchScript returns {shown.returns}, not one tensor"
    if shown and shown.arguments is not None and shown.arguments != len(evidence.description.inputs):
        yield f"the TorchScript takes {shown.arguments} tensors, the description has {len(evidence.description.inputs)}"


TORCHSCRIPT_READABLE = Rule(
    "torchscript-readable",
    "the model does not load",
    "libtorch reads a zip with code and tensors",
    "export the TorchScript again with torch.jit.trace and save it with torch.jit.save",
    _torchscript_readable,
)
NO_DEVICE_LITERAL = Rule(
    "no-device-literal",
    "works on the processor and fails on a graphics card: tensors on two devices",
    "a trace bakes the device of every factory call (zeros, arange, tensor) into the code",
    "derive such tensors from the input or register them as buffers, and trace again",
    _device_literal,
)
SAVED_ON_CPU = Rule(
    "saved-on-cpu",
    "does not load on a machine without that graphics card",
    "the tools set no map location",
    "move the network to the CPU before saving",
    _saved_on_gpu,
)
DETERMINISTIC_TORCHSCRIPT = Rule(
    "torchscript-deterministic",
    "another result at each run",
    "dropout, batch normalisation in training mode and random operators are baked into the code",
    "call .eval() before tracing, and take random operators out of forward",
    _torchscript_training,
)
STAYS_INSIDE = Rule(
    "torchscript-stays-inside",
    "reads or writes files of the machine that it runs on",
    "libtorch runs every operator that the code names, file access among them",
    "do not run this package",
    _reaching,
)
ONE_TENSOR = Rule(
    "one-tensor-returned",
    "the run fails: the tool asks for a single tensor",
    "QuPath's DjlDnnModel takes the one output of the network",
    "let forward return the tensor itself",
    _tuple_returned,
)


def unlicensed(evidence: Evidence) -> Iterator[str]:
    """Yield that there is no licence, where there is none; what follows from it differs from tool to tool."""
    if evidence.description.raw.get("license") is None:
        yield "there is no license"


def known_operators(*versions: str) -> Rule:
    """Return the rule that each of these versions of libtorch knows every operator of the TorchScript."""

    def find(evidence: Evidence) -> Iterator[str]:
        unknown = {version: evidence.unknown_operators(version) for version in versions}
        for name in dict.fromkeys(name for names in unknown.values() for name in names):
            lacking = ", ".join(version for version, names in unknown.items() if name in names)
            yield f"libtorch {lacking} does not know {name}"

    return Rule(
        "operators",
        "the model does not load: unknown builtin operator",
        "a table of the operators of each libtorch, made from the libraries",
        "trace the network instead of scripting it, and write it with older operators",
        find,
    )


def _onnx_readable(evidence: Evidence) -> Iterator[str]:
    entry = evidence.description.weights.get("onnx")
    if entry and evidence.onnx and evidence.onnx.error:
        yield f"{entry.source}: {evidence.onnx.error}"


def _onnx_nan(evidence: Evidence) -> Iterator[str]:
    shown = evidence.onnx
    for name, array in (shown.weights if shown else {}).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all() and not _is_limit(array):
            yield f"the ONNX weights {name} hold NaN or infinity"
            return


def _is_limit(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    return array.size == 1 and not np.isnan(array).any()  # a bound of Clip or the start of a maximum


def _onnx_training(evidence: Evidence) -> Iterator[str]:
    shown = evidence.onnx
    if shown and shown.training:
        yield f"the ONNX still trains: {', '.join(shown.training)}"
    if shown and shown.random:
        yield f"the ONNX draws random numbers: {', '.join(shown.random)}"


def _onnx_external(evidence: Evidence) -> Iterator[str]:
    shown = evidence.onnx
    for location in shown.external if shown else ():
        inside = evidence.package.file(location) is not None
        yield f"the ONNX takes weights from {'the second file' if inside else 'a file outside the package:'} {location}"


def _onnx_opset_told(evidence: Evidence) -> Iterator[str]:
    entry, shown = evidence.description.weights.get("onnx"), evidence.onnx
    if entry and shown and not shown.error and entry.opset not in (None, shown.opset):
        yield f"the ONNX is of opset {shown.opset}, the description says {entry.opset}"


def _onnx_shapes(evidence: Evidence) -> Iterator[str]:
    shown = evidence.onnx
    if not shown or shown.error:
        return
    inputs, outputs = evidence.description.inputs, evidence.description.outputs
    if len(shown.outputs) != len(outputs):
        yield f"the ONNX returns {len(shown.outputs)} tensors, the description has {len(outputs)}"
    if len(shown.inputs) != len(inputs):
        yield f"the ONNX takes {len(shown.inputs)} inputs, the description has {len(inputs)}"
        return
    for value, tensor in zip(shown.inputs, inputs, strict=True):
        if len(value.shape) != len(tensor.axes):
            if value.shape:
                yield f"the ONNX input has {len(value.shape)} axes, the description {len(tensor.axes)}"
            continue
        for size, axis in zip(value.shape, tensor.axes, strict=True):
            free = bool(axis.step) or (axis.type == "batch" and axis.size is None)
            if isinstance(size, int) and size > 0 and free:
                where = axis.id or axis.letter
                yield f"the ONNX input is fixed to {size} along {where}, which the description leaves free"
            elif isinstance(size, int) and size > 0 and axis.size not in (None, size):
                yield f"the ONNX input has {size} along {axis.id or axis.letter}, the description says {axis.size}"


def _onnx_domains(evidence: Evidence) -> Iterator[str]:
    shown = evidence.onnx
    for domain in shown.domains if shown else ():
        used = [name for name in shown.operators if name.startswith(f"{domain}.")] if shown else []
        if used and not domain.startswith(("ai.onnx", "com.microsoft")):
            yield f"the ONNX uses {used[0]}, an operator that no runtime of the tools has"


ONNX_READABLE = Rule(
    "onnx-readable",
    "the model does not load",
    "ONNX Runtime parses the file first",
    "export the ONNX again",
    _onnx_readable,
)
ONNX_FINITE = Rule(
    "onnx-finite",
    "a blank image: every value is NaN",
    "NaN in, NaN out; bioimageio.core's own test passes it",
    "export the ONNX again from the trained network",
    _onnx_nan,
)
DETERMINISTIC_ONNX = Rule(
    "onnx-deterministic",
    "another result at each run",
    "Dropout with training_mode, BatchNormalization with training_mode, random operators",
    "call .eval() before the export, and take random operators out of forward",
    _onnx_training,
)
ONNX_OPERATORS = Rule(
    "onnx-operators",
    "the model does not load: unknown operator",
    "ONNX Runtime has the operators of ONNX and its own; others come with a library beside the model",
    "export the ONNX with standard operators alone",
    _onnx_domains,
)
ONNX_ONE_FILE = Rule(
    "onnx-one-file",
    "does not load, or reads another file of the machine as weights without a word",
    "ONNX Runtime follows the path that the file names; the package's tools copy one file",
    "export the ONNX in one file (save with save_as_external_data=False)",
    _onnx_external,
)
ONNX_OPSET_TOLD = Rule(
    "onnx-opset-told",
    "the tool picks a runtime for another opset than the file has",
    "tools read opset_version from the description",
    "write the opset that the file has",
    _onnx_opset_told,
)
ONNX_SHAPES = Rule(
    "onnx-shapes",
    "fails on images of another size, or on more than one image",
    "ONNX Runtime refuses an input that contradicts the sizes in the file",
    "export with dynamic axes for batch, height and width (an example of batch 2)",
    _onnx_shapes,
)


def _state_dict_safe(evidence: Evidence) -> Iterator[str]:
    shown = evidence.state_dict
    if shown is None:
        return
    if shown.error:
        yield f"the state dict cannot be read: {shown.error}"
    elif shown.layout == "torchscript":
        yield "the state dict is a TorchScript archive"
    elif shown.calls:
        names = ", ".join(call.replace(" ", ".") for call in sorted(shown.calls)[:3])
        yield f"unpickling the state dict would call {names}"


STATE_DICT_SAFE = Rule(
    "state-dict-safe",
    "runs code of the file's author on loading, or is refused by torch.load(weights_only=True)",
    "a pickle calls whatever it names; torch from 2.6 on refuses all but tensors",
    "save the state dict alone: torch.save(network.state_dict(), file)",
    _state_dict_safe,
)


def _architecture(evidence: Evidence) -> Iterator[str]:
    entry, shown = evidence.description.weights.get("pytorch_state_dict"), evidence.architecture
    if entry is None:
        return
    if entry.architecture is None and not entry.raw.get("architecture"):
        yield "the state dict comes without an architecture"
        return
    if shown is None or entry.architecture is None:
        return
    if shown.error:
        yield f"{entry.architecture.source}: {shown.error}"
    elif not entry.callable or entry.callable not in shown.definitions:
        known = ", ".join(list(shown.definitions)[:4]) or "nothing"
        yield f"{entry.architecture.source} defines no {entry.callable!r} (it defines {known})"
    else:
        misfit = shown.definitions[entry.callable].misfit(entry.kwargs)
        if misfit:
            yield f"{entry.callable}: {misfit}"


def _acts_at_import(evidence: Evidence) -> Iterator[str]:
    entry, shown = evidence.description.weights.get("pytorch_state_dict"), evidence.architecture
    if entry and entry.architecture and shown:
        for line, text in shown.acts[:3]:
            yield f"{entry.architecture.source} line {line} would run at import: {text}"


def _reaches(evidence: Evidence) -> Iterator[str]:
    entry, shown = evidence.description.weights.get("pytorch_state_dict"), evidence.architecture
    if entry and entry.architecture and shown and entry.callable:
        for line, text in shown.reaches(entry.callable)[:3]:
            yield f"{entry.architecture.source} line {line} reaches out of the network: {text}"


def _imports(evidence: Evidence) -> Iterator[str]:
    name = library(evidence)
    if name and name != "torch" and not evidence.description.weights["pytorch_state_dict"].raw.get("dependencies"):
        yield f"the architecture is imported from {name}, and no dependencies name it"
    entry, shown = evidence.description.weights.get("pytorch_state_dict"), evidence.architecture
    if entry and entry.architecture and shown and not entry.raw.get("dependencies"):
        for name in shown.foreign:
            what = "a file beside it" if name.startswith(".") else name
            yield f"{entry.architecture.source} imports {what}"


ARCHITECTURE = Rule(
    "architecture",
    "the state dict does not load: no network to put it in",
    "bioimageio.core imports the file, takes the callable and calls it with the kwargs",
    "name the class that the file defines, and the arguments that it takes",
    _architecture,
)
NO_CODE_AT_IMPORT = Rule(
    "no-code-at-import",
    "code of the package's author runs as soon as the model is loaded",
    "bioimageio.core and ilastik import the architecture file",
    "a file that defines classes and does nothing else",
    _acts_at_import,
)
COMPUTES_ALONE = Rule(
    "network-computes-alone",
    "code of the package's author starts programs, or reads and writes files, as soon as the network is built or run",
    "bioimageio.core and ilastik build the network from the architecture file",
    "a network that computes and does nothing else",
    _reaches,
)
IMPORTS = Rule(
    "torch-and-numpy-only",
    "the state dict does not load where that module is missing",
    "BioImage.IO's environment has torch and numpy; the architecture is a single file",
    "put all that the network needs into the one file",
    _imports,
)


def _parents(evidence: Evidence) -> Iterator[str]:
    weights = evidence.description.weights
    roots = [name for name, entry in weights.items() if entry.parent is None]
    if (
        weights and len(roots) != 1 and evidence.description.version >= (0, 5)
    ):  # format 0.4 lets them stand side by side
        yield f"{len(roots)} weights entries have no parent ({', '.join(roots) or 'none'})"
    for name, entry in weights.items():
        if entry.parent is not None and entry.parent not in weights:
            yield f"weights.{name} has the parent {entry.parent!r}, which is not there"
        elif _is_own_ancestor(name, weights):
            yield f"weights.{name} descends from itself"


def _is_own_ancestor(name: str, weights: Mapping[str, Weights]) -> bool:
    above = weights[name].parent
    for _ in weights:
        if above is None or above not in weights or above == name:
            break
        above = weights[above].parent
    return above == name


ONE_ROOT = Rule(
    "one-parent",
    "the description is refused",
    "bioimageio.spec: one entry is the original, each other names what it was made from",
    "give every entry but the original a parent",
    _parents,
)

PACKAGE_RULES = (AT_THE_ROOT, PORTABLE_NAMES, IS_A_MODEL, TEST_TENSORS, REFERENCES_EXIST, SAME_AXES)
"""What every tool demands."""
SPEC_RULES = (WELL_FORMED, ONE_DESCRIPTION, FILES_PRESENT, FILES_INSIDE, HASHES, HASHED, ONE_ROOT, INFORMATIVE_TESTS)
"""What bioimageio.spec demands wherever it reads the package: in Python, on the site, in ilastik."""
TORCHSCRIPT_RULES = (
    TORCHSCRIPT_READABLE,
    DETERMINISTIC_TORCHSCRIPT,
    NO_DEVICE_LITERAL,
    SAVED_ON_CPU,
    STAYS_INSIDE,
)
ONNX_RULES = (
    ONNX_READABLE,
    ONNX_FINITE,
    DETERMINISTIC_ONNX,
    ONNX_OPERATORS,
    ONNX_ONE_FILE,
    ONNX_OPSET_TOLD,
    ONNX_SHAPES,
)
STATE_DICT_RULES = (STATE_DICT_SAFE, ARCHITECTURE, NO_CODE_AT_IMPORT, COMPUTES_ALONE, IMPORTS)
