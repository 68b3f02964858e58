"""The BioImage.IO site: its upload, its continuous integration (torch 2.5.1, onnxruntime 1.20.1) and BioEngine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from bmz_export.inspection import Inspection
from bmz_export.package.description import Operation, Tensor
from bmz_export.tools import finders, rules
from bmz_export.tools.rule import TORCH_FORMATS, Found, Rule
from bmz_export.tools.specification import shipped
from bmz_export.tools.tool import Tool

COVER_BYTES = 500_000
README_BYTES = 2**20
"""How much of a README is looked at."""
README_SECTIONS = ("Description", "Intended Use", "Validation", "Citation")
OLDEST_TORCH = Version("1.6")
"""The first whose files are those of today."""
_PNG = b"\x89PNG\r\n\x1a\n"
_SOURCE = "BioImage.IO's upload and continuous integration"


def _licence(inspection: Inspection) -> Iterator[str]:
    licence = inspection.description.license
    raw = inspection.description.raw.get("license")
    if licence is not None and licence not in _spdx():
        yield f"license {licence!r} is no SPDX identifier"
    elif raw is not None and licence is None and not isinstance(raw, dict):
        yield f"license {raw!r} is no SPDX identifier"


@cache
def _spdx() -> frozenset[str]:
    return frozenset(entry["licenseId"] for entry in shipped("spdx_licenses.json")["licenses"])


def _people(inspection: Inspection) -> Iterator[str | Found]:
    raw = inspection.description.raw
    if not isinstance(raw.get("authors"), list) or not raw["authors"]:
        yield "there are no authors"
    cite = raw.get("cite")
    citations = [entry for entry in cite if isinstance(entry, dict)] if isinstance(cite, list) else []
    if not any(entry.get("doi") or entry.get("url") for entry in citations):
        yield "there is no citation with doi or url"
    if not raw.get("tags"):
        yield Found("there are no tags", "the model is not found by what it is for")
    if not raw.get("description"):
        yield Found("there is no description", "nobody sees what the model is for")


def _readme(inspection: Inspection) -> Iterator[str]:
    file = inspection.description.documentation
    path = inspection.package.file(file.source) if file else None
    if path is None:
        yield "there is no README"
        return
    with path.open("rb") as stream:
        text = stream.read(README_BYTES).decode("utf-8", "replace").lower()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    for section in README_SECTIONS:
        if not any(section.lower() in heading for heading in headings):
            yield f"{path.name} has no section {section}"


def _cover(inspection: Inspection) -> Iterator[str]:
    if not inspection.description.covers:
        yield "there is no cover"
    for cover in inspection.description.covers:
        path = inspection.package.file(cover.source)
        if path is None:
            continue
        with path.open("rb") as stream:
            head = stream.read(24)
        if not cover.source.lower().endswith(".png") or not head.startswith(_PNG):
            yield f"{cover.source} is no PNG"
        elif not _opens(path):
            yield f"{cover.source} cannot be opened as an image"
        if path.stat().st_size >= COVER_BYTES:
            yield f"{cover.source} has {path.stat().st_size:,} bytes, the limit is {COVER_BYTES:,}"
        ratio = _ratio(head)
        if ratio is not None and min(abs(ratio - 1), abs(ratio - 2)) > 0.01:
            yield f"{cover.source} is {ratio:.2f} times as wide as high, not once or twice"


def _opens(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.verify()
    except Exception:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return False
    return True


def _ratio(head: bytes) -> float | None:
    """Return width by height of a PNG, None for any other file."""
    if not head.startswith(_PNG) or len(head) < 24:
        return None
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return width / height if height else None


def _given_by_the_site(inspection: Inspection) -> Iterator[str]:
    for name in ("id", "status"):
        if inspection.description.raw.get(name) is not None:
            yield f"{name} is set; the site gives it"
    if "bioimageio" in (inspection.description.config or {}):
        yield "config.bioimageio is deleted by the uploader"


def _runtime(inspection: Inspection) -> Iterator[str]:
    for name, entry in inspection.description.weights.items():
        where = f"weights.{name}: pytorch_version {entry.version!r}"
        if name not in TORCH_FORMATS:
            continue
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", entry.version or "", re.ASCII):
            yield f"{where} is no released version"
        elif (version := Version(entry.version or "")) < OLDEST_TORCH:
            yield f"{where} is older than {OLDEST_TORCH}"
        elif version >= _unknown_torch():
            yield f"{where} is newer than any that is known here (below {_unknown_torch()})"


@cache
def _unknown_torch() -> Version:
    """Return the first torch that this project has not tried, as its own requirements say."""
    torch = next(entry for text in requires("bmz-fmd") or [] if (entry := Requirement(text)).name == "torch")
    return next(Version(each.version) for each in torch.specifier if each.operator == "<")


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | float | bool)


def _plain_kwargs(inspection: Inspection) -> Iterator[str]:
    for name, entry in inspection.description.weights.items():
        for key, value in entry.kwargs.items():
            if not _plain(value):
                yield f"weights.{name}: the argument {key} is {type(value).__name__}"


def _per_data_set(operation: Operation, tensor: Tensor) -> str | None:
    del tensor
    if operation.id in ("zero_mean_unit_variance", "scale_range") and not operation.kwargs.get("axes"):
        return "without axes measures all images seen so far, not this one"
    return None


def _first_entry(inspection: Inspection) -> str | None:
    """Return the first weights format: the site runs each of them."""
    return next(iter(inspection.description.weights), None)


TOOL = Tool(
    name="bioimage.io",
    title="BioImage.IO",
    engines=("bioimageio.core",),
    install="upload the zip",
    rules=(
        *rules.PACKAGE,
        *rules.SPECIFICATION,
        *rules.STATE_DICT,
        rules.torchscript.READABLE,
        rules.torchscript.DETERMINISTIC,
        rules.torchscript.INPUTS,
        *rules.ONNX,
        rules.onnx.BATCH,
        Rule("licence", "the upload is refused", f"{_SOURCE}: SPDX identifiers",
             "an identifier of spdx.org/licenses, or none", _licence),
        Rule("licensed", "nobody may use the model", _SOURCE, "choose a licence before publishing",
             rules.description.unlicensed, "warning"),
        Rule("people", "the upload is refused", _SOURCE,
             "at least one author, one citation with doi or url, tags, and a description", _people, "warning"),
        Rule("readme", "the documentation is marked as incomplete", _SOURCE,
             f"sections {', '.join(README_SECTIONS)}", _readme, "warning"),
        Rule("cover", "the upload is refused or the card looks broken", _SOURCE, "a .png below 500 kB, 2:1 or 1:1",
             _cover, "warning"),
        Rule("given-by-the-site", "overwritten or deleted at upload", _SOURCE, "leave it out of the upload",
             _given_by_the_site, "warning"),
        Rule("pytorch-version", "its environment cannot be made", f"{_SOURCE}: conda-forge",
             "a released version, such as 2.5.1, in quotes", _runtime, "warning"),
        Rule("plain-kwargs", "the description cannot be stored", _SOURCE, "numbers, text, lists and mappings alone",
             _plain_kwargs),
        rules.description.GITHUB_USER,
        Rule("per-data-set", "the result depends on what was run before", f"{_SOURCE}, bioimageio.core",
             "write the axes, or normalise inside the network", finders.operations(_per_data_set), "warning"),
    ),
    weights_choice=_first_entry,
    library=("read", "test"),
)  # fmt: skip
