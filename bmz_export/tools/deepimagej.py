"""deepImageJ in Fiji: plugin 3.1 on JDLL 0.6.1, read from their sources; what is marked [run] was tried with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bmz_export.inspection import Inspection
from bmz_export.inspection.torchscript import SECONDS_A_GROUP
from bmz_export.package.description import Axis, Operation, Tensor
from bmz_export.package.fiji_memory import MOST_PIXELS
from bmz_export.package.scripts import Script
from bmz_export.tools import finders, rules
from bmz_export.tools.rule import Found, Rule
from bmz_export.tools.tiling import Part, Tiling, grid, window
from bmz_export.tools.tool import Program, Tool, ToolTiling, Trial

MAX_OPSET, MAX_IR = 17, 8
"""What ONNX Runtime Java 1.12.1 loads."""
LONGEST_WAIT = 2.0
"""Seconds for compiling at a new image size that nobody is warned of."""

_RUNS = ("torchscript", "onnx", "tensorflow_saved_model_bundle")
_SCALARS = {
    "scale_linear": ("gain", "offset"),
    "binarize": ("threshold",),
    "fixed_zero_mean_unit_variance": ("mean", "std"),
}
_OPERATIONS = frozenset(_SCALARS) | {"sigmoid", "clip", "zero_mean_unit_variance", "scale_range", "ensure_dtype"}


def java_order(keys: Sequence[str]) -> list[str]:
    """Return keys in the order in which a ``java.util.HashMap`` of up to twelve entries yields them.

    The hash of a string is the sum of ``31 ** (n - 1 - i) * char[i]`` in 32 bits. The map folds its upper half onto the
    lower and takes the lowest four bits as the bucket; keys of one bucket stay in the order of insertion.
    """

    def bucket(key: str) -> int:
        code = 0
        for character in key:
            code = (31 * code + ord(character)) & 0xFFFFFFFF
        return (code ^ (code >> 16)) & 15

    return sorted(dict.fromkeys(keys), key=bucket)


def _formats(inspection: Inspection) -> Iterator[str]:
    if inspection.description.version[:2] not in ((0, 4), (0, 5)):
        yield f"format {inspection.description.format_version or 'without a version'}"


def _config(inspection: Inspection) -> Iterator[str | Found]:
    description = inspection.description
    if description.config is not None and not description.id:
        yield "there is a config but no id"
    own = (description.config or {}).get("deepimagej")
    if own is not None and not (isinstance(own, dict) and own.get("allow_tiling") is True):
        yield Found("config.deepimagej does not say allow_tiling: true",
                    way_out="write `allow_tiling: true` there, or leave config.deepimagej out")  # fmt: skip


def _one_input(inspection: Inspection) -> Iterator[str]:
    if len(inspection.description.inputs) != 1:
        yield f"{len(inspection.description.inputs)} inputs"


def _axes(inspection: Inspection) -> Iterator[str]:
    for where, tensor in finders.images(inspection):
        new = inspection.description.version >= (0, 5)
        for axis in tensor.axes:
            if axis.letter not in "bczyx":
                yield f"{where} has the axis {axis.id or axis.type!r}"
            if new and axis.type != "batch" and not (axis.raw.get("id") or axis.type == "channel"):
                yield f"{where} has a {axis.type} axis without id"
        channel = tensor.axis("c")
        if channel is None:
            yield f"{where} has no channel axis"
        elif new and channel.channel_names is None:
            yield f"{where}: the channel axis has no channel_names"


def _sizes(inspection: Inspection) -> Iterator[str | Found]:
    for tensor in inspection.description.inputs:
        elements = 1
        for axis in tensor.axes:
            elements *= axis.at(0)
            if axis.min is not None and axis.step and axis.min % axis.step:
                yield f"axis {axis.id!r}: sizes are {axis.min} + n * {axis.step}, but tiles multiples of {axis.step}"
        if elements > MOST_PIXELS:
            message = f"input {tensor.id!r}: its smallest tile has {elements:,} elements, the most is {MOST_PIXELS:,}"
            yield Found(message, "the search for a tile never ends", "describe a smaller min")


def _small_images(inspection: Inspection) -> Iterator[str]:
    for tensor in inspection.description.inputs:
        fixed = [axis.size for axis in tensor.space if axis.size and not axis.step]
        if fixed:
            yield f"input {tensor.id!r}: tiles are always {' x '.join(map(str, fixed))}"


def _output_axes(inspection: Inspection) -> Iterator[str]:
    for where, axis, _ in finders.output_axes(inspection):
        if axis.unit is not None:
            yield f"{where} has the unit {axis.unit}"
        if axis.scale != 1 and inspection.description.version >= (0, 5):
            yield f"{where} has the scale {axis.scale:g}"
        if axis.offset:
            yield f"{where} has the offset {axis.offset:g}"


def _halo(inspection: Inspection) -> Iterator[str]:
    for tensor in inspection.description.inputs:
        for axis in tensor.axes:
            if axis.halo:
                yield f"input {tensor.id!r}: axis {axis.id!r} has a halo, which only outputs have"
    for where, axis, source in finders.output_axes(inspection):
        if axis.halo and axis.reference is None:
            yield f"{where} has a halo but follows no input axis"
        elif source and axis.halo and 2 * axis.halo >= _least_tile(source, axis.halo):
            yield f"axis {axis.id!r}: twice the halo of {axis.halo} leaves nothing of a tile of {source.at(0)}"


def _least_tile(axis: Axis, halo: int) -> int:
    return axis.at(0) if not axis.step else max(axis.at(0), (axis.at(0) + 2 * halo) // axis.step * axis.step)


def _operation(operation: Operation, tensor: Tensor) -> str | None:
    empty = [name for name, value in operation.kwargs.items() if value is None]
    if operation.id not in _OPERATIONS:
        return "is not known there: the run throws"
    if empty:
        return f"has the empty argument {empty[0]}"
    return _other_pixels(operation, tensor)


def _other_pixels(operation: Operation, tensor: Tensor) -> str | None:
    kwargs = operation.kwargs
    if operation.id == "clip" and not finders.clips_at_numbers(operation):
        return "needs a number for both min and max"
    lists = [name for name in _SCALARS.get(operation.id, ()) if isinstance(kwargs.get(name), list)]
    if lists:
        return f"with a list for {lists[0]} gives other values than everywhere else (a scalar is right)"
    if operation.id == "zero_mean_unit_variance" and kwargs.get("axes") is not None and tensor.axis("z"):
        return "with axes takes the wrong axes of a stack"
    if operation.id == "scale_range" and (kwargs.get("min_percentile", 0), kwargs.get("max_percentile", 100)) != (
        0,
        100,
    ):
        return "takes percentiles without interpolation: up to 0.5 % of the range off"
    return None


def _empty_kwargs(inspection: Inspection) -> Iterator[str]:
    for name, entry in inspection.description.weights.items():
        for key in _empty(entry.kwargs):
            yield f"weights.{name}: the argument {key} is empty"


def _empty(value: object, name: str = "") -> Iterator[str]:
    """Yield the dotted name of each null in nested arguments."""
    if value is None:
        yield name
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _empty(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _empty(inner, f"{name}[{index}]")


def _choice(inspection: Inspection) -> str | None:
    weights = inspection.description.weights
    keys = {
        f"{name}_v{entry.opset if name == 'onnx' else entry.version or 'Unknown0'}": name
        for name, entry in weights.items()
    }
    return next((keys[key] for key in java_order(list(keys)) if keys[key] in _RUNS), None)


def _onnx_first(inspection: Inspection) -> Iterator[str]:
    if _choice(inspection) == "onnx":
        other = inspection.description.weights.get("torchscript")
        why = f"with pytorch_version {other.version} its map yields ONNX first" if other else "there is only ONNX"
        yield f"it would run the ONNX: {why}"


def _onnx_age(inspection: Inspection) -> Iterator[str]:
    shown = inspection.onnx
    if shown and not shown.error:
        if shown.opset > MAX_OPSET:
            yield f"the ONNX is of opset {shown.opset}, ONNX Runtime 1.12.1 knows up to {MAX_OPSET}"
        if shown.ir > MAX_IR:
            yield f"the ONNX is of IR version {shown.ir}, ONNX Runtime 1.12.1 reads up to {MAX_IR}"


def _wait(inspection: Inspection) -> Iterator[str]:
    groups = inspection.fusion_groups or 0
    seconds = groups * SECONDS_A_GROUP
    if seconds > LONGEST_WAIT:
        yield f"{groups} groups of touching pointwise operations to compile: about {seconds:.0f} s"


_SOURCE = "deepImageJ 3.1, JDLL 0.6.1"


def one_tile(inspection: Inspection, shape: tuple[int, int]) -> Tiling | None:
    """One tile where size and halo make a multiple of ``step``, else two; mirrored with the edge repeated."""

    def along(axis: int, length: int) -> list[Part]:
        halo = finders.declared_halo(inspection, "yx"[axis])
        tile = _tile(finders.input_axis(inspection, "yx"[axis]), halo, length)
        before = max(halo, math.ceil((tile - length) / 2))
        after = max(halo, tile - length - before)
        kept = tile - before - after
        parts = []
        for index in range(max(math.ceil(length / max(tile - 2 * halo, 1)), 1)):
            start = max(min(kept * index, length - kept), 0)
            read, pad = window(start - before, tile, length)
            parts.append(Part(read, pad, (before, before + kept), (start, start + kept)))
        return parts

    return grid(shape, along, "symmetric")


def _tile(axis: Axis | None, halo: int, length: int) -> int:
    if axis is None or not axis.step:
        return axis.at(0) if axis else length
    least = axis.at(0)
    tile = (length + 2 * halo) // axis.step * axis.step
    if tile > 3 * length and tile - axis.step >= least:
        tile -= axis.step
    if tile > 3 * length and (rounded := -(-length // axis.step) * axis.step) >= least:
        tile = rounded
    return max(tile, least, 2 * halo + 1)


_PROGRAMS = (
    "fiji-linux-x64", "fiji-linux-arm64", "fiji-windows-x64.exe", "fiji-macos", "Contents/MacOS/fiji-macos",
    "ImageJ-linux64", "ImageJ-win64.exe", "Contents/MacOS/ImageJ-macosx", "fiji", "fiji.bat",
)  # fmt: skip


def _call(program: Path, trial: Trial) -> tuple[list[str], Path]:
    target = trial.folder / "fiji"
    target.mkdir()
    paths = f"{trial.description.parent}|{trial.image}|{target}"
    command = [str(program), "--headless", "--console", "-macro", str(trial.script), paths]
    return command, target / f"{trial.image.stem}_denoised.tif"


TOOL = Tool(
    name="deepimagej",
    title="Fiji (deepImageJ)",
    engines=("libtorch-1.13.1", "libtorch-2.0.0", "onnxruntime-java-1.12.1"),
    install="copy the unzipped folder to Fiji.app/models/NAME",
    rules=(
        *rules.PACKAGE,
        rules.archive.JAVA_ZIP,
        rules.description.PLAIN_STRINGS,
        rules.files.WEIGHTS_PRESENT,
        rules.description.FLOAT32,
        rules.description.HALO_OF_STEPS,
        *rules.TORCHSCRIPT,
        rules.onnx.READABLE,
        rules.onnx.OPERATORS,
        rules.onnx.ONE_FILE,
        rules.onnx.TENSORS,
        Rule("format", "the model does not load", _SOURCE, "write it as format 0.5.4", _formats),
        Rule("config-needs-id", "a null pointer instead of the model", f"{_SOURCE}, ModelDescriptorV05 [run]",
             "write an id, or leave config out", _config),
        Rule("one-input", "the model is refused", _SOURCE, "a model of one input", _one_input),
        Rule("axes", "the model does not load, or its image is laid out wrongly", f"{_SOURCE}, AxisV05",
             "axes from batch, channel, z, y, x, each but batch with an id, channel with channel_names", _axes),
        Rule("min-multiple-of-step", "the run stops: invalid tile size", f"{_SOURCE}, TileCalculator and TileMaker",
             "declare a min that is a multiple of step", _sizes),
        Rule("fixed-size", "images smaller than a third of the tile are refused", f"{_SOURCE}, TileMaker",
             "export with dynamic height and width, and declare min and step", _small_images, "warning"),
        Rule("output-unit-scale-offset", "every run fails: read as a factor of the size", f"{_SOURCE} [run]",
             "no unit, scale or offset on output axes", _output_axes),
        Rule("halo", "the run stops: the halo is larger than the tile", f"{_SOURCE}, TileMaker",
             "halo only on axes that follow an input's, and less than half the min", _halo),
        Rule("operations", "other pixels than elsewhere, or an exception", f"{_SOURCE}, its transformations [run]",
             "normalise inside the network", finders.operations(_operation), pixels=True),
        Rule("empty-kwargs", "an exception on reading the description", _SOURCE, "leave empty arguments out",
             _empty_kwargs),
        Rule("runnable-weights", "no weights that it could run", f"{_SOURCE}, ModelWeight", "add TorchScript",
             finders.needs(*_RUNS)),
        rules.torchscript.known_operators("1.13.1", "2.0.0"),
        Rule("torchscript-first", "Fiji ends at the first run: its ONNX wrapper 0.4.2 frees each output twice",
             f"{_SOURCE}, ModelWeight's HashMap [run, 4 of 4]",
             "add TorchScript, and state pytorch_version 2.5.1", _onnx_first),
        Rule("onnx-age", "the ONNX does not load", "ONNX Runtime Java 1.12.1 [run]",
             "export with opset_version=17 and dynamo=False", _onnx_age),
        Rule("no-wait", "waits at the second and third image of each new size, while libtorch compiles",
             "libtorch 1.13.1 and 2.0.0 with LLVM [run: 59 s for 360 groups]",
             "put an aten::alias after each operation while tracing", _wait, "warning"),
        Rule("sample-image", "nothing to try the model on: a macro opens its input with ImageJ", _SOURCE,
             "attach a sample .tif", rules.files.sample_images, "warning"),
    ),
    weights_choice=_choice,
    tilings=(ToolTiling("the whole image (two tiles where its size is no multiple of step), mirrored halo", one_tile),),
    script=Script("run_in_fiji.ijm", "run_in_fiji.ijm.j2"),
    program=Program("Fiji's folder", _PROGRAMS, _call),
)  # fmt: skip
