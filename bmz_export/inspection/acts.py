"""What a Python file does beyond computing when it is imported, and when something in it is called.

Nothing runs. What would run is followed: a statement of the module; a function or class as soon as its name is used,
for whoever gets it may call it; a method as soon as its name is used on anything while its class is in use. In all of
that, each name of a library must be one that only computes (``bmz_export.inspection.computing``); every other is
an act. So every value that moves about is harmless, and calling what nobody can tell is harmless too.

A name is not used where it is only kept: in an annotation, in a class's bases, on the right of a plain assignment until
the name on the left is used.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bmz_export.inspection.computing import (
    LOOKED_UP,
    STARS,
    computes_alone,
    harmless,
    is_builtin,
    is_namespace,
    is_plain,
    leads_out,
)
from bmz_export.inspection.scopes import Definition, Function, Import, Meaning, Scope, Scopes, Value, arguments

Act = tuple[int, str]
Key = tuple[str, ast.AST]

_MOST_ACTS = 100
_MOST_NAMES = 64
_MOST_BEGINNINGS = 64
_ACTING_IMPORTS = re.compile(r"(.*\.)?__main__|(antigravity|this|idlelib|turtledemo|test|lib2to3|ensurepip)(\..*)?")
"""Modules of Python's own that do something when they are imported."""
_GENERIC = {"dict", "frozenset", "list", "set", "tuple", "type"}
_TYPES = ("typing.", "typing_extensions.", "collections.abc.", "numpy.typing.")
_PLAIN_BASES = ("abc.", "typing.", "collections.", "builtins.")  # whose subclasses just come to be
_MODULE_HOOKS = ("__getattr__", "__dir__")  # what Python calls of a module by itself
_HOOKS = frozenset({
    "forward", "backward", "setup_context", "vjp", "jvp", "vmap", "symbolic", "train", "eval", "to", "apply", "_apply",
    "cuda", "cpu", "float", "half", "double", "type", "state_dict", "load_state_dict", "_load_from_state_dict",
    "_save_to_state_dict", "get_extra_state", "set_extra_state", "parameters", "named_parameters", "buffers",
    "named_buffers", "children", "named_children", "modules", "named_modules", "requires_grad_", "zero_grad",
    "extra_repr", "_get_name", "register_parameter", "register_buffer", "register_module", "add_module",
    "reset_parameters", "_reset_parameters", "_call_impl", "_generate_next_value_", "_missing_", "mro",
})  # fmt: skip
"""What torch and Python call of a class by themselves, beside its special methods."""
_SELF = ("self", "cls")
_OF_PROPERTY = ("setter", "getter", "deleter")
_COMPILES = ("torch.jit.script", "torch.jit.script_method", "torch.jit.script_if_tracing", "torch.jit.trace")
_TYPE_COMMENT = re.compile(rb"#\s*type:(?!\s*ignore)")


class Acts:
    """The acts of one file.

    Parameters
    ----------
    tree : ast.Module
        Its syntax.
    text : bytes
        What the tree was parsed from.
    """

    def __init__(self, tree: ast.Module, text: bytes) -> None:
        self.tree = tree
        self.lines = text.splitlines()
        self.scopes = Scopes(tree)
        self.evaluates_comments = _TYPE_COMMENT.search(text) is not None

    def at_import(self) -> tuple[Act, ...]:
        """Return line and text of what importing the file does beyond defining."""
        run = _Run(self)
        run.use("module", self.tree)
        for name in _MODULE_HOOKS:
            run.use_meanings(self.scopes.module.names.get(name, []))
        return run.finish()

    def when_called(self, name: str) -> tuple[Act, ...]:
        """Return line and text of what calling a class or function of the file, and what it returns, does."""
        run = _Run(self)
        run.use_meanings(self.scopes.module.names.get(name, []))
        return run.finish()


