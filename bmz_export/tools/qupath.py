"""QuPath 0.6 and 0.7: qupath-bioimageio-spec 0.2 and DJL, read from their sources; [run]: tried with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bmz_export.inspection import Inspection
from bmz_export.package.description import Axis, Operation, Tensor
from bmz_export.package.scripts import Script
from bmz_export.tools import finders, rules
from bmz_export.tools.rule import Rule
from bmz_export.tools.tiling import TILE, Tiling, blocks, clipped
from bmz_export.tools.tool import Program, Tool, ToolTiling, Trial, first_of

_SOURCE = "qupath-bioimageio-spec 0.2, QuPath 0.6 and 0.7"


def tile_size(axis: Axis) -> int:
    """Return the tile along an axis: as many times the least size (not the step) as 512 holds, and at least once."""
    least = axis.at(0)
    return least * max(TILE // least, 1)


def _formats(inspection: Inspection) -> Iterator[str]:
    if not (0, 5, 1) <= inspection.description.version <= (0, 5, 10):
        yield f"format {inspection.description.format_version or 'without a version'}, it reads 0.5.1 to 0.5.10"


def _orders(inspection: Inspection) -> Iterator[str]:
    for where, tensor in finders.images(inspection):
        if tensor.order != "bcyx":
            yield f"{where} has the axes {tensor.order or 'none'}, not bcyx"


def _tiles(inspection: Inspection) -> Iterator[str]:
    for axis in finders.input_space(inspection):
        tile, least = tile_size(axis), axis.at(0)
        if axis.step and (tile - least) % axis.step:
            yield f"axis {axis.id!r}: its tile of {tile} is not {least} + n * {axis.step}"
        elif not axis.step and tile != least:
            yield f"axis {axis.id!r}: the fixed size {least} becomes a tile of {tile}"


def _whole_tiles(inspection: Inspection) -> Iterator[str]:
    for axis in finders.input_space(inspection):
        if axis.step and (axis.at(0) > TILE or (TILE - axis.at(0)) % axis.step):
            yield f"axis {axis.id!r}: a tile of {TILE} is not {axis.at(0)} + n * {axis.step}"


def _offsets(inspection: Inspection) -> Iterator[str]:
    for where, axis, _ in finders.output_axes(inspection):
        size = axis.raw.get("size")
        if isinstance(size, dict) and axis.reference is not None and "offset" not in size:
            yield f"{where} does not write out offset: 0"


def _same_size(inspection: Inspection) -> Iterator[str]:
    for where, axis, source in finders.output_axes(inspection):
        if axis.type == "space" and (axis.offset or (source is not None and source.scale != axis.scale)):
            yield f"{where} is of another size than the input"


def _halo(inspection: Inspection) -> Iterator[str]:
    for axis in finders.input_space(inspection):
        halo = finders.declared_halo(inspection, axis.letter)
        if 2 * halo >= tile_size(axis):
            yield f"axis {axis.id!r}: twice the halo of {halo} is no less than its tile of {tile_size(axis)}"


def _operation(operation: Operation, tensor: Tensor) -> str | None:
    per_tile = finders.statistics_per_tile(operation, tensor)
    if per_tile:
        return per_tile
    if operation.id == "scale_linear":
        scalars = [name for name in ("gain", "offset") if not isinstance(operation.kwargs.get(name), list)]
        return f"needs a list for {scalars[0]}" if scalars else None
    if operation.id == "ensure_dtype" and operation.kwargs.get("dtype") == "float32":
        return None
    if operation.id == "clip" and not finders.clips_at_numbers(operation):
        return "needs a number for both min and max"
    known = operation.id in ("clip", "sigmoid", "binarize")
    return None if known else "is left out with no more than a line in the log"


def _resamples(inspection: Inspection) -> Iterator[str]:
    for axis in finders.input_space(inspection):
        if axis.unit in ("micrometer", "um", "µm"):
            yield f"axis {axis.id!r} has the unit {axis.unit} and scale {axis.scale:g}"


def _suffixes(inspection: Inspection) -> Iterator[str]:
    for name, entry in inspection.description.weights.items():
        source = (entry.source or "").lower()
        if name == "torchscript" and source and not source.endswith(".pt"):
            yield f"the TorchScript is called {entry.source}, not *.pt"
        if name == "pytorch_state_dict" and source.endswith(".pt"):
            yield f"the state dict is called {entry.source}, as a TorchScript would be"


def _script(inspection: Inspection) -> Iterator[str]:
    if not _scripts(inspection):
        yield "there is no Groovy script among the attachments"


def _scripts(inspection: Inspection) -> list[str]:
    return [file.source for file in inspection.description.attachments if file.source.lower().endswith(".groovy")]


window_tiles = blocks(tile_size, "edge", halo=False)
_through_qupath = blocks(lambda _: TILE, "edge")


def script_tiles(inspection: Inspection, shape: tuple[int, int]) -> Tiling | None:
    """Cut as the package's script does: ours reads its own tiles, others and our earlier ones leave it to QuPath."""
    for path in map(inspection.package.file, _scripts(inspection)):
        if path is not None:
            with path.open("rb") as stream:
                if b"extends AbstractTileableImageServer" in stream.read(2**20):
                    return clipped(inspection, shape)
    return _through_qupath(inspection, shape)


