"""What a package's architecture file defines and imports, and what it would run at import; it is never run here."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

MAX_BYTES = 2**19
"""Of Python; its syntax tree takes a thousand times the memory. The largest of ours has 40 kB."""
_MOST = 20  # lines that are named
_MODULES = frozenset((
    "__future__", "abc", "collections", "copy", "dataclasses", "functools", "itertools", "logging", "math",
    "numbers", "numpy", "torch", "typing", "typing_extensions", "warnings",
))  # fmt: skip
"""What a file may import without a warning; what it may call of them at import stands below."""
_CALLABLE = frozenset((
    "bool", "classmethod", "dict", "float", "frozenset", "int", "list", "property", "range", "set", "staticmethod",
    "str", "tuple", "abc.abstractmethod", "collections.OrderedDict", "collections.namedtuple",
    "dataclasses.dataclass", "dataclasses.field", "functools.cache", "functools.cached_property",
    "functools.lru_cache", "functools.partial", "logging.getLogger", "math.log", "math.sqrt", "torch.Size",
    "torch.inference_mode", "torch.jit.export", "torch.jit.ignore", "torch.jit.unused", "torch.no_grad",
    "torch.ones", "torch.tensor", "torch.zeros", "typing.TypeVar", "typing.final", "typing.overload",
))  # fmt: skip
"""Builtins and functions that call nothing of the file: as decorators, and in constants and default values."""
_CONSTANTS = frozenset(("__all__", "__author__", "__constants__", "__license__", "__slots__", "__version__"))
_HOOKS = frozenset(("__class_getitem__", "__init_subclass__", "__mro_entries__", "__prepare__", "__set_name__"))
"""Methods that Python calls while it makes a class or reads ``Name[...]``."""


@dataclass(frozen=True)
class Definition:
    """A class or function that the file defines, and what it may be called with."""

    parameters: frozenset[str] = field(default=frozenset())
    required: frozenset[str] = field(default=frozenset())
    open: bool = False  # takes further keywords, or its constructor is inherited

    def misfit(self, kwargs: Mapping[str, Any]) -> str | None:
        """Say why a call with these keywords would fail, None where it would not."""
        unknown = sorted(set(kwargs) - self.parameters)
        missing = sorted(self.required - set(kwargs))
        if unknown and not self.open:
            return f"it takes no argument {unknown[0]!r}"
        return f"it needs the argument {missing[0]!r}" if missing else None


@dataclass(frozen=True)
class Source:
    """What a Python file shows.

    Attributes
    ----------
    definitions : Mapping
        Classes and functions at its top level.
    foreign : tuple of str
        Modules that it imports beyond the standard library, torch and numpy; relative ones begin with a dot.
    at_import : tuple of (int, str)
        Number and text of the lines that import beyond a short list, or do more at import than define.
    acts : tuple of (int, str)
        Those of them that do more than import.
    error : str or None
        Why it cannot be read.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    at_import: tuple[tuple[int, str], ...] = ()
    acts: tuple[tuple[int, str], ...] = ()
    error: str | None = None


def read_source(path: Path) -> Source:
    """Parse a Python file; whatever is wrong with it becomes its ``error``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return Source(error=f"{path.stat().st_size:,} bytes of Python: no network needs so many")
        return _read(path.read_bytes())
    except RecursionError as error:
        return Source(error=f"nested too deeply ({error})")
    except Exception as error:  # noqa: BLE001 -- a stranger's file may be wrong in any way
        return Source(error=f"not readable as Python ({error})")


def _read(text: bytes) -> Source:
    tree = ast.parse(text)
    definitions = {
        node.name: _definition(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    lines = re.split(r"\r\n|\r|\n", text.decode(errors="replace"))
    found = [*_AtImport(tree).beyond(tree)]
    acts = _lines_of((node for node in found if not isinstance(node, ast.Import | ast.ImportFrom)), lines)
    foreign = {*_imports(tree)} - sys.stdlib_module_names - {"torch", "numpy"}
    return Source(definitions, tuple(sorted(foreign)), _lines_of(found, lines), acts)


def _lines_of(nodes: Iterable[ast.AST], lines: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Return number and text of the lines where the first few nodes stand."""
    numbers = sorted({getattr(node, "lineno", 1) for node in islice(nodes, _MOST)})
    return tuple((number, _printable(lines[number - 1])) for number in numbers)


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in line.strip())[:100]


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "").partition(".")[0]