class _Run:
    """Follows all that would run, from one beginning."""

    def __init__(self, file: Acts) -> None:
        self.file = file
        self.scopes: tuple[Scope, ...] = ()
        self.waiting: list[Key] = []
        self.seen: set[Key] = set()
        self.acts: dict[Act, None] = {}
        self.members: dict[str, list[Meaning]] = {}  # of the classes in use, by name
        self.attributes: set[str] = set()  # names used on anything
        self.beginnings: set[str] = set()  # of names that are made while it runs
        self.meant: dict[tuple[str, tuple[Scope, ...]], tuple[list[Meaning], bool]] = {}
        self.names: dict[int, list[str]] = {}  # in full, of the lists of meanings
        self.others: dict[int, bool] = {}  # whether such a list holds anything else
        self.used: set[tuple[str, int]] = set()  # lists of meanings that were followed
        self.kept: list[Scope] = []
        self.looked_up = False  # whether something of a library is taken by a name made while it runs
        self.look_ups: list[ast.AST] = []  # the same of a value that nobody can tell

    # --- what is in use ------------------------------------------------------------------------------------------

    def use(self, kind: str, node: ast.AST) -> None:
        if (kind, node) not in self.seen:
            self.seen.add((kind, node))
            self.waiting.append((kind, node))

    def use_meanings(self, meanings: Sequence[Meaning]) -> None:
        for meaning in meanings:
            if isinstance(meaning, Definition):
                self.use("class" if isinstance(meaning, ast.ClassDef) else "function", meaning)
            elif isinstance(meaning, Value) and meaning.expression is not None:
                with self.within(meaning.scopes):
                    if ("value", meaning.expression) not in self.seen:
                        self.seen.add(("value", meaning.expression))
                        self.expression(meaning.expression)

    def is_new(self, how: str, meanings: list[Meaning]) -> bool:
        """Say whether all that a name may mean is met like this for the first time."""
        key = (how, id(meanings))
        new = key not in self.used
        self.used.add(key)
        return new

    def use_attribute(self, name: str) -> None:
        if name not in self.attributes:
            self.attributes.add(name)
            self.use_meanings(self.members.get(name, []))

    def use_beginning(self, beginning: str) -> None:
        if len(self.beginnings) >= _MOST_BEGINNINGS:
            beginning = ""
        if beginning not in self.beginnings:
            self.beginnings.add(beginning)
            for name in [name for name in self.members if name.startswith(beginning)]:
                self.use_attribute(name)

    def finish(self) -> tuple[Act, ...]:
        while self.waiting and len(self.acts) < _MOST_ACTS:
            kind, node = self.waiting.pop()
            with self.within(self.file.scopes.within[node]):
                if isinstance(node, ast.Module):
                    self.body(node.body)
                elif isinstance(node, Function):
                    self.function(node)
                elif isinstance(node, ast.ClassDef):
                    self.class_in_use(node) if kind == "class" else self.class_below(node)
        if self.looked_up:
            for node in self.look_ups:
                self.act(node)
        return tuple(sorted(self.acts))

    def act(self, node: ast.AST) -> None:
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        text = self.file.lines[line - 1][column : column + 80].decode(errors="replace") if line else ""
        self.acts[(line, "".join(each if each.isprintable() else "?" for each in text).strip())] = None

    @contextmanager
    def within(self, scopes: tuple[Scope, ...]) -> Iterator[None]:
        before, self.scopes = self.scopes, scopes
        try:
            yield
        finally:
            self.scopes = before

    def local(self, names: Iterator[str]) -> Scope:
        """Return a scope of names that may stand for anything; it is kept, since lists of meanings are told by id."""
        scope = Scope("expression")
        for name in names:
            scope.bind(name, Value(None))
        self.kept.append(scope)
        return scope

    # --- what names mean -----------------------------------------------------------------------------------------

    def meanings(self, name: str) -> tuple[list[Meaning], bool]:
        """Return all that a name may mean here, and whether that may be a builtin too."""
        scopes = self.scopes
        while scopes[-1].kind == "expression":
            if name in scopes[-1].names:
                return scopes[-1].names[name], False
            scopes = scopes[:-1]
        if (name, scopes) not in self.meant:
            self.meant[name, scopes] = _look_up(name, scopes)
        return self.meant[name, scopes]

    def builtin(self, node: ast.expr) -> str | None:
        """Return the builtin that an expression is, None where it is or may be something else."""
        return node.id if isinstance(node, ast.Name) and not self.meanings(node.id)[0] else None

    def full_names(self, node: ast.expr) -> list[str]:
        """Return what an expression means of imported modules, in full: ``torch.nn.Conv2d`` for ``nn.Conv2d``."""
        rest = ""
        while isinstance(node, ast.Attribute):
            rest = f".{node.attr}{rest}"
            node = node.value
        if not isinstance(node, ast.Name):
            return []
        return [name + rest for name in self.full_names_among(self.meanings(node.id)[0])]

    def full_names_among(self, meanings: list[Meaning]) -> list[str]:
        if id(meanings) not in self.names:
            self.names[id(meanings)] = []  # should one lead back here
            found: dict[str, None] = {}
            for meaning in meanings:
                names = [meaning.name] if isinstance(meaning, Import) else self.full_names_of(meaning)
                found.update(dict.fromkeys(names))
            if len(found) > _MOST_NAMES:
                raise ValueError("a name that may mean too many things")
            self.names[id(meanings)] = list(found)
        return self.names[id(meanings)]

    def full_names_of(self, meaning: Meaning) -> list[str]:
        """Return what a name means that is another for a part of a module: ``relu = nn.ReLU``."""
        if not isinstance(meaning, Value) or not isinstance(meaning.expression, ast.Name | ast.Attribute):
            return []
        with self.within(meaning.scopes):
            return self.full_names(meaning.expression)

    def is_self(self, node: ast.expr) -> bool:
        """Say whether an expression is what a method calls its own object, or its class."""
        return isinstance(node, ast.Name) and node.id in _SELF and not self.meanings(node.id)[1]

    # --- statements ----------------------------------------------------------------------------------------------

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, Function):
            self.define_function(node)
        elif isinstance(node, ast.ClassDef):
            self.define_class(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imports(node)
        elif isinstance(node, ast.If) and _is_main(node.test) and "__name__" not in self.scopes[0].names:
            self.body(node.orelse)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self.replaced(target)
            if isinstance(node, ast.AnnAssign):
                self.keep(node.annotation)
            if node.value is not None and self.scopes[-1].kind == "function":
                self.expression(node.value)
            elif node.value is not None:
                self.keep(node.value)
        else:
            if isinstance(node, ast.AugAssign | ast.Delete):
                for target in node.targets if isinstance(node, ast.Delete) else [node.target]:
                    self.replaced(target)
            self.children(node)

    def children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child)
            elif isinstance(child, ast.expr):
                self.expression(child)
            else:  # handlers, cases, what a with statement opens
                self.children(child)

    def replaced(self, target: ast.expr) -> None:
        """See what an assignment puts something in the place of; a part of a library is an act at import."""
        for part in ast.walk(target):
            if isinstance(part, ast.Attribute | ast.Subscript):
                if self.scopes[-1].kind != "function" and self.full_names(part.value):
                    self.act(part)
                self.keep(part.value)
                if isinstance(part, ast.Subscript):
                    self.expression(part.slice)

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        origin = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            full = f"{origin}.{alias.name}".lstrip(".")
            if _ACTING_IMPORTS.fullmatch(full) or (alias.name == "*" and origin not in STARS):
                self.act(node)

    def define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.keep(default)
        for annotation in (node.returns, *(argument.annotation for argument in arguments(node.args))):
            if annotation is not None:
                self.keep(annotation)
        ours = [self.decorator(each) for each in node.decorator_list]
        if any(ours):
            self.use("function", node)
        if self.scopes[-1].kind == "function":  # of a function that runs: it may call this one, or hand it on
            self.use("function", node)

    def define_class(self, node: ast.ClassDef) -> None:
        ours = [self.decorator(each) for each in node.decorator_list]
        for keyword in node.keywords:
            self.expression(keyword.value)
        for base in node.bases:
            self.keep(base)
            self.use_subclassing(base)
            # a metaclass of Python's may call what the class defines, as that of an Enum does
            ours += [_is_pythons(name) and not name.startswith(_PLAIN_BASES) for name in self.full_names(base)]
        if any(ours) or self.scopes[-1].kind == "function":
            self.use("class", node)
        with self.within(self.file.scopes.within[node]):
            self.body(node.body)

    def use_subclassing(self, base: ast.expr) -> None:
        """Use what a class of this file does as soon as another names it as its base."""
        if isinstance(base, ast.Name) and self.is_new("subclassed", self.meanings(base.id)[0]):
            for meaning in self.meanings(base.id)[0]:
                if isinstance(meaning, ast.ClassDef):
                    self.use("subclassing", meaning)
                elif not isinstance(meaning, Import):
                    self.use_meanings([meaning])

    def class_below(self, node: ast.ClassDef) -> None:
        own = self.file.scopes.within[node][-1]
        self.use_meanings(own.names.get("__init_subclass__", []))
        with self.within(self.scopes[:-1]):
            for base in node.bases:
                self.use_subclassing(base)
            for keyword in node.keywords:
                self.expression(keyword.value)

    def class_in_use(self, node: ast.ClassDef) -> None:
        """Use what a class does by itself; its other members when their names are used."""
        for name, meanings in self.file.scopes.within[node][-1].names.items():
            self.members.setdefault(name, []).extend(meanings)
            values = [meaning for meaning in meanings if isinstance(meaning, Value)]
            itself = name in _HOOKS or (name.startswith("__") and name.endswith("__"))
            used = itself or name in self.attributes or any(name.startswith(each) for each in self.beginnings)
            self.use_meanings(meanings if used else values)
        with self.within(self.scopes[:-1]):
            for keyword in node.keywords:
                self.expression(keyword.value)
            for base in node.bases:
                if not self.full_names(base) or any(_is_pythons(name) for name in self.full_names(base)):
                    self.expression(base)

    def decorator(self, node: ast.expr) -> bool:
        """Follow a decorator, and say whether it is one that may call what it is put on."""
        if isinstance(node, ast.Attribute) and node.attr in _OF_PROPERTY and self.is_property(node.value):
            return False
        self.expression(node)
        function = node.func if isinstance(node, ast.Call) else node
        return not self.full_names(function) and self.builtin(function) is None

    def is_property(self, node: ast.expr) -> bool:
        """Say whether an expression names a property of the class around it and nothing else."""
        meanings = self.meanings(node.id)[0] if isinstance(node, ast.Name) else []
        return 0 < len(meanings) <= _MOST_NAMES and all(
            isinstance(each, Function)
            and all(
                self.builtin(mark) == "property" or (isinstance(mark, ast.Attribute) and mark.attr in _OF_PROPERTY)
                for mark in each.decorator_list
            )
            for each in meanings
        )

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        with self.within(self.scopes[:-1]):
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                self.expression(default)
        self.body(node.body)

    # --- expressions ---------------------------------------------------------------------------------------------

    def keep(self, node: ast.expr) -> None:
        """Follow an expression whose value is only kept: names in it are not used by that."""
        if isinstance(node, ast.Name | ast.Constant | ast.Lambda) or (
            isinstance(node, ast.Attribute) and self.full_names(node)
        ):
            return
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.Starred) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        ):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.keep(child)
        elif isinstance(node, ast.Subscript) and self.is_type(node.value):
            self.keep(node.slice)
        else:
            self.expression(node)

    def is_type(self, node: ast.expr) -> bool:
        """Say whether a subscript of this is a type: ``Optional[int]``, ``list[Tensor]``."""
        full = self.full_names(node)
        return self.builtin(node) in _GENERIC or bool(full and all(name.startswith(_TYPES) for name in full))

    def expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            self.name(node)
        elif isinstance(node, ast.Attribute):
            self.attribute(node)
        elif isinstance(node, ast.Call):
            self.call(node)
        elif isinstance(node, ast.Subscript) and self.is_type(node.value):
            self.keep(node)
        elif isinstance(node, ast.Compare) and all(map(_is_none, node.comparators)):  # np is None
            self.keep(node.left)
        elif isinstance(node, ast.Lambda):
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                self.expression(default)
            with self.within((*self.scopes, self.local(argument.arg for argument in arguments(node.args)))):
                self.expression(node.body)
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            self.expression(node.generators[0].iter)
            names = (
                part.id
                for each in node.generators
                for part in ast.walk(each.target)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )
            with self.within((*self.scopes, self.local(names))):
                self.children(node)
        else:
            self.children(node)

    def name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        meanings, or_builtin = self.meanings(node.id)
        if or_builtin and not (meanings and node.id.startswith("__")) and not is_plain(node.id):
            self.act(node)
        if self.is_new("used", meanings):
            self.use_meanings(meanings)
        for full in self.full_names(node):
            if is_namespace(full) or not self.computes(full):
                self.act(node)

    def attribute(self, node: ast.Attribute) -> None:
        full = self.full_names(node)
        for name in full:
            if is_namespace(name) or not self.computes(name):
                self.act(node)
        root: ast.expr = node
        names = []
        while isinstance(root, ast.Attribute):
            names.append(root.attr)
            root = root.value
        if not full:
            self.expression(root)
        elif not (isinstance(root, ast.Name) and self.use_others(self.meanings(root.id)[0])):
            return
        for number, name in enumerate(reversed(names)):
            own = number == 0 and self.is_self(root) and (name == "__dict__" or name in self.members)
            if not (own or harmless(name)):
                self.act(node)
            self.use_attribute(name)

    def use_others(self, meanings: list[Meaning]) -> bool:
        """Use what a name may mean beside a part of a module; say whether there is any."""
        if id(meanings) not in self.others:
            others = [each for each in meanings if not isinstance(each, Import) and not _is_alias(each)]
            self.others[id(meanings)] = bool(others)
            self.use_meanings(others)
        return self.others[id(meanings)]

    def computes(self, full: str) -> bool:
        compiled = full in _COMPILES and self.file.evaluates_comments  # torch evaluates a comment with types in it
        return computes_alone(full) and not compiled

    def call(self, node: ast.Call) -> None:
        builtin = self.builtin(node.func)
        given = node.args
        if builtin in ("getattr", "setattr", "delattr", "hasattr") and len(given) > 1:
            self.by_name(builtin, node)
        elif builtin in ("isinstance", "issubclass") and len(given) == 2:
            self.expression(given[0])
            self.keep(given[1])
        elif builtin == "super":
            for each in given:
                self.keep(each)
        elif not self.is_own_names(builtin, given):
            self.children(node)

    def is_own_names(self, builtin: str | None, given: list[ast.expr]) -> bool:
        """Say whether a call returns the names of an object of ours, or of the function around it."""
        if builtin == "vars":
            return bool(given) and self.is_self(given[0])
        return builtin == "locals" and not given and self.scopes[-1].kind == "function"

    def by_name(self, builtin: str, node: ast.Call) -> None:
        """Follow ``getattr`` and its like: the name may be made while it runs."""
        owner, name, *more = node.args
        for each in (name, *more, *(keyword.value for keyword in node.keywords)):
            self.expression(each)
        full = self.full_names(owner)
        known = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
        if builtin == "getattr" and known is not None:
            self.attribute(ast.copy_location(ast.Attribute(owner, known, ast.Load()), node))
        elif builtin == "hasattr" and full:
            return
        elif full:
            self.looked_up = True
            if builtin != "getattr" or not LOOKED_UP.issuperset(full):
                self.act(node)
        else:
            self.expression(owner)
            if known is None:
                beginning = _beginning(name)
                self.use_beginning(beginning)
                if builtin == "getattr" and not self.is_self(owner) and leads_out(beginning):
                    self.look_ups.append(node)


def _look_up(name: str, scopes: tuple[Scope, ...]) -> tuple[list[Meaning], bool]:
    found: list[Meaning] = []
    for scope in reversed(scopes):
        found += scope.names.get(name, [])
        if found and scope.kind == "function":  # local to it from beginning to end
            return found, False
    if not found and is_plain(name) and not is_builtin(name):
        candidates = [f"{star}.{name}" for star in scopes[0].stars]
        found += [Import(each) for each in [each for each in candidates if computes_alone(each)] or candidates]
    return found, True


def _beginning(name: ast.expr) -> str:
    """Return how a text that is made while it runs begins: ``block`` for ``f"block{i}"``."""
    while isinstance(name, ast.JoinedStr | ast.BinOp):
        first = name.values[0] if isinstance(name, ast.JoinedStr) and name.values else None
        name = name.left if isinstance(name, ast.BinOp) else first or ast.Constant("")
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""


def _is_alias(meaning: Meaning) -> bool:
    return isinstance(meaning, Value) and isinstance(meaning.expression, ast.Name | ast.Attribute)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_pythons(full: str) -> bool:
    return full.partition(".")[0] in sys.stdlib_module_names


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
