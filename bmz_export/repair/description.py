"""The description of a mended package: format 0.5.4 in plain strings, whatever format it was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bmz_export.package.about import plain_name
from bmz_export.package.description import Description, Tensor
from bmz_export.package.rdf import PYTORCH_VERSION, RDF, TEST_INPUT, TEST_OUTPUT, Tiling
from bmz_export.package.reading import read_description
from bmz_export.package.weights import ONNX, OPSET, STATE_DICT, TORCHSCRIPT
from bmz_export.tools.specification import departures, shipped
from training.util.hashing import sha256

FORMAT = "0.5.4"
_KEPT = ("description", "authors", "maintainers", "cite", "tags", "version", "timestamp", "git_repo", "links",
         "training_data", "uploader", "packaged_by")  # fmt: skip
"""What is kept as it was written, where the format still has it so."""
_ANEW = frozenset((
    "format_version", "type", "name", "license", "documentation", "covers", "icon", "attachments", "inputs", "outputs",
    "weights", "test_inputs", "test_outputs", "sample_inputs", "sample_outputs",
))  # fmt: skip


def write_description(
    folder: Path, old: Description, *, mark: str, licence: str | None, files: Mapping[str, str],
    tensors: tuple[Mapping[str, Any], Mapping[str, Any]], weights: Mapping[str, Any], attachments: Sequence[str],
) -> list[str]:  # fmt: skip
    """Write ``rdf.yaml`` for the files in ``folder`` and return what was changed or left out, a line each.

    Parameters
    ----------
    folder : Path
        Holds the files.
    old : Description
        What the package said.
    mark : str
        The file's first line.
    licence : str or None
        SPDX identifier.
    files : mapping
        Names of ``documentation`` and ``cover``.
    tensors : (mapping, mapping)
        Input and output, from :func:`tensor`.
    weights : mapping
        From :func:`weights_entries`.
    attachments : sequence of str
        Names of further files.
    """
    raw = {key: old.raw[key] for key in _KEPT if old.raw.get(key)}
    if isinstance(raw.get("authors"), str):
        raw["authors"] = [raw["authors"]]
    if isinstance(raw.get("authors"), list):
        raw["authors"] = [{"name": each} if isinstance(each, str) else each for each in raw["authors"]]
    written = {
        "format_version": FORMAT,
        "type": "model",
        "name": plain_name(old.name) or "Model",
        **raw,
        **({"license": licence} if licence else {}),
        "documentation": files["documentation"],
        "covers": [files["cover"]],
        "attachments": [{"source": name, "sha256": sha256(folder / name)} for name in attachments],
        "inputs": [tensors[0]],
        "outputs": [tensors[1]],
        "weights": weights,
    }
    said = [f"{key} was left out: tools disagree on it, or the site gives it"
            for key in old.raw if key not in _ANEW and key not in _KEPT and old.raw[key]]  # fmt: skip
    path = folder / RDF
    odd = None
    while odd is None or odd:
        text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=120)
        path.write_text(f"{mark}\n{text}", encoding="utf-8")
        found = {where.partition(".")[0].partition("[")[0]: what for where, what in departures(read_description(path))}
        odd = [key for key in _KEPT if key in found and key in written]
        for key in odd:
            del written[key]
            said.append(f"{key} was left out: {found[key]}")
    if old.format_version != FORMAT:
        said.append(f"the description was of format {old.format_version}, now {FORMAT} in plain strings")
    if written["name"] != old.name:
        said.append(f"the name was {old.name!r}: the format allows letters, digits, spaces and _+-() alone")
    return said


def tensor(
    old: Tensor, channels: int, folder: Path, *, tiling: Tiling | None, size: tuple[int, int], batch: bool,
    follows: Tensor | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return an input, or the output that follows the input ``follows``, with the axes batch, channel, y, x.

    ``size`` (height, width) is the only one where there is no ``tiling``; ``batch`` says whether it takes several
    images at once.
    """
    name = identifier(old, "output" if follows else "input")
    channel = old.axis("c")
    names = list(channel.channel_names or ()) if channel else []
    if len(names) != channels:
        names = [name] if channels == 1 else [f"channel{index}" for index in range(channels)]
    axes: list[dict[str, Any]] = [{"type": "batch"} if batch else {"type": "batch", "size": 1},
                                  {"type": "channel", "channel_names": names}]  # fmt: skip
    for letter, fixed in zip("yx", size, strict=True):
        axis: dict[str, Any] = {"type": "space", "id": letter}
        if follows is not None:
            axis["size"] = {"tensor_id": identifier(follows, "input"), "axis_id": letter, "offset": 0}
            axis |= {"halo": tiling.halo["yx".index(letter)]} if tiling and max(tiling.halo) else {}
        else:
            axis["size"] = {"min": tiling.minimum, "step": tiling.step} if tiling else fixed
            axis["concatenable"] = tiling is not None
        axes.append(axis)
    source = TEST_OUTPUT if follows else TEST_INPUT
    described = old.raw.get("description")
    return {
        "id": name,
        **({"description": described} if isinstance(described, str) and described else {}),
        "axes": axes,
        "data": {"type": "float32"},
        "test_tensor": {"source": source, "sha256": sha256(folder / source)},
    }


def identifier(tensor: Tensor, otherwise: str) -> str:
    """Return the name of a tensor, which must be one in Python too."""
    return tensor.id if tensor.id.isidentifier() else otherwise


def weights_entries(folder: Path, architecture: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the entries of the weights that lie in ``folder``; the first is the one that the others are made from."""
    entries: dict[str, Any] = {}
    if architecture is not None and (folder / STATE_DICT).is_file():
        entries["pytorch_state_dict"] = {"source": STATE_DICT, "pytorch_version": PYTORCH_VERSION,
                                         "architecture": dict(architecture)}  # fmt: skip
    if (folder / TORCHSCRIPT).is_file():
        entries["torchscript"] = {"source": TORCHSCRIPT, "pytorch_version": PYTORCH_VERSION}
    if (folder / ONNX).is_file():
        entries["onnx"] = {"source": ONNX, "opset_version": OPSET}
    first = next(iter(entries), None)
    for name, entry in entries.items():
        entry["sha256"] = sha256(folder / entry["source"])
        if name != first:
            entry["parent"] = first
    return entries


def spdx(stated: object) -> str | None:
    """Return the SPDX identifier that an author's words name without doubt, else None.

    Examples
    --------
    >>> spdx("MIT License"), spdx("CC BY 4.0"), spdx("free for academic use")
    ('MIT', 'CC-BY-4.0', None)
    """
    if isinstance(stated, Mapping):  # formats from 0.5.11 on
        stated = stated.get("id", stated.get("name"))
    if not isinstance(stated, str):
        return None
    if any(entry["licenseId"] == stated for entry in shipped("spdx_licenses.json")["licenses"]):
        return stated
    found = _licences().get(_letters(stated))
    return found[0] if found and len(found) == 1 else None


@cache
def _licences() -> dict[str, list[str]]:
    by_letters: dict[str, list[str]] = {}
    for entry in shipped("spdx_licenses.json")["licenses"]:
        if not entry.get("isDeprecatedLicenseId"):
            for words in {_letters(entry["licenseId"]), _letters(entry["name"])}:
                by_letters.setdefault(words, []).append(entry["licenseId"])
    return by_letters


def _letters(words: str) -> str:
    return re.sub(r"[^a-z0-9.]|\bthe\b|\blicen[cs]e\b|\bversion\b|\bv(?=\d)", "", words.lower())
