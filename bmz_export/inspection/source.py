"""What a package's architecture file would do when imported, read as a syntax tree and never run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmz_export.inspection.acts import Act, Acts

MAX_BYTES = 2**19
"""Of Python; its syntax tree takes a thousand times the memory. The largest of ours has 40 kB."""


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
    acts : tuple of (int, str)
        Line and text of what it would do at import beyond defining.
    file : Acts or None
        What would run, to be followed from any of its classes and functions.
    error : str or None
        Why it cannot be read.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    imports: frozenset[str] = field(default=frozenset())
    acts: tuple[Act, ...] = ()
    file: Acts | None = None
    error: str | None = None

    def reaches(self, name: str) -> tuple[Act, ...]:
        """Return line and text of what building and running the class or function ``name`` does beyond computing."""
        return self.file.when_called(name) if self.file else ()

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
    file = Acts(tree, text)
    return Source(definitions, frozenset(_imports(tree)), file.at_import(), file)


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
