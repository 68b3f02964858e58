"""Build a package in a folder from a model, its example and what is known of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.package import rdf, readme, tensors
from bmz_export.package.about import About, citation_of, plain_name
from bmz_export.package.fiji_memory import MACRO_GIGABYTES, MOST_PIXELS, Memory
from bmz_export.package.licence import LICENCE, decide_licence
from bmz_export.package.scripts import Script
from bmz_export.package.weights import TORCHSCRIPT, write_weights
from training.errors import PackageError
from training.evaluation.cover import cover
from training.networks import NETWORKS
from training.util.hashing import sha256

if TYPE_CHECKING:
    from training.calibration.layer import Calibrated
    from training.runs.provenance import Provenance

_AUTHOR = {"name": "Author to be filled in"}
_CITATION = {"text": "Citation to be filled in", "url": "https://bioimage.io"}


@dataclass(frozen=True)
class Addition:
    """What a check adds to a package.

    Attributes
    ----------
    files : tuple of str
        Names of files that lie in the folder already, such as a certificate and its picture.
    section : str
        Markdown for the README, put behind the validation; it begins with its own heading.
    memory : Memory or None
        What was measured of it, in place of the estimate in the script and the README.
    edges : mapping
        From each tool's way to cut images to how far it is off at the image's edge, in words; empty: not measured.
    """

    files: tuple[str, ...] = ()
    section: str = ""
    memory: Memory | None = None
    edges: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Built:
    """A package in its folder, complete and valid.

    Attributes
    ----------
    folder : Path
        Where it lies.
    tiling : Tiling
        What it declares.
    missing : tuple of str
        What the author must fill in before publishing, a line each.
    """

    folder: Path
    tiling: rdf.Tiling
    missing: tuple[str, ...]
    _axes: str
    _description: dict[str, Any]
    _words: dict[str, Any]
    _attachments: tuple[str, ...]
    _write_scripts: Callable[[Memory], object]

    def attach(self, addition: Addition) -> None:
        """Add what a check found, then write scripts, README and description anew."""
        self._attachments = tuple(dict.fromkeys((*self._attachments, *addition.files)))
        self._words["sections"] = (*self._words["sections"], *((addition.section,) if addition.section else ()))
        self._words["memory"] = addition.memory or self._words["memory"]
        self._words["edges"] = addition.edges
        self._write_scripts(self._words["memory"])
        (self.folder / rdf.README).write_text(readme.compose(**self._words), encoding="utf-8")
        rdf.write_rdf(self.folder, self._axes, self.tiling, self._attachments, **self._description)
        addresses = [entry["url"] for entry in self._description["cite"] if "url" in entry]
        rdf.validate(self.folder, addresses)


def build(
    folder: Path,
    model: Calibrated,
    *,
    network: str,
    example: NDArray[Any],
    settings: Mapping[str, Any] | None = None,
    example_name: str = "the example",
    about: About | None = None,
    provenance: Provenance | None = None,
    halo: tuple[int, ...] | None = None,
    scripts: Mapping[str, Script] | None = None,
) -> Built:
    """Write a whole package into a folder.

    Parameters
    ----------
    folder : Path
        Empty, or not there yet.
    model : Calibrated
        What becomes the package; eval mode, float32, on the CPU.
    network : str
        Name of its denoiser in the registry.
    example : array (H, W)
        A noisy image in the model's units and the camera's own type; its most telling part becomes public.
    settings : Mapping, optional
        The denoiser's settings where they are not the published ones.
    example_name : str
        What the image is called in the README.
    about : About, optional
        What the author says.
    provenance : Provenance, optional
        How the model was made; without it the README says less, and no licence, data or scores are known.
    halo : tuple of int, optional
        A measured halo in pixels along each space axis, in place of the one that follows from the network.
    scripts : Mapping, optional
        From the name of a tool to the script that the package brings for it.

    Returns
    -------
    Built

    Raises
    ------
    UserError
        When the formats disagree, the description is not valid, or the licence asked for is not allowed.
    """
    about, settings = about or About(), dict(settings or {})
    entry = NETWORKS[network]
    checkpoint = provenance.checkpoint if provenance else None
    licence = decide_licence(about.license, checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    if entry.axes != "YX":
        raise PackageError(f"{entry.title} denoises {entry.axes} images: packages hold networks of planes (YX) alone")
    radius = None if model.constants.statistics == "instance" else entry.radius(settings)
    tiling = rdf.choose_tiling(radius, entry.stride, halo)

    sample = tensors.choose_region(example, tiling.minimum)
    noisy, denoised = tensors.write_tensors(folder, model, sample)
    tensors.write_sample(folder / tensors.SAMPLE, sample)
    (folder / rdf.COVER).write_bytes(cover(noisy[0, 0], denoised[0, 0]))
    # a batch of two, of a size that nothing expects
    odd = np.concatenate([noisy[..., 3:-2, 5:-6], noisy[..., 2:-3, 6:-5]])[..., :67, :93]
    weights = write_weights(model, network, settings, folder, [noisy, odd])

    title = about.title or plain_name(f"{entry.title} denoiser for {provenance.data.name if provenance else 'images'}")
    scripts = dict(scripts or {})
    facts = {"halo": max(tiling.halo), "minimum": tiling.minimum, "stride": lcm(8, *entry.stride)}
    sha = sha256(folder / TORCHSCRIPT)

    def write_scripts(memory: Memory) -> None:
        for script in scripts.values():
            write_script(folder, script, title=title, memory=memory, weights=sha, **facts)

    attachments = [tensors.SAMPLE, *(script.name for script in scripts.values())]
    if provenance is not None:
        (folder / rdf.PROVENANCE).write_text(provenance.model_dump_json(indent=2) + "\n", encoding="utf-8")
        attachments.append(rdf.PROVENANCE)
    if licence.text is not None:
        (folder / LICENCE).write_text(licence.text, encoding="utf-8")
        attachments.append(LICENCE)

    built = Built(
        folder=folder,
        tiling=tiling,
        _axes=entry.axes,
        missing=_missing(about, licence.missing),
        _description={
            "name": title,
            "description": about.description or _describe(entry.title, provenance),
            "authors": about.authors or (_AUTHOR,),
            "cite": _cite(about, network, provenance),
            "license": licence.spdx,
            "tags": _tags(about, network, provenance),
            "version": about.version,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "training_data": _training_data(provenance),
            "kwargs": weights.kwargs,
        },
        _words={},
        _attachments=tuple(attachments),
        _write_scripts=write_scripts,
    )
    built._words = {
        **built._description,
        "network": entry,
        "calibration": asdict(model.constants),
        "local": radius is not None and all(reach <= halo for reach, halo in zip(radius, tiling.halo, strict=True)),
        "tiling": tiling,
        "scripts": {tool: script.name for tool, script in scripts.items()},
        "licence": licence.line,
        "provenance": provenance,
        "data_set": _data_set(provenance),
        "example_name": example_name,
        "differences": weights.differences,
        "memory": Memory(0, entry.bytes_per_pixel),
        "edges": {},
        "sections": (),
    }
    built.attach(Addition())
    return built


def write_script(
    folder: Path, script: Script, *, title: str, halo: int, minimum: int, stride: int, memory: Memory, weights: str
) -> Path:
    """Write a tool's script for a package and return its path.

    ``halo``, ``minimum`` (of a side) and ``stride`` (what tiles begin at multiples of) are in pixels. ``weights`` is a
    text that only the `rdf.yaml` of this model holds, for the script for Fiji, which takes no other; empty: any.
    """
    return script.write(
        folder, title=title, halo=halo, minimum=minimum, stride=stride, memory=memory, weights=weights,
        gigabytes=MACRO_GIGABYTES, most_pixels=MOST_PIXELS, tile=rdf.LARGEST_TILE, torchscript=TORCHSCRIPT,
        sample=tensors.SAMPLE,
    )  # fmt: skip


def _describe(title: str, provenance: Provenance | None) -> str:
    name = _data_set(provenance)
    data = f" like those of the data set {name}" if name else " like those that it was trained on"
    return (
        f"Takes the noise out of fluorescence images{data}: a {title} with its calibration inside, so that it takes "
        "images in their own units and returns the same units."
    )


def _data_set(provenance: Provenance | None) -> str | None:
    """The name of a data set that others know; None for a user's own folder, whose name tells nobody anything."""
    return provenance.data.name if provenance and provenance.data.source.get("title") else None


