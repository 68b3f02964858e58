"""All that running a package can find wrong with it: what a tool's user sees of it, and the way out."""

from __future__ import annotations

from typing import Literal

from bmz_export.checking.certificate import Fault, Severity
from bmz_export.tools import TOOLS, distinct_rules

MEASURED = "run here"
"""The source of a fault that no rule found: the package was run."""
MORE_TIME = "it needs more time"

Effect = Literal["refused", "other pixels", "window", "doubt"]
"""What a fault keeps a tool from: opening the package, showing the right pixels, nothing for certain."""

_EXPORT = "export the package again with bmz-fmd export, or with torch.jit.trace and torch.onnx.export(dynamo=False)"
_AGAIN = "export the package again from one network"
_MEMORY = "if it is a matter of memory: a larger machine"
_EVAL = "call .eval() before exporting"
_SIZES = "export with free height and width, or describe the sizes that the network takes (min and step)"
_STATE = "keep nothing in forward: write to no buffer and no attribute, and export again"
_WAIT = "put an aten::alias after each operation while tracing"
_CAUSE = f"see the other lines for the cause; {_MEMORY}"
_HALO = "declare a larger halo, or take larger tiles, which have fewer seams"
FAULTS: dict[str, tuple[Effect, Severity, str, str]] = {
    "size": ("refused", "error", "memory runs out", "describe smaller sizes, steps and halo"),
    "runs": ("refused", "error", "the run fails", _EXPORT),
    "sound-output": ("other pixels", "error", "no image, or a blank one", _EXPORT),
    "sizes": ("other pixels", "error", "no image, or a wrong one, for images of some sizes", _SIZES),
    "larger-image": ("other pixels", "error", "no image, or a wrong or cropped one, for images larger than the example",
                     _SIZES),
    "intensities": ("other pixels", "error",
                    "a blank or wrong image where intensities are unlike the example's (dark, saturated, faint, "
                    "negative), for an empty frame, and in QuPath and ilastik for an empty tile",
                    "let forward take every finite image: divide by nothing that may be 0, compute in float32, round "
                    "and cut off no intensities"),
    "one-at-a-time": ("refused", "error",
                      "the model is marked as failing, since it is tested with two images at once; tools that send one "
                      "image at a time do not mind",
                      "export with a free batch axis (an example of two images), or describe a batch of `size: 1`"),
    "repeatable": ("other pixels", "error", "another picture at each run", _EVAL),
    "carries-over": ("other pixels", "error", "a picture that depends on which images were opened before", _STATE),
    "no-wait": ("refused", "warning", "waits at each new image size", _WAIT),
    "test-output": ("doubt", "error", "every format agrees with the others: it is the test output that is wrong",
                    "make the test tensors again with the network itself"),
    "agrees-with-test": ("other pixels", "error", "other pixels than the author's", _EXPORT),
    "close-to-test": ("other pixels", "warning", "pixels that differ slightly from the author's", _EXPORT),
    "engines-agree": ("other pixels", "error", "other pixels than in the other tools", _EXPORT),
    "engines-close": ("other pixels", "warning", "pixels that differ slightly from other tools", _EXPORT),
    "batch": ("other pixels", "error", "another picture when several images are processed at once",
              "let forward treat each image by itself: no statistics over the batch; call .eval() before exporting"),
    "tiles": ("other pixels", "error", "a part of the image is missing", "export with free sizes"),
    "seam": ("other pixels", "error", "lines where tiles meet", _HALO),
    "certificate": ("doubt", "warning", "figures of another model", "certify it again with bmz-fmd export"),
    "loads": ("refused", "error", "the model does not load", _AGAIN),
    "finite-weights": ("other pixels", "error", "a blank image: no value of it is a number", _AGAIN),
    "same-weights": ("other pixels", "error", "other pixels in the tools that run this format", _AGAIN),
    "state-dict-keys": ("refused", "error", "the state dict does not load: its keys are not the network's", _AGAIN),
    "weights-type": ("other pixels", "warning", "pixels that differ slightly between tools", _AGAIN),
    "tensors": ("doubt", "error", "nothing: it is not known whether all tools run the same weights", _MEMORY),
    "valid-description": ("refused", "error", "the model is refused", "correct rdf.yaml"),
    "repackages": ("refused", "error", "the model is refused", "let torchscript or the state dict stand alone"),
    "library-test": ("doubt", "error", "the model is marked as failing", _CAUSE),
    "your-tool": ("other pixels", "error", "no image, or another one than the author's",
                  "run the script by hand and read its log"),
}  # fmt: skip
"""By rule: the effect, the severity unless another is given, what is seen, the way out."""


def run_fault(rule: str, message: str, tools: tuple[str, ...] | None = None, severity: Severity | None = None) -> Fault:
    """Return a fault by one of the rules above, for all tools and of the usual severity where none are given."""
    _, usual, seen, way_out = FAULTS[rule]
    tools = tools or tuple(tool.title for tool in TOOLS.values())
    return Fault(severity=severity or usual, tools=tools, rule=rule, message=message, seen=seen, way_out=way_out,
                 source=MEASURED)  # fmt: skip


def effect(fault: Fault) -> Effect:
    """Return what a fault keeps a tool from."""
    if fault.source == MEASURED:
        return FAULTS[fault.rule][0]
    rules = [rule for rule in distinct_rules() if rule.name == fault.rule]
    if any(rule.pixels for rule in rules):
        return "other pixels"
    return "window" if any(rule.window for rule in rules) else "refused"
