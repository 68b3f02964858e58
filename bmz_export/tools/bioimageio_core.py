"""bioimageio.core 0.11 with bioimageio.spec 0.5.12, read from their sources and run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmz_export.inspection import Inspection
from bmz_export.tools import rules
from bmz_export.tools.rule import Rule
from bmz_export.tools.specification import NEWEST
from bmz_export.tools.tool import Tool, first_of

FORMATS = ("pytorch_state_dict", "torchscript", "onnx", "keras_hdf5", "keras_v3", "tensorflow_saved_model_bundle")
_SOURCE = "bioimageio.core 0.11, bioimageio.spec 0.5.12"


def _formats(inspection: Inspection) -> Iterator[str]:
    version = inspection.description.version
    if version > NEWEST:
        yield f"format {inspection.description.format_version} is newer than {'.'.join(map(str, NEWEST))}"


def _tolerance(inspection: Inspection) -> Iterator[str]:
    config = (inspection.description.config or {}).get("bioimageio")
    entries = config.get("reproducibility_tolerance") if isinstance(config, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        value = entry.get("absolute_tolerance") if isinstance(entry, dict) else None
        if not value or not isinstance(value, int | float):
            continue
        only = entry.get("output_ids")
        for output in inspection.description.outputs:
            test = inspection.test(output) if not isinstance(only, list) or not only or output.id in only else None
            if test is None or test.array is None or test.array.dtype.kind not in "fiub":
                continue
            top = float(np.max(test.array))
            if value > 0.01 * top:
                yield f"absolute_tolerance {value:g} is more than 1 % of the maximum {top:g} of {output.id!r}'s test"


TOOL = Tool(
    name="bioimageio.core",
    title="bioimageio.core",
    engines=("bioimageio.core", "onnxruntime"),
    install="bioimageio.spec.load_description(ZIP)",
    rules=(
        *rules.PACKAGE,
        *rules.SPECIFICATION,
        *rules.STATE_DICT,
        rules.torchscript.READABLE,
        rules.torchscript.DETERMINISTIC,
        rules.torchscript.INPUTS,
        *rules.ONNX,
        rules.onnx.BATCH,
        Rule("format", "read by guessing, with a warning", _SOURCE, "write a format_version that it knows", _formats,
             "warning"),
        Rule("tolerance", "the description is refused", _SOURCE, "a smaller absolute_tolerance", _tolerance),
        rules.description.GITHUB_USER,
    ),
    weights_choice=first_of(*FORMATS),
    library=("read", "test"),
)  # fmt: skip
