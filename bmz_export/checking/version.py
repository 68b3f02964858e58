"""Which rules a certificate was made by, as one short text: an older certificate is told from one that holds today."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import yaml

from bmz_export.checking import comparison, seams
from bmz_export.checking import trials as images
from bmz_export.checking.faults import FAULTS
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.package.builder import write_script
from bmz_export.package.fiji_memory import Memory
from bmz_export.tools import TOOLS

_HALO, _LEAST, _STEP = 16, 64, 8


def rules_version() -> str:
    """Return a digest of what decides a certificate: rules, measurements, trials, tiles, limits, but no wording."""
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-") as folder:
        _write_package(Path(folder))
        with open_package(folder) as package:
            return _digest(Inspection(package))


def _digest(inspection: Inspection) -> str:
    tensor = inspection.description.inputs[0]
    test = np.arange(96 * 96, dtype=np.float32).reshape(1, 1, 96, 96)
    tried = images.trials(tensor, test)
    decisive = {
        "rules": {
            tool.name: [[rule.name, rule.severity, rule.pixels, rule.window] for rule in tool.rules]
            for tool in TOOLS.values()
        },
        "tiles": {
            tool.name: [
                [way.title, way.overlaps, way.recommended, _sha256(repr(way.cut(inspection, seams.LARGE)).encode())]
                for way in tool.tilings
            ]
            for tool in TOOLS.values()
        },
        "measured": {rule: [effect, severity] for rule, (effect, severity, *_) in FAULTS.items()},
        "trials": [[trial.name, trial.rule, trial.like, _sha256(trial.image.tobytes())] for trial in tried],
        "limits": [comparison.LIMIT, comparison.CLOSE, comparison.REPEATABLE, images.NOISE, seams.STATED_LIMIT,
                   seams.WARN_LIMIT],
        "image": [seams.NEAR, _sha256(seams.enlarged(inspection.description, test, seams.LARGE,
                                                     darkest=seams.DARKEST).tobytes())],
    }  # fmt: skip
    return _sha256(json.dumps(decisive, sort_keys=True).encode())[:16]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _description() -> str:
    def tensor(name: str, size: dict[str, object], **more: object) -> dict[str, object]:
        space = [{"type": "space", "id": letter, "size": {**size, "axis_id": letter} if more else size, **more}
                 for letter in "yx"]  # fmt: skip
        return {"id": name, "axes": [{"type": "batch"}, {"type": "channel", "channel_names": [name]}, *space],
                "data": {"type": "float32"}}  # fmt: skip

    return yaml.safe_dump({
        "format_version": "0.5.4",
        "type": "model",
        "inputs": [tensor("raw", {"min": _LEAST, "step": _STEP})],
        "outputs": [tensor("denoised", {"tensor_id": "raw", "offset": 0}, halo=_HALO)],
        "attachments": [{"source": tool.script.name} for tool in TOOLS.values() if tool.script],
    })  # fmt: skip


def _write_package(folder: Path) -> None:
    """Write a description and the tools' scripts, by which they cut images."""
    (folder / "rdf.yaml").write_text(_description(), encoding="utf-8")
    for tool in TOOLS.values():
        if tool.script:
            facts = {"halo": _HALO, "minimum": _LEAST, "stride": _STEP}
            write_script(folder, tool.script, title="", memory=Memory(0, 1), weights="", **facts)