def _definition(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Definition:
    if not isinstance(node, ast.ClassDef):
        return _signature(node.args, skip=0)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item.args, skip=1)
    plain = all(isinstance(base, ast.Attribute) and base.attr == "Module" for base in node.bases)
    return Definition(open=not plain or bool(node.decorator_list))


def _signature(arguments: ast.arguments, skip: int) -> Definition:
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][skip:]
    optional = len(arguments.defaults)
    required = positional[: len(positional) - optional] if optional else positional
    keyword = [argument.arg for argument in arguments.kwonlyargs]
    needed = [name for name, default in zip(keyword, arguments.kw_defaults, strict=True) if default is None]
    only = {argument.arg for argument in arguments.posonlyargs}
    return Definition(
        frozenset({*positional, *keyword} - only), frozenset({*required, *needed}), arguments.kwarg is not None
    )


class _AtImport:
    """Finds what the import of a file would run beyond imports of a short list, definitions and constants."""

    def __init__(self, tree: ast.Module) -> None:
        self.meanings: dict[str, set[str]] = {}  # of each name that the file binds: what was imported, or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for alias in node.names:
                    name = alias.asname or (alias.name if above else alias.name.partition(".")[0])
                    self._bind(name, above + alias.name if alias.asname or above else name)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._bind(node.name, "def" if not isinstance(node, ast.ClassDef) else "")
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._bind(node.id, "")

    def _bind(self, name: str, meaning: str) -> None:
        self.meanings.setdefault(name, set()).add(meaning)

    def beyond(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what would do more, of all that is evaluated when ``node`` is: not the bodies of functions."""
        if self._does_more(node):
            yield node
        yield from (each for each in getattr(node, "decorator_list", ()) if not self._decorates(each))
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inner: list[ast.AST | None] = [node.args, node.returns, *node.decorator_list]
            case ast.Lambda():
                inner = [node.args]
            case ast.If(test=test) if self._name(test) == "typing.TYPE_CHECKING" or _is_main(test):
                inner = [*node.orelse]
            case _:
                inner = [*ast.iter_child_nodes(node)]
        for each in filter(None, inner):
            yield from self.beyond(each)

    def _does_more(self, node: ast.AST) -> bool:
        match node:
            case ast.Import() | ast.ImportFrom():
                return any(name not in _MODULES for name in _imports(node))
            case ast.Call():
                return self._name(node.func) not in _CALLABLE
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return node.name in _HOOKS
            case ast.ClassDef():
                return any(self._name(each.value) != "abc.ABCMeta" for each in node.keywords)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                return name.startswith("__") and name not in _CONSTANTS
            case _:  # an assignment may change a library
                return isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)

    def _decorates(self, node: ast.expr) -> bool:
        """Whether a decorator runs nothing of the file: one of the list, or a property's, which only ``def`` makes."""
        if isinstance(node, ast.Attribute) and node.attr == "setter" and isinstance(node.value, ast.Name):
            return self.meanings.get(node.value.id) == {"def"}
        return isinstance(node, ast.Call) or self._name(node) in _CALLABLE  # a call is looked at by itself

    def _name(self, node: ast.expr) -> str | None:
        """Return the full name of a builtin or of what was imported, None for anything else."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        meanings = self.meanings.get(node.id, {node.id}) if isinstance(node, ast.Name) else {""}
        return ".".join([*meanings, *reversed(parts)]) if len(meanings) == 1 and "" not in meanings else None


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) == "__name__ == '__main__'"
