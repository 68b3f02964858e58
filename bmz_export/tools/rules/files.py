"""Rules on the files that a description names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bmz_export.inspection import Inspection
from bmz_export.package.description import Tensor
from bmz_export.tools.rule import Found, Rule


def _missing(inspection: Inspection) -> Iterator[Found]:
    for where, file in inspection.description.files():
        if not file.remote and inspection.package.file(file.source) is None:
            seen = "" if where.startswith("weights.") else "the description is refused: a file that it names is missing"
            yield Found(f"{where}: {file.source} {_lack(inspection.package.folder, file.source)}", seen)


def _lack(folder: Path, source: str) -> str:
    parts = PurePosixPath(source)
    if parts.is_absolute() or ".." in parts.parts or "\\" in source:
        return "lies outside the package"
    return "is a folder, not a file" if "\0" not in source and (folder / parts).is_dir() else "is not in the package"


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


def _missing_weights(inspection: Inspection) -> Iterator[Found]:
    found = (*_missing(inspection), *map(Found, _remote(inspection)))
    entries = {f"weights.{name}" for name in inspection.description.weights}
    return (each for each in found if each.message.partition(": ")[0] in entries)


def sample_images(inspection: Inspection) -> Iterator[str | Found]:
    """Yield what is wrong with the images that a user would try the model on."""
    description = inspection.description
    files = [*description.attachments, *(tensor.sample for tensor in description.inputs if tensor.sample)]
    named = dict.fromkeys(file.source for file in files if file.source.lower().endswith((".tif", ".tiff")))
    if not named:
        yield "there is no sample image as TIFF"
    for source in named:
        path = inspection.package.file(source)
        wrong = _unlike(path, description.inputs[:1]) if path else None
        if wrong:
            yield Found(f"{source} {wrong}", way_out="attach an image of the kind that the model takes")


def _unlike(path: Path, tensors: Sequence[Tensor]) -> str | None:
    """Say why a TIFF is none that the input takes, plane by plane; None where it is."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            sizes = dict(zip(file.series[0].axes.lower().replace("s", "c"), file.series[0].shape, strict=True))
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return f"cannot be opened as a TIFF ({' '.join(str(error).split())[:80]})"
    for axis in (axis for tensor in tensors for axis in tensor.axes):
        if axis.type != "batch" and axis.size is not None and sizes.get(axis.letter, 1) not in (1, axis.size):
            return f"has {sizes[axis.letter]} along {axis.letter}, the input {axis.size}"
    return None if {"y", "x"} <= sizes.keys() else f"has the axes {''.join(sizes)}, not y and x"


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
