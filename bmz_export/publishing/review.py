"""What must be right before a package is uploaded, and what the zoo's reviewers will ask for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bmz_export.checking.certificate import NAME, Certificate
from bmz_export.checking.check import CheckOptions, check
from bmz_export.package.archive import Package
from bmz_export.package.tensors import SAMPLE
from bmz_export.tools import TOOLS
from training.errors import UserError

REQUIRED = ("people", "cover", "licensed", "given-by-the-site")
"""Rules of the site whose warnings stop an upload."""
_UNFILLED = "to be filled in"


@dataclass(frozen=True)
class Review:
    """A package as the zoo will see it.

    Attributes
    ----------
    refused : tuple of str
        What must be put right first; nothing is uploaded while there is any.
    asked : tuple of str
        What reviewers will ask for, or their users miss.
    completeness : float
        The zoo's score of the description: the part of all fields that are set, 0 to 1.
    """

    refused: tuple[str, ...]
    asked: tuple[str, ...]
    completeness: float


def review(package: Package, certificate: Path | None = None) -> Review:
    """Judge an opened package by its certificate, by today's rules of all tools, and by what the zoo asks for.

    Parameters
    ----------
    package : Package
        Nothing of it is run.
    certificate : Path, optional
        What ``check`` wrote of it; by default the one inside.
    """
    today = check(package.folder, CheckOptions(rules_only=True))
    site = next(tool.title for tool in TOOLS.values() if tool.name == "bioimage.io")
    of_site = [fault for fault in today.warnings if site in fault.tools]
    completeness, invalid = _library_says(package)
    refused = [
        *_certificate(package, certificate, today),
        *(f"{fault.message}; {fault.way_out}" for fault in today.errors),
        *(f"{fault.message}; {fault.way_out}" for fault in of_site if fault.rule in REQUIRED),
        *invalid,
        *([] if list(_documentation(package)) else ["there is no README; nobody would know what the model is for"]),
        *_unfilled(package),
        *_empty(package),
    ]
    asked = [f"{fault.message}; {fault.way_out}" for fault in of_site if fault.rule not in REQUIRED]
    raw = package.description.raw
    people = [*(raw.get("maintainers") or ()), *(raw.get("authors") or ())]
    if not any(isinstance(each, dict) and each.get("github_user") for each in people):
        asked.append("no maintainer or author has a github_user, by which reviewers reach you")
    return Review(tuple(dict.fromkeys(refused)), tuple(dict.fromkeys(asked)), completeness)


def _certificate(package: Package, given: Path | None, today: Certificate) -> Iterator[str]:
    path = given or package.file(NAME)
    found = Certificate.read(path) if path else None
    again = "run bmz-fmd check on it with `json` FILE, and give that with `certificate` FILE"
    if found is None:
        yield f"{given}: no certificate; {again}" if given else f"there is no certificate in it; {again}"
        return
    other = [name for name, digest in today.hashes.items() if found.hashes.get(name) != digest]
    if other:
        yield f"its certificate is of other files: {other[0]} is not the one that was checked; {again}"
    elif found.description_sha256 != today.description_sha256:
        yield f"its certificate is of another description: axes, operations or arguments changed since; {again}"
    elif found.exit_code:
        faults = [fault.message for fault in found.errors] or ["an engine showed other pixels"]
        yield f"its check failed: {faults[0]}"
    elif not any(row.is_engine and row.verdict == "passed" for row in found.rows):
        yield f"no engine ran when it was checked; {again}"


def _library_says(package: Package) -> tuple[float, list[str]]:
    """Return the completeness by bioimageio.spec, and why the description is invalid."""
    from bioimageio.spec import InvalidDescr, load_description

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library leaves the files that it read to the collector
        found = load_description(package.description.path, perform_io_checks=False)
    if isinstance(found, InvalidDescr):
        errors = [error for detail in found.validation_summary.details for error in detail.errors]
        return 0.0, [f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}" if errors else "its rdf.yaml is invalid"]
    return found.validation_summary.metadata_completeness, []


def _unfilled(package: Package) -> Iterator[str]:
    for path in {package.description.path, *_documentation(package)}:
        for line in path.read_text("utf-8", "replace").splitlines():
            if _UNFILLED in line.lower():
                yield f"{path.name} says {line.strip(' -#{}')!r}: export it again with `author` and `cite`"
                break


def _documentation(package: Package) -> Iterator[Path]:
    file = package.description.documentation
    path = package.file(file.source) if file else None
    if path is not None:
        yield path


def _empty(package: Package) -> Iterator[str]:
    """Name the example images that show nothing: people look at them first."""
    import numpy as np

    from training.images import open_image

    tensors = [file for tensor in package.description.inputs for file in (tensor.test, tensor.sample) if file]
    samples = [file for file in package.description.attachments if file.source == SAMPLE]
    for source in dict.fromkeys(file.source for file in (*tensors, *samples)):
        path = package.file(source)
        if path is None:
            continue
        try:
            pixels = np.load(path, allow_pickle=False) if path.suffix == ".npy" else open_image(path).values
        except (UserError, ValueError, OSError, EOFError):
            yield f"{source} cannot be read as an image"
            continue
        if pixels.size == 0 or not np.isfinite(pixels).all() or pixels.min() == pixels.max():
            yield f"{source} shows nothing: export it again with `example` FILE, an image with something in it"
