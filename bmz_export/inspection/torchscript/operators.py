"""Which operators each tool's libtorch does not know."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("libtorch.json")
"""The operators of each libtorch, as ``ci/operator_tables.py`` wrote them."""


def unknown_operators(calls: Iterable[tuple[str, int, tuple[str, ...]]], format: int, libtorch: str) -> list[str]:
    """Return what an archive holds that a libtorch does not know; it then refuses to load the archive.

    Parameters
    ----------
    calls
        The archive's operators, each with its number of arguments by place and the names of those by name.
    format
        Version of the archive's format.
    libtorch
        A version of the table, such as ``"1.13.1"``.

    Returns
    -------
    list of str
        Names such as ``aten::rms_norm``; where the operator is known but not in this form, also the arguments; where
        the archive's format is newer than the library, that.
    """
    table = _table()
    if libtorch not in table["versions"]:
        raise ValueError(f"no table for libtorch {libtorch}: there is one for {', '.join(table['versions'])}")
    unknown = set()
    newest = table["format"][f"libtorch-{libtorch}"]
    if format > newest:
        unknown.add(f"archive format {format} (it reads up to {newest})")
    for name, count, names in calls:
        known = table["operators"].get(name)
        if known is None and name.startswith("prim::"):
            continue  # syntax: it is written without a name
        signatures = [each for each, versions in (known or {}).items() if versions is None or libtorch in versions]
        if not signatures:
            unknown.add(name)
        elif not any(_fits(each, count, names) for each in signatures):
            unknown.add(f"{name} with {count} arguments" + (f" and {', '.join(names)}" if names else ""))
    return sorted(unknown)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def _fits(signature: str, count: int, names: tuple[str, ...]) -> bool:
    """Say whether arguments fit a signature in short form, such as ``self,other,*,alpha=`` (``=``: it has a default).

    Examples
    --------
    >>> _fits("self,other,*,alpha=", 2, ()), _fits("self,other,*,alpha=", 2, ("out",))
    (True, False)
    """
    if signature == "?" or "..." in signature:
        return True
    positional, _, by_name = (signature + ",").partition("*,")
    first = [each for each in positional.split(",") if each]
    last = [each for each in by_name.split(",") if each]
    missing = [each for each in (*first[count:], *last) if not each.endswith("=") and each not in names]
    return count <= len(first) and not missing and {*names} <= {each.removesuffix("=") for each in last}
