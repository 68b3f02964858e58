"""What is known of a published data set, and where its parts lie below a user's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict, runtime_checkable

from training.errors import DataError


class Origin(TypedDict, total=False):
    """What a ``DataSource`` keeps of it."""

    title: str
    citation: str
    doi: str
    licence: str | None
    address: str


@dataclass(frozen=True)
class Published:
    """The catalogue's entry of a data set."""

    title: str
    citation: str
    doi: str
    address: str
    """Where a person finds it."""

    images: str
    """How many, and of which size."""

    layout: str
    """What has to lie somewhere below the folder that is given as ``data``."""

    licence: str | None = None
    """SPDX identifier; None where its authors state none with the files."""

    size: str | None = None
    """On disk; None where that is not known."""

    download: str | None = None
    """Address of the zip that a program may fetch; None where a person has to."""

    sha256: str | None = None
    """Of that zip, where it is known."""

    def origin(self, part: str | None = None) -> Origin:
        """Return what is kept with a run, of the data set or of a part of it."""
        return {
            "title": f"{self.title}, {part}" if part else self.title,
            "citation": self.citation,
            "doi": self.doi,
            "licence": self.licence,
            "address": self.address,
        }


@dataclass(frozen=True)
class Part:
    """How much of a part of a data set lies below a folder."""

    name: str
    there: int
    """Files."""

    expected: int
    lacking: str = ""
    """What is missing, in a few words."""


@runtime_checkable
class Catalogued(Protocol):
    """A data set class that says where it is from and what of it is there."""

    published: Published

    def inventory(self, name: str, folder: Path, /) -> list[Part]:
        """Return what lies below a folder of the data set of this name; nothing is read but names."""


def data_folder(name: str, data: Path | None, published: Published) -> Path:
    """Return the folder that was given as ``data``, or tell what it has to hold."""
    if data is None:
        raise DataError(f"`dataset` {name} needs `data` DIR, the folder that holds {published.layout}")
    if not data.is_dir():
        raise DataError(f"`data` {data} is no folder: name the one that holds {published.layout}")
    return data


def folder_named(data: Path, name: str) -> Path | None:
    """Return the folder of a name: ``data`` itself, or the nearest one below it, at most three levels down."""
    if data.absolute().name == name and data.is_dir():
        return data
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(path for path in data.glob(pattern) if path.is_dir())
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1]} have the same name: name the folder of one of them as `data`")
        if found:
            return found[0]
    return None


def missing(wanted: Sequence[int]) -> str:
    """Return numbers in words, the first few of many.

    Examples
    --------
    >>> missing([3, 4, 5, 9, 10])
    '3, 4, 5, 9 and 1 more'
    """
    shown = ", ".join(map(str, wanted[:4]))
    return f"{shown} and {len(wanted) - 4} more" if len(wanted) > 4 else shown
