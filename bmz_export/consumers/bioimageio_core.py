"""bioimageio.core 0.11 with bioimageio.spec 0.5.12, read from their sources and run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bmz_export.consumers import rules
from bmz_export.consumers.rule import Rule, images, operations
from bmz_export.consumers.tiling import Tiling
from bmz_export.evidence import Evidence
from bmz_export.package.description import Operation, Tensor

NEWEST = (0, 5, 12)
FORMATS = ("pytorch_state_dict", "torchscript", "onnx", "keras_hdf5", "keras_v3", "tensorflow_saved_model_bundle")
_OPERATIONS = frozenset(
    {
        "binarize", "clip", "ensure_dtype", "fixed_zero_mean_unit_variance", "scale_linear", "scale_mean_variance",
        "scale_range", "sigmoid", "softmax", "zero_mean_unit_variance", "stardist_postprocessing",
        "cellpose_flow_dynamics", "custom",
    }
)  # fmt: skip
_SOURCE = "bioimageio.core 0.11, bioimageio.spec 0.5.12"


def _formats(evidence: Evidence) -> Iterator[str]:
    version = evidence.description.version
    if version > NEWEST:
        yield f"format {evidence.description.format_version} is newer than {'.'.join(map(str, NEWEST))}"


def _operation(operation: Operation, tensor: Tensor) -> str | None:
    del tensor
    return None if operation.id in _OPERATIONS else "is not known"


def _ids(evidence: Evidence) -> Iterator[str]:
    names = [tensor.id for _, tensor in images(evidence)]
    for name in names:
        if names.count(name) > 1 or not name:
            yield f"the tensor id {name!r} is there {names.count(name)} times" if name else "a tensor has no id"
    for where, tensor in images(evidence):
        axes = [axis.id for axis in tensor.axes]
        if len(set(axes)) < len(axes) or "" in axes:
            yield f"{where}: its axes have the ids {', '.join(axis or '(none)' for axis in axes)}"


def _sizes(evidence: Evidence) -> Iterator[str]:
    for tensor in evidence.description.inputs:
        for axis in tensor.axes:
            free = axis.type in ("space", "time") and axis.size is None and axis.reference is None
            if free and not (axis.min and axis.step):
                yield f"input {tensor.id!r}: axis {axis.id!r} has no size of at least 1"
    for output in evidence.description.outputs:
        for axis in output.axes:
            if axis.halo and axis.size is not None:
                yield f"output {output.id!r}: axis {axis.id!r} has a halo and a fixed size"


def _tolerance(evidence: Evidence) -> Iterator[str]:
    config = (evidence.description.config or {}).get("bioimageio")
    entries = config.get("reproducibility_tolerance") if isinstance(config, dict) else None
    tests = [evidence.test(output) for output in evidence.description.outputs]
    top = max((float(np.max(test.array)) for test in tests if test and test.array is not None), default=0.0)
    for entry in entries if isinstance(entries, list) else ():
        value = entry.get("absolute_tolerance") if isinstance(entry, dict) else None
        if isinstance(value, int | float) and value > 0.01 * top:
            yield f"absolute_tolerance {value:g} is more than 1 % of the test output's maximum {top:g}"


def _github(evidence: Evidence) -> Iterator[str]:
    for field in ("authors", "maintainers"):
        people = evidence.description.raw.get(field)
        for person in people if isinstance(people, list) else ():
            if isinstance(person, dict) and person.get("github_user"):
                yield f"{field} names the GitHub user {person['github_user']}, which is looked up online"


@dataclass(frozen=True)
class BioimageioCore:
    """The Python library as a consumer."""

    name: str = "bioimageio.core"
    title: str = "bioimageio.core"
    engines: tuple[str, ...] = ("bioimageio.core", "onnxruntime")
    install: str = "bioimageio.spec.load_description(ZIP)"
    rules: tuple[Rule, ...] = (
        *rules.PACKAGE_RULES,
        *rules.SPEC_RULES,
        *rules.STATE_DICT_RULES,
        rules.TORCHSCRIPT_READABLE,
        rules.DETERMINISTIC_TORCHSCRIPT,
        *rules.ONNX_RULES,
        Rule("format", "read by guessing, with a warning", _SOURCE, "write a format_version that it knows", _formats,
             "warning"),
        Rule("ids", "the description is refused", _SOURCE, "an id for each tensor and axis, each once", _ids),
        Rule("sizes", "the description is refused", _SOURCE, "min and step of at least 1; halo only with free sizes",
             _sizes),
        Rule("operations", "the description is refused", _SOURCE, "operations of the specification",
             operations(_operation)),
        Rule("tolerance", "the description is refused", _SOURCE, "a smaller absolute_tolerance", _tolerance),
        Rule("github-user", "fails offline, or where the name is unknown", _SOURCE, "leave github_user out", _github,
             "warning"),
    )  # fmt: skip

    def weights_choice(self, evidence: Evidence) -> str | None:
        """Return the first format of its own order that the package holds."""
        return next((name for name in FORMATS if name in evidence.description.weights), None)

    def tiling(self, evidence: Evidence, shape: tuple[int, int]) -> Tiling | None:
        """Return None: it runs the image whole unless asked for blocks."""
        del evidence, shape
        return None


BIOIMAGEIO_CORE = BioimageioCore()
