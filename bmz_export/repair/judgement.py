"""Whether a package is mended at all: of a hostile author's package nothing is run, whatever else is in it."""

from __future__ import annotations

from bmz_export.inspection import Inspection
from bmz_export.inspection.safety import hostile
from bmz_export.package.description import Tensor
from training.errors import PackageError


def refuse_hostile(inspection: Inspection, *, trust: bool) -> None:
    """Raise a ``PackageError`` where a file of the package would run code or reach other files when it is loaded.

    Weights that merely cannot be read, or a TorchScript archive in a state dict's place, are left out instead.
    """
    package, description = inspection.package, inspection.description
    archive, onnx, pickle = inspection.torchscript_archive, inspection.onnx, inspection.state_dict
    if archive and archive.reaches:
        reason = hostile(inspection, "torchscript")
    elif onnx and any(package.file(each) is None for each in onnx.external):
        reason = f"the ONNX names {onnx.external[0]} as weights, which is no file of the package"
    elif calls := sorted(each for each in (pickle.calls if pickle else ()) if not each.startswith("__torch__.")):
        reason = f"the state dict would call {calls[0].replace(' ', '.')} when it is loaded"
    else:
        tests = (inspection.test(tensor) for tensor in (*description.inputs, *description.outputs))
        reason = next((test.error for test in tests if test and test.error and "pickled" in test.error), None)
    if reason is None and not trust and inspection.architecture and inspection.architecture.acts:
        line, text = inspection.architecture.acts[0]
        reason = (
            f"line {line} of its architecture file would run at import ({text}); if you trust whoever made it, "
            "add `trust`"
        )
    if reason:
        raise PackageError(f"{package.path}: not mended, and nothing of it was run: {reason}")


def planes(inspection: Inspection) -> tuple[Tensor, Tensor]:
    """Return the one input and the one output of a model of planes of one size, or raise a ``PackageError``."""
    path, description = inspection.package.path, inspection.description
    if len(description.inputs) != 1 or len(description.outputs) != 1:
        count = f"{len(description.inputs)} inputs and {len(description.outputs)} outputs"
        raise PackageError(f"{path}: {count}: only a model of one input and one output can be mended for all tools")
    for tensor in (description.inputs[0], description.outputs[0]):
        if not {"x", "y"} <= set(tensor.order) <= set("bcyx") or len(set(tensor.order)) < len(tensor.order):
            raise PackageError(
                f"{path}: {tensor.id} has the axes {tensor.order or 'none'}: QuPath and ilastik take planes alone"
            )
    takes, gives = description.inputs[0], description.outputs[0]
    for axis in gives.space:
        followed = description.followed(axis)
        if axis.offset or (followed is not None and axis.scale != followed.scale):
            raise PackageError(f"{path}: the result has another size than the image, which no tool's tiles fit")
    return takes, gives
