"""What only the author of a package can say of it: names, citation, licence, words; from options or a YAML file."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from training.errors import PackageError
from training.runs.settings import read_yaml
from training.util.text import unknown

if TYPE_CHECKING:
    from pydantic import BaseModel

_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+\.\S+")
_COMMON = (
    "CC-BY-4.0", "CC0-1.0", "CC-BY-SA-4.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "Apache-2.0", "GPL-3.0-only",
    "LGPL-3.0-only",
)  # fmt: skip
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])", re.IGNORECASE)
_NAME_CHARACTERS = re.compile(r"[^0-9A-Za-z_+\- ()]+")  # all that the format allows in a name


@dataclass(frozen=True)
class About:
    """What the author says; what is left out is None or empty.

    Attributes
    ----------
    title : str or None
        5 to 64 letters, digits, spaces and ``_+-()``.
    description : str or None
        A sentence or two.
    authors : tuple of dict
        ``name`` and, where given, ``affiliation``, ``orcid``, ``email``, ``github_user``.
    cite : tuple of dict
        ``text`` with ``doi`` or ``url``.
    license : str or None
        SPDX identifier.
    tags : tuple of str
        Beside those that follow from the model.
    version : str
        Of the package.
    """

    title: str | None = None
    description: str | None = None
    authors: tuple[dict[str, str], ...] = ()
    cite: tuple[dict[str, str], ...] = ()
    license: str | None = None
    tags: tuple[str, ...] = field(default=())
    version: str = "0.1.0"


def read_about(
    file: Path | None = None, *, authors: Sequence[str] = (), cite: Sequence[str] = (), license: str | None = None
) -> About:
    """Return what a YAML file says, with the options in place of the same keys of the file.

    Parameters
    ----------
    file : Path, optional
        YAML with any of the keys of ``About``; authors and citations as mappings or in the form of the options.
    authors : sequence of str
        ``"Name; Affiliation; ORCID"``, the last two where there are any.
    cite : sequence of str
        ``"Text | DOI or address"``.
    license : str, optional
        SPDX identifier.

    Raises
    ------
    UserError
        Names the option or key, and what is wrong with it.
    """
    about = About() if file is None else _read_file(file)
    if authors:
        about = replace(about, authors=tuple(_author(entry, "`author`") for entry in authors))
    if cite:
        about = replace(about, cite=tuple(_citation(entry, "`cite`") for entry in cite))
    if license is not None:
        about = replace(about, license=_licence(license, "`license`"))
    return about


def citation_of(text: str, address: str | None = None) -> dict[str, str] | None:
    """Return a citation of plain text that holds a DOI or has an address; None where there is neither."""
    if found := _DOI.search(text):
        return {"text": text[: found.start()].strip(" .,") or text, "doi": found[1].rstrip(".,;)")}
    return {"text": text, "url": address} if address else None


def plain_name(text: str) -> str:
    """Return text as a name that the format allows: other characters become blanks, at most 64 of them."""
    return " ".join(_NAME_CHARACTERS.sub(" ", text).split())[:64].strip()


def _read_file(file: Path) -> About:
    where = f"`about` {file}"
    content = read_yaml(file, where)
    known = list(About.__dataclass_fields__)
    for key in content:
        if key not in known:
            raise PackageError(f"{where}: the key {key!r} is {unknown(str(key), known)}")
    return About(
        title=_title(content.get("title"), where),
        description=_text(content.get("description"), f"{where}: description"),
        authors=tuple(_author(entry, where) for entry in _several(content.get("authors"), f"{where}: authors")),
        cite=tuple(_citation(entry, where) for entry in _several(content.get("cite"), f"{where}: cite")),
        license=None if content.get("license") is None else _licence(content["license"], where),
        tags=tuple(str(tag) for tag in _several(content.get("tags"), f"{where}: tags")),
        version=_version(content.get("version", About.version), where),
    )


def _several(value: object, where: str) -> list[Any]:
    """A list, or a single entry for a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str | Mapping):
        return [value]
    raise PackageError(f"{where}: a list is wanted, not {value!r}")


