"""What a package's architecture file defines and imports, and what it would run at import; it is never run here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
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

    kind: str
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
    imports : frozenset of str
        Top-level names of the modules that it imports anywhere; relative ones begin with a dot.
    at_import : tuple of (int, str)
        Number and text of the lines that import beyond a short list, or do more at import than define.
    error : str or None
        Why it cannot be read.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    imports: frozenset[str] = field(default=frozenset())
    at_import: tuple[tuple[int, str], ...] = ()
    error: str | None = None

    @property
    def foreign(self) -> list[str]:
        """Imports beyond the standard library, torch and numpy."""
        own = sys.stdlib_module_names | {"torch", "numpy", "__future__"}
        return sorted(name for name in self.imports if name not in own)


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
    lines = text.decode(errors="replace").splitlines()
    numbers = sorted({node.lineno for node in islice(_AtImport(tree).beyond(tree.body), _MOST)})
    at_import = tuple((number, _printable(lines[number - 1])) for number in numbers)
    return Source(definitions, frozenset(_imports(tree)), at_import)


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
        return _signature("function", node.args, skip=0)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature("class", item.args, skip=1)
    plain = all(isinstance(base, ast.Attribute) and base.attr == "Module" for base in node.bases)
    return Definition("class", open=not plain or bool(node.decorator_list))


def _signature(kind: str, arguments: ast.arguments, skip: int) -> Definition:
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][skip:]
    optional = len(arguments.defaults)
    required = positional[: len(positional) - optional] if optional else positional
    keyword = [argument.arg for argument in arguments.kwonlyargs]
    needed = [name for name, default in zip(keyword, arguments.kw_defaults, strict=True) if default is None]
    only = {argument.arg for argument in arguments.posonlyargs}
    return Definition(
        kind, frozenset({*positional, *keyword} - only), frozenset({*required, *needed}), arguments.kwarg is not None
    )


class _AtImport:
    """Finds what the import of a file would run beyond imports of a short list, definitions and constants."""

    def __init__(self, tree: ast.Module) -> None:
        self.imported: dict[str, str] = {}
        self.rebound: set[str] = set()  # names that do not, or not always, mean the builtin or what was imported
        self.functions: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._note(alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else None)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._note(alias.asname or alias.name, f"{node.module}.{alias.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.add(node.name)
            elif isinstance(node, ast.ClassDef):
                self.rebound.add(node.name)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self.rebound.add(node.id)
        self.functions -= self.rebound | self.imported.keys()
        self.rebound |= self.functions

    def _note(self, name: str, full: str | None) -> None:
        full = full or name
        if self.imported.setdefault(name, full) != full:
            self.rebound.add(name)

    def beyond(self, body: Sequence[ast.stmt], kind: type = ast.Module) -> Iterator[ast.stmt | ast.expr]:
        """Yield each statement or expression of a module's or a class's body that would do more."""
        for statement in body:
            match statement:
                case ast.Import() | ast.ImportFrom():
                    if any(name not in _MODULES for name in _imports(statement)):
                        yield statement
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    yield from self._definition(statement, kind)
                case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                    if not all(map(_is_constant, targets)):
                        yield statement
                    yield from self._calls(statement)
                case ast.If(test=test):
                    skipped = self._name(test) == "typing.TYPE_CHECKING" or _is_main(test)
                    yield from self._calls(test)
                    yield from self.beyond([*([] if skipped else statement.body), *statement.orelse], kind)
                case ast.Try():
                    yield from self._calls(*(each.type for each in statement.handlers))
                    handlers = [inner for each in statement.handlers for inner in each.body]
                    yield from self.beyond([*statement.body, *handlers, *statement.orelse, *statement.finalbody], kind)
                case ast.Expr() | ast.Assert():
                    yield from self._calls(statement)
                case ast.Pass():
                    pass
                case _:
                    yield statement

    def _definition(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, kind: type
    ) -> Iterator[ast.stmt | ast.expr]:
        yield from self._decorators(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            yield from self._calls(*node.bases)
            if any(self._name(each.value) != "abc.ABCMeta" for each in node.keywords):
                yield node
            yield from self.beyond(node.body, ast.ClassDef)
        else:
            if node.name in _HOOKS or (kind is ast.Module and _is_special(node.name)):
                yield node
            yield from self._calls(node.args, node.returns)

    def _decorators(self, decorators: Sequence[ast.expr]) -> Iterator[ast.expr]:
        for each in decorators:
            if isinstance(each, ast.Call):
                yield from self._calls(each)
            elif self._name(each) not in _CALLABLE and not self._is_setter(each):
                yield each

    def _is_setter(self, decorator: ast.expr) -> bool:
        """Whether it is that of a property: nothing else that ``def`` makes has one."""
        return (
            isinstance(decorator, ast.Attribute)
            and decorator.attr in ("setter", "deleter")
            and isinstance(decorator.value, ast.Name)
            and decorator.value.id in self.functions
        )

    def _calls(self, *nodes: ast.AST | None) -> Iterator[ast.expr]:
        """Yield each call that evaluating these would make, but for those of the list; a lambda's body waits."""
        waiting = [node for node in nodes if node is not None]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Call | ast.Await | ast.Yield | ast.YieldFrom) and not (
                isinstance(node, ast.Call) and self._name(node.func) in _CALLABLE
            ):
                yield node
            waiting += [node.args] if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node)

    def _name(self, node: ast.expr) -> str | None:
        """Return the full name of a builtin or of what was imported, None for anything else."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.rebound:
            return None
        return ".".join([self.imported.get(node.id, node.id), *reversed(parts)])


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_constant(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_constant, target.elts))
    return isinstance(target, ast.Name) and (target.id in _CONSTANTS or not _is_special(target.id))


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) == "__name__ == '__main__'"
