"""Which rules a certificate was made by, as one short text: an older certificate is told from one that holds today."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from bmz_export.checking import comparison, seams
from bmz_export.checking.faults import FAULTS
from bmz_export.checking.trials import trials
from bmz_export.package.description import Axis, Tensor
from bmz_export.tools import TOOLS


def rules_version() -> str:
    """Return a digest of what decides a certificate: rules, measurements, trials, tilings, limits, but no wording."""
    decisive = {
        "rules": {
            tool.name: [[rule.name, rule.severity, rule.pixels, rule.window] for rule in tool.rules]
            for tool in TOOLS.values()
        },
        "tilings": {
            tool.name: [[way.title, way.overlaps, way.recommended] for way in tool.tilings] for tool in TOOLS.values()
        },
        "measured": {rule: [effect, severity] for rule, (effect, severity, *_) in FAULTS.items()},
        "trials": [trial.name for trial in trials(_tensor(), np.zeros((1, 1, 96, 96), np.float32))],
        "limits": [comparison.LIMIT, comparison.CLOSE, comparison.REPEATABLE, seams.STATED_LIMIT, seams.WARN_LIMIT],
        "image": [seams.LARGE, seams.NEAR, seams.DARKEST],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _tensor() -> Tensor:
    space = (Axis(letter, "space", min=64, step=1) for letter in "yx")
    return Tensor("raw", (Axis("b", "batch"), Axis("c", "channel", size=1), *space), "float32", (), None, None, {})
