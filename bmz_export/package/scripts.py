"""The macro for Fiji and the script for QuPath: filled from templates, ready to run, shipped inside the package."""

from pathlib import Path

from bmz_export.package.rdf import LARGEST_TILE, Tiling
from bmz_export.package.templates import fill
from bmz_export.package.weights import TORCHSCRIPT

FIJI, QUPATH = "run_in_fiji.ijm", "run_in_qupath.groovy"


def write_scripts(folder: Path, *, title: str, tiling: Tiling, sample: str) -> tuple[str, ...]:
    """Write both scripts and return their names.

    Parameters
    ----------
    folder : Path
        The package.
    title : str
        The package's name, for the comments.
    tiling : Tiling
        QuPath reads no halo from the description, so its script holds it.
    sample : str
        The image that the macro opens where none is named.
    """
    values = {
        "title": title,
        "halo": tiling.halo,
        "tile": LARGEST_TILE,
        "torchscript": TORCHSCRIPT,
        "sample": sample,
        "fiji": FIJI,
        "qupath": QUPATH,
    }
    for name, template in ((FIJI, "run_in_fiji.ijm.j2"), (QUPATH, "run_in_qupath.groovy.j2")):
        (folder / name).write_text(fill(template, **values), encoding="utf-8")
    return FIJI, QUPATH
