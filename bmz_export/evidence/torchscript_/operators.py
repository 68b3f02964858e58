"""What a TorchScript archive will meet in each tool's libtorch, read from its code without running any of it.

An archive is a zip that holds its network's code as text, in a dialect of Python, and its tensors beside a pickle. The
code is read as a syntax tree; the pickle's structure is read by an unpickler that knows no function and no class.
"""

import ast
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from training.errors import UserError

TABLE = Path(__file__).with_name("operators") / "libtorch.json"
"""The operators of each libtorch, as ``ci/operator_tables.py`` wrote them."""

_MOST_CODE = 64 * 2**20
_LOOKED_UP = re.compile(r"\b(?:torch|ops\.\w+)\.(\w+)\(")
_NO_OPERATORS = {"device", "jit"}


@dataclass(frozen=True)
class Archive:
    """An archive's code and structure.

    Attributes
    ----------
    name
        The file's name.
    version
        Of the archive's format; a library refuses those newer than it knows.
    sources
        From dotted module name (``__torch__.torch.nn.modules.conv``) to the code as text.
    trees
        The same as syntax trees; None where the text is not Python's grammar.
    root
        The network as the pickle describes it: ``Inert`` objects with attributes, tensors as ``TensorShape``.
    """

    name: str
    version: int
    sources: dict[str, str]
    trees: dict[str, ast.Module | None]
    root: Any


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
    UserError
        Where the file is no TorchScript archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {name.partition("/")[2]: name for name in archive.namelist()}
            code = {
                inner: name for inner, name in entries.items() if inner.startswith("code/") and inner.endswith(".py")
            }
            wanted = [*code.values(), *(entries[name] for name in ("version", "data.pkl") if name in entries)]
            if not code or "data.pkl" not in entries:
                raise UserError(f"{path.name}: it is a zip but no TorchScript archive: save it with torch.jit.save")
            if sum(archive.getinfo(name).file_size for name in wanted) > _MOST_CODE:
                raise UserError(
                    f"{path.name}: its code and structure take more than {_MOST_CODE >> 20} MB: no network does"
                )
            sources = {
                inner.removeprefix("code/").removesuffix(".py").replace("/", "."): archive.read(name).decode()
                for inner, name in code.items()
            }
            version = int(archive.read(entries["version"])) if "version" in entries else 1
            root = _structure(archive.read(entries["data.pkl"]))
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise UserError(f"{path.name}: it cannot be read as a TorchScript archive: {error}") from error
    return Archive(path.name, version, sources, {name: _tree(text) for name, text in sources.items()}, root)


def unknown_operators(archive: Path | Archive, libtorch: str) -> list[str]:
    """Return what an archive's code calls that a libtorch does not know; it then refuses to load the archive.

    Parameters
    ----------
    archive
        The file, or what ``read_archive`` returned.
    libtorch
        A version of the table, such as ``"1.13.1"`` or ``"libtorch-1.13.1"``.

    Returns
    -------
    list of str
        Names such as ``aten::rms_norm``; where the operator is known but not in this form, also the arguments; where
        the archive's format is newer than the library, that.
    """
    archive = archive if isinstance(archive, Archive) else read_archive(archive)
    version = libtorch.removeprefix("libtorch-")
    table = _table()
    if version not in table["versions"]:
        raise ValueError(f"no table for libtorch {version}: there is one for {', '.join(table['versions'])}")
    unknown = set()
    newest = table["format"][f"libtorch-{version}"]
    if archive.version > newest:
        unknown.add(f"archive format {archive.version} (it reads up to {newest})")
    for name, call in _calls(archive):
        signatures = [s for s, known in table["operators"].get(name, {}).items() if known is None or version in known]
        if not signatures:
            unknown.add(name)
        elif call is not None and not any(_fits(signature, call) for signature in signatures):
            words = ", ".join(keyword.arg or "**" for keyword in call.keywords)
            unknown.add(f"{name} with {len(call.args)} arguments" + (f" and {words}" if words else ""))
    return sorted(unknown)


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


def operator_name(function: ast.expr) -> str | None:
    """Return the operator that a called expression names, such as ``aten::add`` for ``torch.add``, or None.

    Examples
    --------
    >>> operator_name(ast.parse("ops.prim.data", mode="eval").body)
    'prim::data'
    """
    if not isinstance(function, ast.Attribute):
        return None
    owner = function.value
    if isinstance(owner, ast.Name) and owner.id == "torch":
        return None if function.attr in _NO_OPERATORS else f"aten::{function.attr}"
    if isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "ops":
        return f"{owner.attr}::{function.attr}"
    return None


def _short(argument: str) -> str:
    if argument in ("*", "..."):
        return argument
    declared, equals, _ = argument.partition("=")
    return declared.split()[-1] + equals


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _calls(archive: Archive) -> Iterator[tuple[str, ast.Call | None]]:
    """Yield every operator that the code calls, and the call where the code could be parsed."""
    for module, tree in archive.trees.items():
        if tree is None:
            for found in _LOOKED_UP.finditer(archive.sources[module]):
                space, _, name = found.group(0).removesuffix("(").rpartition(".")
                if name not in _NO_OPERATORS:
                    yield f"{'aten' if space == 'torch' else space.removeprefix('ops.')}::{name}", None
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                operator = operator_name(node.func)
                if operator is not None:
                    yield operator, node


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


def _structure(data: bytes) -> Any:  # noqa: ANN401 -- whatever the archive holds
    try:
        return _Reader(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, IndexError, KeyError, TypeError, RecursionError):
        return None


class _Reader(pickle.Unpickler):
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