def _cite(about: About, network: str, provenance: Provenance | None) -> list[dict[str, str]]:
    """The author's citations, then the network's paper, the checkpoint and the data, each once."""
    entry = NETWORKS[network]
    found = [*about.cite, citation_of(entry.paper, entry.source)]
    if provenance is not None:
        source = provenance.data.source
        if provenance.checkpoint is not None and provenance.checkpoint.citation:
            found.append(citation_of(provenance.checkpoint.citation, _address(provenance.checkpoint.source)))
        if source.get("citation"):
            text = f"{source['citation']} doi:{source['doi']}" if source.get("doi") else source["citation"]
            found.append(citation_of(text, _address(source.get("address"))))
    unique = {entry.get("doi", entry.get("url")): entry for entry in reversed(found) if entry is not None}
    return list(reversed(unique.values())) or [_CITATION]


def _address(text: str | None) -> str | None:
    return text if text is not None and text.startswith(("http://", "https://")) else None


def _tags(about: About, network: str, provenance: Provenance | None) -> list[str]:
    name = _data_set(provenance)
    data = [name] if name else []
    known = ["denoising", "fluorescence-microscopy", "image-restoration", "2d", "pytorch", network]
    return list(dict.fromkeys((*about.tags, *known, *data)))


def _training_data(provenance: Provenance | None) -> dict[str, Any] | None:
    """A data set description where the data's origin is known; a user's own folder has none to point to."""
    source = provenance.data.source if provenance else {}
    citation = citation_of(source.get("citation") or "", _address(source.get("address")))
    if provenance is None or citation is None or not source.get("title"):
        return None
    described = {"format_version": "0.3.0", "type": "dataset", "name": plain_name(source["title"]), "cite": [citation]}
    if source.get("licence"):
        described["license"] = source["licence"]
    return described


def _missing(about: About, licence: bool) -> tuple[str, ...]:
    asked = (
        (not about.authors, "the authors: `author` 'Name; Affiliation; ORCID'"),
        (not about.cite, "how to cite this model: `cite` 'Text | DOI or address'"),
        (licence, "its licence: `license` SPDX, such as CC-BY-4.0"),
    )
    return tuple(what for lacking, what in asked if lacking)
