"""A TorchScript archive, read without running any of it.

An archive is a zip that holds its network's code as text, in a dialect of Python, and its tensors beside a pickle. The
pickle's structure is read by an unpickler that knows no function and no class.
"""

import ast
import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmz_export.evidence.pickles import damage
from bmz_export.evidence.torchscript.code import parse

_MOST_CODE = 64 * 2**20


class ArchiveError(Exception):
    """Why a file cannot be read as an archive, without the file's name."""


@dataclass(frozen=True)
class Archive:
    """An archive's code and structure.

    Attributes
    ----------
    version
        Of the archive's format; a library refuses those newer than it knows.
    sources
        From dotted module name (``__torch__.torch.nn.modules.conv``) to the code as text.
    trees
        The same as syntax trees; None where the text cannot be parsed.
    root
        The network as the pickle describes it: ``Inert`` objects with attributes, tensors as ``TensorShape``.
    """

    version: int
    sources: dict[str, str]
    trees: dict[str, ast.Module | None]
    root: Any

    def functions(self) -> dict[str, ast.FunctionDef]:
        """Return each function and method by its full name, such as ``__torch__.Net.forward``."""
        found = {}
        for module, tree in self.trees.items():
            for statement in tree.body if tree else ():
                if isinstance(statement, ast.ClassDef):
                    for method in statement.body:
                        if isinstance(method, ast.FunctionDef):
                            found[f"{module}.{statement.name}.{method.name}"] = method
                elif isinstance(statement, ast.FunctionDef):
                    found[f"{module}.{statement.name}"] = statement
        return found

    def modules(self) -> Iterator["Inert"]:
        """Yield the network and all modules in it."""
        waiting, seen = [self.root], set()
        while waiting:
            each = waiting.pop()
            if isinstance(each, Inert) and id(each) not in seen:
                seen.add(id(each))
                waiting += each.attributes.values()
                yield each


@dataclass(frozen=True)
class TensorShape:
    """A tensor of the archive, of which only the shape was read."""

    shape: tuple[int, ...]


@dataclass
class Inert:
    """An object of the archive's pickle: the name of its class and its attributes, nothing that could run."""

    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 -- whatever the archive holds
        if isinstance(state, dict):
            self.attributes.update(state)


def read_archive(path: Path) -> Archive:
    """Read an archive's code and structure; no tensor is loaded and nothing of it runs.

    Raises
    ------
    ArchiveError
        Where the file is no TorchScript archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArchiveError(f"not readable ({error})") from error


def _read(archive: zipfile.ZipFile) -> Archive:
    entries = _entries(archive)
    code = {name[5:-3]: entry for name, entry in entries.items() if _is_code(name)}
    data = entries.get("data.pkl")
    if not code or data is None:
        raise ArchiveError("no TorchScript archive: it holds no code (a state dict?)")
    if sum(entry.file_size for entry in (data, *code.values())) > _MOST_CODE:
        raise ArchiveError(f"its code and structure take more than {_MOST_CODE >> 20} MB: no network does")
    sources = {name.replace("/", "."): archive.read(entry).decode() for name, entry in code.items()}
    version = int(archive.read(entries["version"])) if "version" in entries else 1
    trees = {name: parse(text) for name, text in sources.items()}
    return Archive(version, sources, trees, _structure(archive.read(data)))


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries that libtorch sees, by their name in the archive's folder; it looks them up in any case."""
    listed = archive.infolist()
    cut = damage(archive)
    if cut:
        raise ArchiveError(cut)
    if min((entry.header_offset for entry in listed), default=0):
        raise ArchiveError("something stands before the zip: libtorch may read that in its place")
    folder = listed[0].filename.partition("/")[0].lower() + "/" if listed else ""
    entries: dict[str, zipfile.ZipInfo] = {}
    seen = set()
    for entry in listed:
        name = entry.filename
        if name.lower() in seen:
            raise ArchiveError(f"it holds {name} twice: readers differ in which they take")
        seen.add(name.lower())
        if name.lower().startswith(folder):
            entries[name[len(folder) :]] = entry
    if "model.json" in (name.lower() for name in entries):
        raise ArchiveError("of torch before 1.4, whose archives are not looked through")
    return entries


def _is_code(name: str) -> bool:
    return name.lower().startswith("code/") and name.lower().endswith(".py")


def _structure(data: bytes) -> Any:  # noqa: ANN401 -- whatever the archive holds
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception:  # noqa: BLE001 -- opcodes in any order raise errors of any kind
        return None


class _Reader(pickle._Unpickler):  # the one in Python: the other's memory grows with a number in the file
    """Knows no class and no function of Python: every name in the pickle stands for an inert value."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 -- the base class's type
        """Return something inert for any name."""
        if name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return lambda _storage, _offset, size, *_more: TensorShape(tuple(size))
        if name == "_rebuild_parameter":
            return lambda tensor, *_more: tensor
        if name in ("restore_type_tag", "build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"):
            return lambda value, *_more: value
        return _kind(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 -- the base class's type
        """Leave tensors' data where they are."""
        return None


def _kind(name: str) -> type[Inert]:
    def new(_cls: type, *_arguments: Any) -> Inert:  # noqa: ANN401 -- whatever the archive holds
        return Inert(name)

    return type("Kind", (Inert,), {"__new__": new, "__init__": lambda self, *_arguments: None})
