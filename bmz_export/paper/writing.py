"""The texts of a paper's methods, filled from the provenance of a run alone, and put into a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bmz_export.package.templates import fill
from bmz_export.paper import references
from bmz_export.paper.environment import base_image, locked
from bmz_export.paper.references import References
from training.errors import PackageError
from training.methods import METHODS
from training.networks import NETWORKS
from training.runs.provenance import Provenance, Scores
from training.util.writing import write_text

METHODS_FILE, BIBTEX, CHECKLIST = "methods.md", "references.bib", "checklist.md"
REQUIREMENTS, CONTAINER = "requirements.txt", "Containerfile"

_COMMENTS = {METHODS_FILE: ("<!-- ", " -->"), CHECKLIST: ("<!-- ", " -->"), BIBTEX: ("% ", "")}
_MARK = re.compile(r"Written by bmz-fmd methods \(([0-9a-f]{16})\)")


@dataclass(frozen=True)
class Written:
    """What was written: the folder, the files in it, and the paragraph, which may go into a paper as it is."""

    folder: Path
    files: tuple[Path, ...]
    paragraph: str


def write_methods(provenance: Provenance, out: Path, *, model: Path, settings: Path | None = None) -> Written:
    """Write the methods of a paper for a run, or for the package that came of it.

    Parameters
    ----------
    provenance : Provenance
        Every figure is from there.
    out : Path
        A folder; files in it that are not an earlier result, or that somebody changed, are not replaced.
    model : Path
        The run folder, or the package, a folder or its zip: the container copies the folder.
    settings : Path, optional
        The run's ``settings.yaml``, where there is one to repeat the training with.

    Raises
    ------
    UserError
        Where a file would be replaced that is not an earlier result; nothing is written then.
    """
    texts = _texts(provenance, model, settings)
    for name in texts:
        if not _replaceable(out / name):
            raise PackageError(
                f"{out / name} was changed since, or is not of this program: it is not replaced; name another folder "
                "with `out`, or move it away"
            )
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(out / name, _marked(name, text))
    paragraph = " ".join(texts[METHODS_FILE].split("\n\n## References")[0].split("\n\n", 1)[1].split())
    return Written(out, tuple(out / name for name in texts), paragraph)


def _texts(provenance: Provenance, model: Path, settings: Path | None) -> Mapping[str, str]:
    """Return every file's text by its name; the numbers of citations are those of their order in the paragraph."""
    cite = References()
    source = provenance.data.source
    method = METHODS.get(provenance.method)
    said = source.get("citation")
    words = {
        "provenance": provenance,
        "network": NETWORKS[provenance.network.name],
        "changed": _changed(provenance),
        "calibration": provenance.calibration,
        "learns": method.learns if method else f"by the method {provenance.method}",
        "papers": method.papers if method else (),
        "trained": provenance.epochs > 0,
        "calibrated": method is not None and not method.needs.training,
        "scores": _scores(provenance),
        "counts": {part: len(names) for part, names in provenance.data.splits.items()},
        "data_paper": f"{said} doi:{source['doi']}" if said and source.get("doi") else said,
        "cite": cite,
        "known": references,
        "software": [
            (name, version, references.SOFTWARE.get(name))
            for name, version in provenance.versions.items()
            if name != "bmz-fmd"
        ],
        "locked": locked(provenance.versions),
        "image": base_image(provenance.versions),
        "model": model,
        "settings": settings,
    }
    paragraph = fill("methods.md.j2", **words)
    return {
        METHODS_FILE: paragraph,
        BIBTEX: cite.bibtex(),
        CHECKLIST: fill("checklist.md.j2", **words),
        REQUIREMENTS: fill("requirements.txt.j2", **words),
        CONTAINER: fill("Containerfile.j2", **words),
    }


def _scores(provenance: Provenance) -> dict[str, Scores]:
    """Return the scores of these weights; in the images' own units where clean ones are on the noisy ones' scale."""
    if not provenance.scored:
        return {}
    fitted = provenance.intensity_fit.mode != "none"
    return {name: scores for name, scores in provenance.scores.items() if name == "affine" or not fitted}


def _changed(provenance: Provenance) -> str:
    """Return the network's settings that are not as published, in words."""
    published = NETWORKS[provenance.network.name].settings
    different = {key: value for key, value in provenance.network.settings.items() if published.get(key) != value}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in different.items())


def _marked(name: str, text: str) -> str:
    before, after = _COMMENTS.get(name, ("# ", ""))
    mark = f"Written by bmz-fmd methods ({_digest(text)}): replaced when it is called again, unless you changed it."
    return f"{before}{mark}{after}\n{text}"


def _replaceable(path: Path) -> bool:
    """Return whether nothing stands there, or an earlier result that nobody changed."""
    try:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return not path.is_symlink()
    except (OSError, UnicodeDecodeError):
        return False
    mark = _MARK.search(first)
    return mark is not None and mark[1] == _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
