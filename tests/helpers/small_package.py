"""A sound package around a small network, as export builds it, and ways to spoil it by hand."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import yaml

NETWORK = {"depth": 3, "width": 4}


def small_package(folder):
    """Build a package of a three-layer DnCNN with random weights (radius 3) and return its folder."""
    import torch

    from bmz_export.package.about import About
    from bmz_export.package.builder import build
    from bmz_export.tools import scripts
    from training.calibration.layer import Calibrated, Constants
    from training.networks import create

    torch.manual_seed(0)
    model = Calibrated(create("dncnn", **NETWORK), Constants(margin=3, offset=100.0, scale=50.0))
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    y, x = np.mgrid[:80, :96]
    image = 120 + 40 * np.sin(x / 9) + 30 * np.cos(y / 7) + np.random.default_rng(0).normal(0, 8, (80, 96))
    about = About(
        title="A small denoiser",
        authors=({"name": "Ada Lovelace"},),
        cite=({"text": "Notes", "url": "https://example.org/notes"},),
        license="CC-BY-4.0",
    )
    example = image.astype(np.float32)
    build(folder, model.eval(), network="dncnn", settings=NETWORK, example=example, about=about, scripts=scripts())
    return folder


def copy(folder, target):
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(folder, target))


def describe(folder, change):
    """Apply ``change`` to the description as a dict and write it back."""
    path = folder / "rdf.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder


def rehash(folder):
    """Make the description's hashes true again after a file was changed."""

    def visit(value):
        if isinstance(value, dict):
            source = folder / str(value.get("source"))
            if "sha256" in value and source.is_file():
                value["sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    return describe(folder, visit)
