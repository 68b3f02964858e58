"""What a package's architecture file would do when imported, read as a syntax tree and never run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_BYTES = 8 * 2**20

_ACTING_MODULES = frozenset({
    "os", "sys", "subprocess", "socket", "shutil", "pathlib", "ctypes", "importlib", "urllib", "http", "ftplib",
    "smtplib", "ssl", "requests", "builtins", "pickle", "marshal", "shelve", "tempfile", "multiprocessing",
    "threading", "asyncio", "signal", "webbrowser", "pty", "code", "codeop", "runpy", "io", "glob", "atexit",
    "gc", "inspect", "platform", "getpass",
})  # fmt: skip
"""Modules that reach beyond the computation: importing them is no fault, calling them at import is."""
_ACTING_NAMES = frozenset({
    "exec", "eval", "compile", "open", "__import__", "input", "breakpoint", "getattr", "setattr", "delattr",
    "globals", "locals", "vars", "exit", "quit",
})  # fmt: skip
_ACTING_CALLS = frozenset({
    "torch.load", "torch.save", "torch.hub", "torch.jit.load", "torch.ops.load_library",
    "torch.classes.load_library", "torch.package", "torch.utils.cpp_extension", "torch.compile",
    "torch.set_default_device", "torch.set_default_dtype", "numpy.load", "numpy.save", "numpy.savez",
    "numpy.savetxt", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile", "numpy.memmap", "numpy.lib",
    "numpy.f2py", "numpy.distutils", "numpy.ctypeslib",
})  # fmt: skip
_PLAIN_NAMES = frozenset({
    "int", "float", "str", "bool", "bytes", "complex", "tuple", "list", "dict", "set", "frozenset", "range",
    "len", "min", "max", "sum", "abs", "round", "sorted", "reversed", "zip", "map", "filter", "enumerate", "any",
    "all", "slice", "property", "staticmethod", "classmethod", "super", "object", "isinstance", "issubclass",
    "type", "ValueError", "TypeError", "RuntimeError", "NotImplementedError", "divmod", "pow", "repr", "print",
})  # fmt: skip
_WAYS_OUT = frozenset({
    "os", "sys", "subprocess", "socket", "shutil", "ctypes", "importlib", "builtins", "pickle", "marshal", "runpy",
    "system", "popen", "__builtins__", "__globals__", "__import__", "__subclasses__", "__loader__", "__code__",
    "__getattribute__",
})  # fmt: skip
"""Attributes by which one gets from any object to the machine."""
_REACHING_NAMES = frozenset({"exec", "eval", "compile", "open", "__import__", "input", "breakpoint"})  # builtins
_REACHING_CALLS = (
    "os.system", "os.popen", "os.exec", "os.spawn", "os.fork", "os.kill", "os.remove", "os.unlink", "os.rmdir",
    "os.removedirs", "os.rename", "os.replace", "os.mkdir", "os.makedirs", "os.open", "os.write", "os.link",
    "os.symlink", "os.chmod", "os.putenv", "os.posix_spawn", "subprocess.", "socket.", "shutil.", "ctypes.", "urllib.",
    "http.", "ftplib.", "smtplib.", "requests.", "pty.", "runpy.", "pickle.load", "pickle.Unpickler", "marshal.load",
    "importlib.import_module", "builtins.", "webbrowser.", "multiprocessing.", "torch.ops.load_library",
    "torch.utils.cpp_extension.", "numpy.fromfile", "numpy.memmap", "io.open", "atexit.",
)  # fmt: skip
"""What no network needs to compute: processes, sockets, files, code from text. As beginnings of the full name."""
_CLASS_HOOKS = frozenset({"__init_subclass__", "__new__", "__init__", "__prepare__", "__call__", "__set_name__"})
_MODULE_HOOKS = frozenset({"__getattr__", "__dir__"})


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
class Function:
    """A function or method: line and text of what it does beyond computing, and the others that it may call."""

    acts: tuple[tuple[int, str], ...]
    names: frozenset[str]


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
    functions : Mapping
        From function, class or ``Class.method`` to what it does beyond computing and which others it names.
    error : str or None
        Why it cannot be read.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    imports: frozenset[str] = field(default=frozenset())
    acts: tuple[tuple[int, str], ...] = ()
    functions: Mapping[str, Function] = field(default_factory=dict)
    error: str | None = None

    def reaches(self, name: str) -> list[tuple[int, str]]:
        """Return line and text of what building and running the class or function ``name`` does beyond computing."""
        seen: dict[str, None] = {}
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each in seen or each not in self.functions:
                continue
            seen[each] = None
            waiting += self.functions[each].names
        return sorted(act for each in seen for act in self.functions[each].acts)

    @property
    def foreign(self) -> list[str]:
        """Imports beyond the standard library, torch and numpy."""
        own = sys.stdlib_module_names | {"torch", "numpy", "__future__"}
        return sorted(name for name in self.imports if name not in own)


def read_source(path: Path) -> Source:
    """Parse a Python file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return Source(error=f"{path.stat().st_size:,} bytes of Python")
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        return Source(error=f"not readable as Python ({error})")
    definitions = {
        node.name: _definition(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    try:
        found = _Acts(tree)
        return Source(definitions, frozenset(_imports(tree)), tuple(found.at_import()), dict(found.when_called()))
    except RecursionError as error:
        return Source(error=f"nested too deeply ({error})")


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


class _Acts:
    """Finds what a module does beyond defining and computing: at import, and when its functions are called.

    At import any call counts that is neither a plain constructor nor torch's or numpy's, and so does handing on a
    function that acts (``map(exec, ...)``). In functions only what reaches out of the computation by its name.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.names: dict[str, str] = {}  # local name -> what it was imported as
        self.local: dict[str, ast.AST] = {}
        self.looking: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.names[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.names[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                self.local[node.name] = node

    def at_import(self) -> Iterator[tuple[int, str]]:
        for statement in self.tree.body:
            yield from self.statement(statement)

    def when_called(self) -> Iterator[tuple[str, Function]]:
        """Yield each function; a class stands for what building and running it calls of its methods."""
        for name, node in self.local.items():
            if not isinstance(node, ast.ClassDef):
                yield name, self.function(node, "")
                continue
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            run = frozenset(f"{name}.{item.name}" for item in methods if item.name == "forward" or "__" in item.name)
            bases = frozenset(base.id for base in node.bases if isinstance(base, ast.Name))
            yield name, Function((), run | bases)
            for item in methods:
                yield f"{name}.{item.name}", self.function(item, name)

    def function(self, function: ast.AST, owner: str) -> Function:
        nodes = list(ast.walk(function))
        calls = (node for node in nodes if isinstance(node, ast.Call) and self.reaches_out(node.func))
        names = {node.id for node in nodes if isinstance(node, ast.Name) and node.id in self.local}
        own = {f"{owner}.{node.attr}" for node in nodes if isinstance(node, ast.Attribute) and owner}
        return Function(tuple((node.lineno, ast.unparse(node)[:80]) for node in calls), frozenset(names | own))

    # --- at import -----------------------------------------------------------------------------------------------

    def statement(self, node: ast.stmt) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [each for each in (node.args.vararg, node.args.kwarg) if each]
            annotations = [node.returns, *(argument.annotation for argument in arguments)]
            for expression in (*node.args.defaults, *filter(None, (*node.args.kw_defaults, *annotations))):
                yield from self.expression(expression)
            yield from self.decorators(node.decorator_list)
            if node.name in _MODULE_HOOKS and node in self.tree.body and self.local_acts(node.name):
                yield node.lineno, f"def {node.name}"
        elif isinstance(node, ast.ClassDef):
            for expression in (*node.bases, *(keyword.value for keyword in node.keywords)):
                yield from self.expression(expression)
                if isinstance(expression, ast.Name) and self.acts_on_subclasses(expression.id):
                    yield node.lineno, f"class {node.name}({expression.id})"
            yield from self.decorators(node.decorator_list)
            for inner in node.body:
                yield from self.statement(inner)
        elif isinstance(node, ast.If) and _is_main(node.test):
            for inner in node.orelse:
                yield from self.statement(inner)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            for target in _targets(node):
                head = (_dotted(target) or "").partition(".")[0]
                if head in self.names:
                    yield node.lineno, ast.unparse(node)[:80]
            yield from self.children(node)

    def decorators(self, nodes: list[ast.expr]) -> Iterator[tuple[int, str]]:
        for node in nodes:
            if not isinstance(node, ast.Call) and self.acts(node):
                yield node.lineno, f"@{ast.unparse(node)[:80]}"
            else:
                yield from self.expression(node)

    def children(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from self.statement(child)
            elif isinstance(child, ast.expr):
                yield from self.expression(child)
            else:  # handlers, cases, what a with statement opens
                yield from self.children(child)

    def expression(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        if (isinstance(node, ast.Call) and self.acts(node.func)) or self.hands_on(node):
            yield getattr(node, "lineno", 0), ast.unparse(node)[:80]
            return
        for child in ast.iter_child_nodes(node):
            yield from self.expression(child)

    def hands_on(self, node: ast.AST) -> bool:
        """Say whether this names something that acts, to be called by somebody else."""
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id].partition(".")[0] in _ACTING_MODULES
            return node.id not in self.local and node.id in _ACTING_NAMES
        return isinstance(node, ast.Attribute) and _is_a_way_out(node.attr)

    def acts(self, function: ast.expr) -> bool:
        """Say whether calling this does more than compute a value, as far as can be told."""
        dotted = _dotted(function)
        if dotted is None:  # a call of a call, of a subscript, of a lambda, or a method of a literal
            return not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant))
        head, _, rest = dotted.partition(".")
        if head in self.local and not rest:
            return self.local_acts(head)
        if any(_is_a_way_out(part) for part in rest.split(".")):
            return True
        if head in self.names:
            return _imported_acts(self.names[head] + (f".{rest}" if rest else ""))
        if rest:  # a method of a value of this file's own
            return "__" in rest
        return head in _ACTING_NAMES or head not in _PLAIN_NAMES

    def acts_on_subclasses(self, name: str) -> bool:
        """Say whether a class of this file acts as soon as another class names it as its base or metaclass."""
        node = self.local.get(name)
        hooks = {item.name for item in ast.walk(node) if isinstance(item, ast.FunctionDef)} if node else set()
        return bool(hooks & _CLASS_HOOKS) and self.local_acts(name)

    def local_acts(self, name: str) -> bool:
        if name in self.looking:
            return False
        self.looking.add(name)
        try:
            nodes = (inner for inner in ast.walk(self.local[name]) if isinstance(inner, ast.Call))
            return any(self.known(inner.func) and self.acts(inner.func) for inner in nodes)
        finally:
            self.looking.discard(name)

    def known(self, function: ast.expr) -> bool:
        head, _, rest = (_dotted(function) or "").partition(".")
        return head in self.names or head in self.local or head in _ACTING_NAMES or _is_a_way_out(rest.split(".")[0])

    # --- when called ---------------------------------------------------------------------------------------------

    def reaches_out(self, function: ast.expr) -> bool:
        dotted = _dotted(function)
        if dotted is None:
            return False
        head, _, rest = dotted.partition(".")
        if head not in self.names:
            return (dotted in _REACHING_NAMES and head not in self.local) or "os.system" in dotted
        full = self.names[head] + (f".{rest}" if rest else "")
        return full.startswith(_REACHING_CALLS) or any(_is_a_way_out(part) for part in rest.split("."))


def _imported_acts(full: str) -> bool:
    top = full.partition(".")[0]
    if top in ("torch", "numpy"):
        return any(full == name or full.startswith(f"{name}.") for name in _ACTING_CALLS)
    return top in _ACTING_MODULES or top not in sys.stdlib_module_names


def _is_a_way_out(attribute: str) -> bool:
    """Say whether an attribute of that name leads from any module to the machine: ``torch.serialization.os``."""
    return attribute in _WAYS_OUT


def _targets(node: ast.stmt) -> list[ast.expr]:
    """Return the attributes and items that a statement replaces."""
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [getattr(node, "target", None)]
    flat = [
        part for each in targets if each for part in ast.walk(each) if isinstance(part, ast.Attribute | ast.Subscript)
    ]
    return [each.value if isinstance(each, ast.Subscript) else each for each in flat]


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _is_main(test: ast.expr) -> bool:
    """Say whether this is ``__name__ == "__main__"``, which holds in none of the tools."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
        and len(test.ops) == 1
    )
