"""The README of a mended package: the author's own, with what was changed by what, and what is still wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bmz_export.checking.report import HEADING as CERTIFIED

_SECTIONS = ("Description", "Intended Use", "Validation", "Citation")
_LARGEST = 2**20
_CERTIFICATE = re.compile(rf"^{re.escape(CERTIFIED)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
"""What the certificate of the package said before it was mended."""


def compose(
    old: Path | None, raw: Mapping[str, object], *, changes: Sequence[str], left: Sequence[str], sections: Sequence[str]
) -> str:
    """Return the README as Markdown.

    Parameters
    ----------
    old : Path or None
        The author's README.
    raw : mapping
        The description, for what the README lacks.
    changes, left : sequence of str
        What was changed, and what could not be mended, a line each.
    sections : sequence of str
        Further Markdown.
    """
    text = ""
    if old is not None:
        with old.open("rb") as stream:
            text = stream.read(_LARGEST).decode("utf-8", "replace").strip()
    text = _CERTIFICATE.sub("", text).strip() or f"# {raw.get('name') or 'Model'}"
    headings = [line.lower() for line in text.splitlines() if line.startswith("#")]
    parts = [text]
    for section in _SECTIONS:
        if not any(section.lower() in heading for heading in headings):
            parts.append(f"## {section}\n\n{_stated(section, raw)}")
    today = datetime.now(UTC).date().isoformat()
    lines = "\n".join(f"- {line}" for line in changes)
    by = f"bmz-fmd {version('bmz-fmd')} on {today}, not by its authors,"
    parts.append(f"## Mended\n\nThis package was changed by {by} "
                 f"so that every tool opens it and shows the same pixels:\n\n{lines}")  # fmt: skip
    if left:
        parts.append("Not mended:\n\n" + "\n".join(f"- {line}" for line in left))
    return "\n\n".join([*parts, *sections]).strip() + "\n"


def _stated(section: str, raw: Mapping[str, object]) -> str:
    if section == "Description" and raw.get("description"):
        return str(raw["description"])
    cite = raw.get("cite")
    if section == "Citation" and isinstance(cite, list):
        lines = [" ".join(str(each.get(key)) for key in ("text", "doi", "url") if each.get(key))
                 for each in cite if isinstance(each, dict)]  # fmt: skip
        return "\n".join(f"- {line}" for line in lines)
    return "Not stated by the authors."