def _call(program: Path, trial: Trial) -> tuple[list[str], Path]:
    target = trial.folder / "qupath.ome.tif"
    paths = f"--image={trial.image}", f"--args={trial.description.parent}", f"--args={target}"
    return [str(program), "script", *paths, str(trial.script)], target


TOOL = Tool(
    name="qupath",
    title="QuPath",
    engines=("libtorch-2.5.1", "libtorch-2.7.1"),
    install="unzip the package anywhere and run the Groovy script that lies in it",
    rules=(
        *rules.PACKAGE,
        rules.archive.JAVA_ZIP,
        rules.description.PLAIN_STRINGS,
        rules.files.WEIGHTS_PRESENT,
        rules.description.ONE_IN_ONE_OUT,
        rules.description.FLOAT32,
        *rules.TORCHSCRIPT,
        rules.torchscript.ONE_TENSOR,
        rules.torchscript.known_operators("2.5.1", "2.7.1"),
        Rule("license-field", "its BioImage.IO window refuses the model; a script runs it all the same",
             f"{_SOURCE} [run: Required field license not found]",
             "choose one, for example `license` CC-BY-4.0 when exporting", rules.description.unlicensed, window=True),
        Rule("script", "its window makes pixel classifiers alone: an image cannot be turned into an image there",
             _SOURCE, "attach a Groovy script that denoises the open image", _script, "warning"),
        Rule("format", "the model is not recognised", _SOURCE, "write it as format 0.5.4", _formats),
        Rule("rdf-alone", "another description than rdf.yaml is read", f"{_SOURCE}, Model.findRdf",
             "keep rdf.yaml alone", rules.archive.problems("archive.second-description")),
        Rule("bcyx", "the image is laid out wrongly, or the model refused", f"{_SOURCE}, BioimageIoTools",
             "axes batch, channel, y, x in this order, in input and output", _orders),
        Rule("tile-fits", "the run fails: the network gets a tile that it does not take",
             f"{_SOURCE}, BioimageIoTools.updateLength", "min a multiple of step, and sizes left free", _tiles),
        Rule("tile-512", "tiles smaller or larger than the 512 that everything else is tuned for", _SOURCE,
             "a min that divides 512", _whole_tiles, "warning"),
        Rule("offset-written", "the description does not parse", f"{_SOURCE} [run]", "write offset: 0", _offsets),
        Rule("same-size", "the result is stretched or shifted", f"{_SOURCE}, OpenCVTools.applyTiled",
             "an output of the input's height and width", _same_size, pixels=True),
        Rule("halo", "never ends", f"{_SOURCE}, its tiling [run]", "a halo of less than half the tile", _halo),
        Rule("operations", "wrong pixels, silently, or seams between tiles",
             f"{_SOURCE}, BioimageIoTools.transformToOp",
             "normalise inside the network with constants", finders.operations(_operation), pixels=True),
        Rule("no-placeholder-pixel", "resamples the image to this pixel size first", _SOURCE,
             "write no unit, or the true pixel size", _resamples, "warning"),
        Rule("torchscript", "no weights that it could run: ONNX needs an extension, a state dict Python",
             f"{_SOURCE}, BioimageIoTools.buildDnnModel", "add TorchScript", finders.needs("torchscript")),
        Rule("suffixes", "the wrong file is handed to libtorch", "DJL looks for *.pt [run]",
             "TorchScript as .pt, state dict as .pth", _suffixes),
    ),
    weights_choice=first_of("torchscript"),
    tilings=(
        ToolTiling("its own window, 512 tiles without halo", window_tiles, overlaps=False, recommended=False),
        ToolTiling("the package's script, tiles of up to 512 that overlap by the halo", script_tiles),
    ),
    script=Script("run_in_qupath.groovy", "run_in_qupath.groovy.j2"),
    program=Program("QuPath's program itself", ("", "bin/QuPath"), _call),
)  # fmt: skip
