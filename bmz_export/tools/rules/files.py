"""Rules on the files that a description names."""

from __future__ import annotations

from collections.abc import Iterator

from bmz_export.inspection import Inspection
from bmz_export.tools.rule import Rule


def _missing(inspection: Inspection) -> Iterator[str]:
    for where, file in inspection.description.files():
        if not file.remote and inspection.package.file(file.source) is None:
            yield f"{where}: {file.source} is not in the package"


def _remote(inspection: Inspection) -> Iterator[str]:
    for where, file in inspection.description.files():
        if file.remote:
            yield f"{where}: {file.source} is an address, not a file of the package"


def _below(inspection: Inspection) -> Iterator[str]:
    for where, file in inspection.description.files():
        if not file.remote and "/" in file.source and inspection.package.file(file.source):
            yield f"{where}: {file.source} lies in a folder of the package"


def _wrong_hash(inspection: Inspection) -> Iterator[str]:
    for where, file in inspection.description.files():
        found = inspection.hash(file)
        if file.sha256 and found and found != file.sha256.lower():
            yield f"{where}: {file.source} has sha256 {found[:12]}..., the description says {file.sha256[:12]}..."


def _no_hash(inspection: Inspection) -> Iterator[str]:
    for name, entry in inspection.description.weights.items():
        if entry.file and not entry.file.sha256:
            yield f"weights.{name}: {entry.file.source} has no sha256, so nobody notices another file"


def _missing_weights(inspection: Inspection) -> Iterator[str]:
    found = (*_missing(inspection), *_remote(inspection))
    return (message for message in found if message.startswith("weights."))


WEIGHTS_PRESENT = Rule("weights-present", "the model does not load: a file is missing",
                       "the tool opens the weights from the package's folder", "put the file there",
                       _missing_weights)  # fmt: skip
PRESENT = Rule("files-present", "the model does not load: a file is missing",
               "every tool opens the files that the description names, from the package's folder",
               "put the file there, or take it out of the description", _missing)  # fmt: skip
INSIDE = Rule("files-inside", "works only while that address answers, and not without a network",
              "bioimageio.spec downloads what the description names by address", "put the file into the package",
              _remote, "warning")  # fmt: skip
BESIDE = Rule("files-beside",
              "a package that was opened and saved again has its files elsewhere, and what names them by path "
              "misses them",
              "bioimageio.spec 0.5.12, io_packaging: every file is saved beside rdf.yaml, under its bare name",
              "put the file beside rdf.yaml", _below, "warning")  # fmt: skip
HASHES = Rule("hashes", "the model is refused: the file is not the one that was described",
              "bioimageio.spec compares each sha256", "export the package again, or find out who changed the file",
              _wrong_hash)  # fmt: skip
HASHED = Rule("weights-hashed", "a changed weights file goes unnoticed",
              "bioimageio.spec compares a sha256 only where there is one", "write the sha256 of each weights file",
              _no_hash, "warning")  # fmt: skip