def _text(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise PackageError(f"{where}: text is wanted, not {value!r}; put it in quotes")


def _title(value: object, where: str) -> str | None:
    title = _text(value, f"{where}: title")
    if title is not None and (plain_name(title) != title or len(title) < 5):
        raise PackageError(f"{where}: title {title!r}: use 5 to 64 letters, digits, blanks and _+-()")
    return title


def _version(value: object, where: str) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        Version(str(value))
    except InvalidVersion:
        raise PackageError(f"{where}: version {value!r}: write a version such as 0.1.0") from None
    return str(value)


def _author(entry: object, where: str) -> dict[str, str]:
    from bioimageio.spec.generic.v0_3 import Author

    if isinstance(entry, str):
        parts = [part.strip() for part in entry.split(";")]
        if not parts[0] or len(parts) > 3:
            raise PackageError(f"{where} {entry!r}: write 'Name; Affiliation; ORCID', the last two where there are any")
        author = {"name": parts[0]}
        for part in filter(None, parts[1:]):
            author["orcid" if _ORCID.fullmatch(part) else "affiliation"] = part
    else:
        author = _texts(entry, f"{where}: author")
    if "/" in author.get("name", "") or "\\" in author.get("name", ""):
        raise PackageError(f"{where}: author {author['name']!r}: a name holds no slash; give one author at a time")
    if found := _ORCID.fullmatch(author.get("orcid", "")):
        author["orcid"] = found[1].upper()
    _check(Author, author, f"{where}: author {author.get('name', '')!r}")
    return author


def _citation(entry: object, where: str) -> dict[str, str]:
    from bioimageio.spec.generic.v0_3 import CiteEntry

    if isinstance(entry, str):
        text, _, address = (part.strip() for part in entry.rpartition("|"))
        if not text or not address:
            raise PackageError(f"{where} {entry!r}: write 'Text | DOI or address', with the bar between the two")
        found = _DOI.fullmatch(address)
        citation = {"text": text, "doi": found[1]} if found else {"text": text, "url": address}
    else:
        citation = _texts(entry, f"{where}: cite")
    for key, pattern in (("doi", _DOI), ("url", _ADDRESS)):
        if key in citation and not pattern.fullmatch(citation[key]):
            raise PackageError(
                f"{where}: {citation[key]!r} is neither a DOI such as 10.1038/s41592-018-0216-7 nor an address such as "
                "https://example.org/paper"
            )
    _check(CiteEntry, citation, f"{where}: citation {citation.get('text', '')[:40]!r}")
    return citation


def _texts(entry: object, where: str) -> dict[str, str]:
    if not isinstance(entry, Mapping):
        raise PackageError(f"{where}: text or a mapping is wanted, not {entry!r}")
    return {str(key): str(value) for key, value in entry.items() if value is not None}


def _licence(value: object, where: str) -> str:
    from bioimageio.spec.generic.v0_3 import LicenseId

    known = get_args(LicenseId.root_model.model_fields["root"].annotation)
    if value in known:
        return str(value)
    asked = _letters(str(value)) or "-"
    near: list[str] = []
    for names in (_COMMON, sorted(known, key=len)):
        near = near or [name for name in names if _letters(name).startswith(asked)][:2]
        near = near or difflib.get_close_matches(str(value), names, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "for example CC-BY-4.0 or MIT"
    raise PackageError(f"{where}: {value!r} is no SPDX licence identifier; {hint}")


def _letters(licence: str) -> str:
    """Return letters and digits alone: ``GPL v3`` is meant as ``GPL-3``."""
    return re.sub(r"[^a-z0-9]|v(?=\.?\d)", "", licence.lower())


def _check(model: "type[BaseModel]", values: Mapping[str, str], where: str) -> None:
    """Ask bioimageio.spec's own type, without asking the network whether addresses exist."""
    from bioimageio.spec import ValidationContext
    from pydantic import ValidationError

    try:
        with ValidationContext(perform_io_checks=False):
            model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(str(part) for part in first["loc"])
        raise PackageError(f"{where}: {what}{': ' if what else ''}{first['msg']}") from None
