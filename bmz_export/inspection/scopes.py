"""What the names in a Python file mean: each scope with all that it binds, whenever it does."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True, eq=False)
class Value:
    """A value that a name is given by a plain assignment; None where it is given in another way."""

    expression: ast.expr | None
    scopes: tuple[Scope, ...] = ()


@dataclass(frozen=True)
class Import:
    """What a name was imported as, in full."""

    name: str


Meaning = Value | Import | Definition


@dataclass(eq=False)
class Scope:
    """A module, class, function, lambda or comprehension: from each name that it binds to all that this may mean.

    Attributes
    ----------
    stars : dict
        Modules of which it imports everything.
    """

    kind: Literal["module", "class", "function", "expression"]
    names: dict[str, list[Meaning]] = field(default_factory=dict)
    stars: dict[str, None] = field(default_factory=dict)

    def bind(self, name: str, meaning: Meaning) -> None:
        """Add a meaning of a name."""
        self.names.setdefault(name, []).append(meaning)


class Scopes:
    """All scopes of a file.

    Attributes
    ----------
    module : Scope
        The file's own.
    around : dict
        From each class and function to the scopes in which its names are looked up, outermost first.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope("module")
        self.around: dict[ast.AST, tuple[Scope, ...]] = {}
        self.within: dict[ast.AST, tuple[Scope, ...]] = {tree: (self.module,)}
        waiting: list[tuple[ast.AST, tuple[Scope, ...]]] = [(tree, (self.module,))]
        while waiting:
            node, scopes = waiting.pop()
            for inner in self._fill(node, scopes):
                outer = scopes if scopes[-1].kind != "class" or isinstance(inner, ast.ClassDef) else scopes[:-1]
                self.around[inner] = outer
                own = Scope("class" if isinstance(inner, ast.ClassDef) else "function")
                self.within[inner] = (*outer, own)
                waiting.append((inner, (*outer, own)))

    def _fill(self, owner: ast.AST, scopes: tuple[Scope, ...]) -> Iterator[Definition]:
        """Bind what a scope's statements bind, and yield the classes and functions right in it."""
        scope, elsewhere = scopes[-1], set()
        if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
            for argument in arguments(owner.args):
                scope.bind(argument.arg, Value(None))
        for node in _inside(owner):
            if isinstance(node, Definition):
                scope.bind(node.name, node)
                yield node
            elif isinstance(node, ast.Global | ast.Nonlocal):
                elsewhere |= set(node.names)
            else:
                _bind(scope, node, scopes)
        if scope.kind == "function":
            for name in elsewhere & set(scope.names):
                self.module.names.setdefault(name, []).extend(scope.names.pop(name))


def arguments(given: ast.arguments) -> list[ast.arg]:
    """Return all arguments that a function or lambda declares."""
    plain = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return plain + [each for each in (given.vararg, given.kwarg) if each]


def _inside(owner: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope: not those inside the classes, functions and lambdas in it."""
    waiting: list[ast.AST] = list(owner.body) if isinstance(owner, ast.Module | Definition) else []
    while waiting:
        node = waiting.pop()
        yield node
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, Definition):
            children = [each for name, value in ast.iter_fields(node) if name != "body" for each in _nodes(value)]
        elif isinstance(node, ast.Lambda):
            children = [node.args]
        elif isinstance(node, ast.comprehension):  # its variable is the comprehension's own
            children = [node.iter, *node.ifs]
        waiting.extend(children)


def _nodes(value: object) -> list[ast.AST]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST)]


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _bind(scope: Scope, node: ast.AST, scopes: tuple[Scope, ...]) -> None:
    if isinstance(node, ast.Assign | ast.AnnAssign) and scope.kind != "function":
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for name in _stored(target):
                scope.bind(name, Value(node.value, scopes))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        _bind_imports(scope, node)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        scope.bind(node.id, Value(None))
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        scope.bind(node.name, Value(None))
    elif isinstance(node, ast.MatchMapping) and node.rest:
        scope.bind(node.rest, Value(None))


def _bind_imports(scope: Scope, node: ast.Import | ast.ImportFrom) -> None:
    origin = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if isinstance(node, ast.Import):
            first = alias.name.partition(".")[0]
            scope.bind(alias.asname or first, Import(alias.name if alias.asname else first))
        elif alias.name == "*":
            scope.stars[origin] = None
        else:
            scope.bind(alias.asname or alias.name, Import(f"{origin}.{alias.name}"))
