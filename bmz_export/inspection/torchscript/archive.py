"""What a TorchScript archive shows before anything loads it: whether its code reaches out of the computation.

An archive is a zip that holds its network's code as text, in a dialect of Python. libtorch compiles all of it when it
loads the archive, and runs each ``__setstate__`` in it. Operators stand below two names, ``torch`` and ``ops``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bmz_export.inspection.zips import ZipError, entries

MAX_BYTES = 4 * 2**20
"""Of code, and of pickles; the largest of ours (KBNet) has 0.8 MB of code and 0.15 MB of pickles."""
_MOST = 5  # findings that are named
_NAMESPACES = ("aten", "prim", "prepacked", "quantized")
"""Where libtorch's own operators are; all others speak with processes or belong to other libraries."""
_REACHING = ("from_file", "load", "rpc_async", "rpc_remote", "rpc_sync", "save")
"""Operators of these namespaces that touch files or other machines, of all that the tables and torch hold."""
_SPACE = r"\s*+\.\s*+"
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*+(?P<end>"?)|#(?P<comment>)[^\n]*+')
_ROOT = re.compile(r"(?<![\w.])(?:torch|ops)\b", re.ASCII)
_CALL = re.compile(
    rf"(?:torch(?:{_SPACE}autograd)*+|ops{_SPACE}(?:{'|'.join(_NAMESPACES)}))"
    rf"{_SPACE}(?!(?:{'|'.join(_REACHING)}|autograd)\b)\w++\s*+\(",
    re.ASCII,
)
_FOREIGN_CLASS = re.compile(r"\btorch\s*\.\s*classes\s*\.\s*(?!quantized\b)\w+", re.ASCII)


@dataclass(frozen=True)
class Archive:
    """What an archive shows unloaded.

    Attributes
    ----------
    format : int
        Version of the archive's format; a library refuses those newer than it knows.
    reaches : tuple of str
        What in its code may touch files, processes, machines or other libraries.
    error : str or None
        Why it cannot be read.
    """

    format: int = 0
    reaches: tuple[str, ...] = ()
    error: str | None = None


def read_archive(path: Path) -> Archive:
    """Look through an archive without loading it; whatever is wrong with it becomes its ``error``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except ZipError as error:
        return Archive(error=str(error))
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return Archive(error=f"not readable ({' '.join(str(error).split())})")


def _read(archive: zipfile.ZipFile) -> Archive:
    found = entries(archive)
    if "model.json" in (name.lower() for name in found):
        raise ZipError("of torch before 1.4, whose archives are not looked through")
    code = [entry for name, entry in found.items() if name.lower().startswith("code/") and name.lower().endswith(".py")]
    pickles = [entry for name, entry in found.items() if name.lower().endswith(".pkl")]
    if not code or "data.pkl" not in found:
        raise ZipError("no TorchScript archive: it holds no code (a state dict?)")
    for what, listed in (("code", code), ("pickles", pickles)):
        if sum(entry.file_size for entry in listed) > MAX_BYTES:
            raise ZipError(f"its {what} take more than {MAX_BYTES >> 20} MB: no network's do")
    reaches: dict[str, None] = {}
    for entry in code:
        reaches.update(dict.fromkeys(reaching(archive.read(entry).decode())))
    for entry in pickles:
        named = _FOREIGN_CLASS.findall(archive.read(entry).decode("latin-1"))
        reaches.update(dict.fromkeys(named))
    version = int(archive.read(found["version"])) if "version" in found else 1
    return Archive(version, tuple(reaches)[:_MOST])


def reaching(code: str) -> Iterator[str]:
    """Yield what a text of code holds that may reach beyond the computation.

    ``torch`` and ``ops`` may only be called through: handed on by another name, they could lead anywhere. Quotes that
    torch itself never writes are reported as well: libtorch may see the end of a text elsewhere.

    Examples
    --------
    >>> list(reaching("image = torch.add(image, ops.prim.NumToTensor(1))"))
    []
    >>> list(reaching('write = torch.save'))
    ['torch.save']
    """
    if '"""' in code:
        yield "text in three quotes"
    bare = _STRING_OR_COMMENT.sub(lambda found: " " if found["end"] or found["comment"] is not None else "'", code)
    if "'" in bare:
        yield "text in odd quotes"
    for root in _ROOT.finditer(bare):
        if not _CALL.match(bare, root.start()):
            yield re.sub(r"\s", "", bare[root.start() : root.start() + 40]).partition("(")[0]
    yield from _FOREIGN_CLASS.findall(bare)
