"""Which operators of an archive's code each tool's libtorch does not know."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

from bmz_export.inspection.torchscript.archive import Archive
from bmz_export.inspection.torchscript.code import REACHING, calls

TABLE = Path(__file__).with_name("libtorch.json")
"""The operators of each libtorch, as ``ci/operator_tables.py`` wrote them."""


def unknown_operators(archive: Archive, libtorch: str) -> list[str]:
    """Return what an archive's code calls that a libtorch does not know; it then refuses to load the archive.

    Parameters
    ----------
    archive
        What ``read_archive`` returned.
    libtorch
        A version of the table, such as ``"1.13.1"`` or ``"libtorch-1.13.1"``.

    Returns
    -------
    list of str
        Names such as ``aten::rms_norm``; where the operator is known but not in this form, also the arguments; where
        the archive's format is newer than the library, that.
    """
    version = libtorch.removeprefix("libtorch-")
    table = _table()
    if version not in table["versions"]:
        raise ValueError(f"no table for libtorch {version}: there is one for {', '.join(table['versions'])}")
    unknown = set()
    newest = table["format"][f"libtorch-{version}"]
    if archive.version > newest:
        unknown.add(f"archive format {archive.version} (it reads up to {newest})")
    for name, call in (found for tree in archive.trees.values() if tree for found in calls(tree)):
        signatures = [s for s, known in table["operators"].get(name, {}).items() if known is None or version in known]
        if not signatures:
            unknown.add(name)
        elif not any(_fits(signature, call) for signature in signatures):
            words = ", ".join(keyword.arg or "**" for keyword in call.keywords)
            unknown.add(f"{name} with {len(call.args)} arguments" + (f" and {words}" if words else ""))
    return sorted(unknown)


def arguments(operator: str, call: ast.Call) -> dict[str, ast.expr | None]:
    """Return what a call gives to each argument of an operator, None where it leaves the default.

    Empty where no version of the library has the operator in this form.
    """
    for signature in _table()["operators"].get(operator, {}):
        if _fits(signature, call):
            names = [each for each in signature.replace("=", "").split(",") if each != "*"]
            by_name = {keyword.arg: keyword.value for keyword in call.keywords}
            return {name: by_name.get(name) for name in names} | dict(zip(names, call.args, strict=False))
    return {}


def is_random(operator: str) -> bool:
    """Say whether an operator draws random numbers: in one of its forms it takes the generator that they come from."""
    signatures = _table()["operators"].get(operator.removesuffix("_like"), {})
    return any("generator" in signature.replace("=", "").split(",") for signature in signatures)


def computes(name: str) -> bool:
    """Say whether ``torch.NAME`` is an operator that some version of the library has, and that touches no file."""
    return f"aten::{name}" in _table()["operators"] and name not in REACHING


def compact(schema: str) -> str:
    """Return a schema's arguments in short: names, ``*`` before those given by name alone, ``=`` behind a default.

    Examples
    --------
    >>> compact("aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor")
    'self,other,*,alpha='
    """
    inside = schema[schema.index("(") + 1 : schema.rindex(") -> ")]
    depth, piece, pieces = 0, "", []
    for letter in inside:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += letter
    return ",".join(_short(each.strip()) for each in (*pieces, piece) if each.strip())


def _short(argument: str) -> str:
    if argument in ("*", "..."):
        return argument
    declared, equals, _ = argument.partition("=")
    return declared.split()[-1] + equals


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def _fits(signature: str, call: ast.Call) -> bool:
    """Say whether a call's count of arguments and their names fit a signature in short form."""
    if signature == "?" or "..." in signature:
        return True
    positional, _, by_name = (signature + ",").partition("*,")
    first = [each for each in positional.split(",") if each]
    names = {each.rstrip("="): each.endswith("=") for each in (*first, *by_name.split(",")) if each}
    given = [each.rstrip("=") for each in first[: len(call.args)]] + [keyword.arg or "" for keyword in call.keywords]
    if len(call.args) > len(first) or any(name not in names for name in given):
        return False
    return all(default or name in given for name, default in names.items())
