"""All that running a package can find wrong with it: what a tool's user sees of it, and the way out."""

from __future__ import annotations

from bmz_export.checking.certificate import Fault, Severity
from bmz_export.tools import TOOLS

MEASURED = "run here"
"""The source of a fault that no rule found: the package was run."""
MORE_TIME = "give more: `timeout` SECONDS"

_EXPORT = "export the package again with bmz-fmd export, or with torch.jit.trace and torch.onnx.export(dynamo=False)"
_AGAIN = "export the package again from one network"
_MEMORY = "if it is a matter of memory: a larger machine"
_FAULTS: dict[str, tuple[str, str, Severity]] = {
    "size": ("memory runs out", "describe smaller sizes, steps and halo", "error"),
    "runs": ("the run fails", _EXPORT, "error"),
    "sound-output": ("no image, or a blank one", _EXPORT, "error"),
    "repeatable": ("another picture at each run", "call .eval() before exporting", "error"),
    "no-wait": ("waits at each new image size", "put an aten::alias after each operation while tracing", "warning"),
    "test-output": (
        "every format agrees with the others: it is the test output that is wrong",
        "make the test tensors again with the network itself",
        "error",
    ),
    "agrees-with-test": ("other pixels than the author's", _EXPORT, "error"),
    "close-to-test": ("pixels that differ slightly from the author's", _EXPORT, "warning"),
    "engines-agree": ("other pixels than in the other tools", _EXPORT, "error"),
    "engines-close": ("pixels that differ slightly from other tools", _EXPORT, "warning"),
    "batch": ("another picture when several images are processed at once", _EXPORT, "error"),
    "tiles": ("a part of the image is missing", "export with free sizes", "error"),
    "seam": ("lines where tiles meet", "declare a larger halo, or take larger tiles, which have fewer seams", "error"),
    "certificate": ("figures of another model", "certify it again with bmz-fmd export", "warning"),
    "loads": ("the model does not load", _AGAIN, "error"),
    "finite-weights": ("a blank image: no value of it is a number", _AGAIN, "error"),
    "same-weights": ("other pixels in the tools that run this format", _AGAIN, "error"),
    "state-dict-keys": ("the state dict does not load: its keys are not the network's", _AGAIN, "error"),
    "weights-type": ("pixels that differ slightly between tools", _AGAIN, "warning"),
    "tensors": ("nothing: it is not known whether all tools run the same weights", _MEMORY, "error"),
    "valid-description": ("the model is refused", "correct rdf.yaml", "error"),
    "repackages": ("the model is refused", "let torchscript or the state dict stand alone", "error"),
    "library-test": ("the model is marked as failing", f"see the other lines for the cause; {_MEMORY}", "error"),
    "your-tool": ("no image, or another one than the author's", "run the script by hand and read its log", "error"),
}
"""By rule: what is seen, the way out, and the severity unless another is given."""


def run_fault(rule: str, message: str, tools: tuple[str, ...] | None = None, severity: Severity | None = None) -> Fault:
    """Return a fault that was found by running the package.

    Parameters
    ----------
    rule : str
        One of those above.
    message : str
        What is wrong here.
    tools : tuple of str, optional
        Titles of the tools that it concerns; all of them by default.
    severity : str, optional
        Another than the usual one.
    """
    seen, way_out, usual = _FAULTS[rule]
    tools = tools or tuple(tool.title for tool in TOOLS.values())
    return Fault(severity=severity or usual, tools=tools, rule=rule, message=message, seen=seen, way_out=way_out,
                 source=MEASURED)  # fmt: skip
