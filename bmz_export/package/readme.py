"""The README of a package: what it is for, what was measured, where it ends, and how to run it in each tool."""

from importlib.metadata import version

from bmz_export.package.fiji_memory import MACRO_GIGABYTES, SIZES
from bmz_export.package.rdf import FILES
from bmz_export.package.templates import fill
from bmz_export.package.tensors import SAMPLE
from training.runs.provenance import Provenance


def compose(provenance: Provenance | None, **values: object) -> str:
    """Return the README as Markdown.

    Parameters
    ----------
    provenance : Provenance or None
        How the model was made.
    **values
        What ``builder.build`` knows: the description's fields, ``network``, ``calibration``, ``local``, ``tiling``,
        ``scripts``, ``memory``, ``edges``, ``licence``, ``example_name``, ``differences`` and further ``sections``.
    """
    return fill(
        "README.md.j2",
        provenance=provenance,
        verdict=provenance.judgement() if provenance is not None and provenance.beats_noisy() is False else None,
        **values,
        files=FILES | {"sample": SAMPLE},
        memory_sizes=SIZES,
        macro_gigabytes=MACRO_GIGABYTES,
        versions={name: version(name) for name in ("bmz-fmd", "torch", "onnx")},
        counts={} if provenance is None else {name: len(pairs) for name, pairs in provenance.data.splits.items()},
    )
