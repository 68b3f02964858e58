"""bioimageio's own validation and test of a package, and ilastik's way of packing it: never trusted alone.

The result is JSON in the bytes of the one array that ``predict`` returns.
"""

import io
from pathlib import Path
from typing import Any

from bmz_export.engines.runtimes import Predict, answer


def load(task: dict[str, Any]) -> Predict:
    """Validate the package, pack it as ilastik does, and test the formats in ``task["options"]["formats"]``."""
    from bioimageio.core import test_description
    from bioimageio.spec import (
        InvalidDescr,
        ValidationContext,
        load_description,
        save_bioimageio_package_to_stream,
    )

    rdf = Path(task["package"]) / task["options"]["description"]
    found: dict[str, Any] = {"status": "", "problems": [], "repackaged": None, "tests": {}}
    with ValidationContext(perform_io_checks=False):
        description = load_description(rdf)
    summary = description.validation_summary
    found["status"] = "invalid" if isinstance(description, InvalidDescr) else "valid"
    for detail in summary.details:
        for error in detail.errors:
            found["problems"].append(f"{'.'.join(map(str, error.loc))}: {' '.join(error.msg.split())}"[:300])
    if isinstance(description, InvalidDescr):
        return answer(found)
    try:
        if task["options"]["pack"]:
            save_bioimageio_package_to_stream(
                description, output_stream=io.BytesIO(), weights_priority_order=("torchscript", "pytorch_state_dict")
            )
    except Exception as error:  # noqa: BLE001 -- whatever a package does becomes a line
        found["repackaged"] = " ".join(str(error).split())[:300] or type(error).__name__
    for name in task["options"]["formats"]:
        result = test_description(description, weight_format=name, determinism="full")
        errors = [" ".join(error.msg.split())[:200] for detail in result.details for error in detail.errors]
        found["tests"][name] = {"status": str(result.status), "errors": errors}
    return answer(found)
