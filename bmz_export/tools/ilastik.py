"""ilastik 1.4.1 and 1.4.2 with tiktorch, read from their sources; [run]: with their code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bmz_export.inspection import Inspection
from bmz_export.tools import finders, rules
from bmz_export.tools.rule import Rule
from bmz_export.tools.tiling import TILE, blocks
from bmz_export.tools.tool import Program, Tool, ToolTiling, Trial, first_of

_IDS = ["batch", "channel", "x", "y"]
_SOURCE = "ilastik 1.4.2, tiktorch"


def _ids(inspection: Inspection) -> Iterator[str]:
    for tensor in inspection.description.inputs:
        found = [axis.id for axis in tensor.axes]
        if sorted(found) != _IDS:
            yield f"input {tensor.id!r} has the axes {', '.join(name or '?' for name in found)}"
    for output in inspection.description.outputs:
        if "channel" not in [axis.id for axis in output.axes]:
            yield f"output {output.id!r} has no axis with the id channel"
    orders = [[axis.id for axis in tensor.axes] for _, tensor in finders.images(inspection)]
    if len(orders) == 2 and orders[0] != orders[1]:
        yield "input and output have their axes in different order"


def _state_dict(inspection: Inspection) -> Iterator[str]:
    if _choice(inspection) != "pytorch_state_dict":
        return
    for rule in rules.STATE_DICT:
        yield from (finding.message for finding in rule.check(inspection) if finding.severity == "error")
    library = finders.imported_library(inspection)
    needed = [library] if library else inspection.architecture.foreign if inspection.architecture else []
    for name in needed:
        yield f"the state dict is loaded by {name}, which ilastik does not bring along"


def _halo(inspection: Inspection) -> Iterator[str]:
    for axis in finders.input_space(inspection):
        halo = finders.declared_halo(inspection, axis.letter)
        if axis.at(0) - 2 * halo < 1:
            yield f"axis {axis.id!r}: min {axis.at(0)} less twice the halo of {halo} leaves nothing"


_choice = first_of("torchscript", "pytorch_state_dict")


_PYTHONS = ("bin/python", "python.exe", "bin/python3", "Contents/ilastik-release/bin/python")
_RUN = """
import sys
import numpy as np
from bioimageio.core import Tensor, create_prediction_pipeline
from bioimageio.core.digest_spec import create_sample_for_model, get_member_ids
from bioimageio.spec import load_description

package, source, target, weights = sys.argv[1:]
model = load_description(package)
image = Tensor.from_numpy(np.load(source), dims=[axis.id for axis in model.inputs[0].axes])
sample = create_sample_for_model(model, inputs={get_member_ids(model.inputs)[0]: image})
with create_prediction_pipeline(model, weight_format=weights) as pipeline:
    found = pipeline.predict_sample_without_blocking(sample)
np.save(target, np.asarray(found.members[get_member_ids(model.outputs)[0]].data.data))
"""


def _call(program: Path, trial: Trial) -> tuple[list[str], Path]:
    script, target = trial.folder / "run.py", trial.folder / "ilastik.npy"
    script.write_text(_RUN, encoding="utf-8")
    command = [str(program), str(script), str(trial.description), str(trial.array), str(target), "torchscript"]
    return command, target


TOOL = Tool(
    name="ilastik",
    title="ilastik",
    engines=("tiktorch",),
    install="open the zip in the Neural Network Classification (Local) workflow",
    rules=(
        *rules.PACKAGE,
        *rules.SPECIFICATION,
        rules.description.ONE_IN_ONE_OUT,
        rules.description.FLOAT32,
        rules.description.HALO_OF_STEPS,
        *rules.TORCHSCRIPT,
        Rule("axis-ids", "the model is refused", f"{_SOURCE}, bioimageio_utils",
             "axis ids batch, channel, y, x, in the same order in the output", _ids),
        Rule("weights", "no weights that it could run", f"{_SOURCE}: the first of torchscript, pytorch_state_dict",
             "add TorchScript", finders.needs("torchscript", "pytorch_state_dict")),
        Rule("state-dict-runs-here", "the model does not load", f"{_SOURCE}: torch and numpy in its own environment",
             "add TorchScript", _state_dict),
        Rule("halo", "a block fails and what was in memory is shown", f"{_SOURCE} [run]",
             "a min of more than twice the halo", _halo),
        Rule("operations", "seams between blocks", f"{_SOURCE}: bioimageio.core's operations, block by block",
             "normalise inside the network with constants", finders.operations(finders.statistics_per_tile),
             pixels=True),
    ),
    weights_choice=_choice,
    tilings=(ToolTiling("its blocks, 512 tiles less twice the halo, reflected, cut blocks centred",
                        blocks(lambda axis: axis.at_least(TILE), "reflect")),),
    library=("read", "pack"),
    program=Program("ilastik's folder", _PYTHONS, _call),
)  # fmt: skip
