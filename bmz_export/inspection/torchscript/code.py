"""An archive's code as syntax trees: what it calls, and what of that reaches beyond the computation.

The dialect has fewer words of its own than Python: a tensor may be called ``async`` or ``from``.
"""

import ast
import re
from collections.abc import Iterator

_FREE_WORDS = ("async", "await", "except", "finally", "from", "lambda", "nonlocal", "try", "yield")
"""Words of Python that libtorch takes as names [each tried in 2.15]."""
_MARK = "_free_word_"
_PIECE = re.compile(
    # a text that does not end goes on to the end of the file: looking for it anew at each quote takes for ever
    r"'''(?:[^\\']|\\.?|'(?!''))*+(?:'''|\Z)|\"\"\"(?:[^\\\"]|\\.?|\"(?!\"\"))*+(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+(?:'|\\?\Z|(?=\n))|\"(?:\\.|[^\"\\\n])*+(?:\"|\\?\Z|(?=\n))|#[^\n]*"
    rf"|\b(?P<word>{'|'.join(_FREE_WORDS)})\b",
    re.DOTALL,
)
REACHING = frozenset({"from_file", "load", "rpc_async", "rpc_remote", "rpc_sync", "save"})
"""Operators that touch files or other machines, of all that the tables and torch's registry hold."""
_REACHING_SPACES = frozenset({"c10d", "_c10d_functional", "debugprims", "profiler", "rpc", "symm_mem"})
"""Namespaces that speak with other processes or watch this one."""


def parse(text: str) -> ast.Module | None:
    """Return a module's syntax tree, None where the text cannot be parsed.

    Examples
    --------
    >>> ast.unparse(parse("async = torch.neg(image)"))
    'async = torch.neg(image)'
    """
    try:
        tree = ast.parse(_PIECE.sub(_marked, text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg", "name"):
            value = getattr(node, name, None)
            if isinstance(value, str) and value.startswith(_MARK):
                setattr(node, name, value.removeprefix(_MARK))
    return tree


def _marked(found: re.Match[str]) -> str:
    return _MARK + found["word"] if found["word"] else found[0]


def dotted(node: ast.expr) -> str | None:
    """Return a dotted name as it is written, such as ``torch.device``; None for any other expression."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def operator_name(function: ast.expr) -> str | None:
    """Return the operator that a called expression names, such as ``aten::add`` for ``torch.add``, or None.

    Examples
    --------
    >>> operator_name(ast.parse("ops.prim.data", mode="eval").body)
    'prim::data'
    """
    space = _namespace(function.value) if isinstance(function, ast.Attribute) else None
    if not isinstance(function, ast.Attribute) or space is None or (space, function.attr) == ("aten", "device"):
        return None
    return f"{space}::{function.attr}"


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every operator that a module calls, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (operator := operator_name(node.func)):
            yield operator, node


def reached(tree: ast.Module) -> Iterator[str]:
    """Yield what a module names that reaches beyond the computation, called or not: a name can be given another."""
    owners = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        space = _namespace(node)
        if (space or _is_ops(node)) and id(node) not in owners:
            yield f"{ast.unparse(node)} by another name"
        elif space in _REACHING_SPACES:
            yield space
        elif isinstance(node, ast.Attribute) and node.attr in REACHING and _namespace(node.value):
            yield node.attr


def reaching_words(text: str) -> Iterator[str]:
    """Yield the words of a text that would name such an operator; for what cannot be parsed."""
    return (word for word in re.findall(r"\w+", text) if word in REACHING)


def _namespace(node: ast.expr) -> str | None:
    """Return the namespace of operators that an expression names, such as ``aten`` for ``torch``, or None."""
    if isinstance(node, ast.Name):
        return "aten" if node.id == "torch" else None
    if not isinstance(node, ast.Attribute):
        return None
    if node.attr == "autograd" and _namespace(node.value) == "aten":  # libtorch reads torch.autograd as torch
        return "aten"
    return node.attr if _is_ops(node.value) else None


def _is_ops(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "ops"
