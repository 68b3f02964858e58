"""What the code inside a TorchScript archive says, read as text and never run."""

from __future__ import annotations

import ast
import io
import pickletools
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bmz_export.evidence.pickles import damage

MAX_CODE = 64 * 2**20

_DROPOUT = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout"}
_RANDOM = {
    "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli",
    "multinomial", "poisson", "uniform", "exponential", "geometric", "cauchy", "log_normal", "random",
}  # fmt: skip
_REACHING = {"from_file", "save", "load", "_save_parameters", "system"}
_POINTWISE = {
    "add", "sub", "mul", "div", "rsub", "neg", "abs", "sqrt", "rsqrt", "pow", "exp", "log", "sigmoid", "tanh", "relu",
    "relu6", "leaky_relu", "gelu", "silu", "hardtanh", "hardswish", "clamp", "clamp_min", "clamp_max", "erf", "sin",
    "cos", "reciprocal", "where", "lerp", "threshold", "addcmul", "minimum", "maximum", "square", "floor", "round",
    "to", "type_as", "chunk", "cat",
}  # fmt: skip
"""What libtorch 1.13 and 2.0 compile in groups (``prim::TensorExprGroup``)."""


@dataclass(frozen=True)
class TorchScript:
    """What an archive's code shows.

    Attributes
    ----------
    operators : Mapping-like Counter
        How often each operator is called (``aten`` ones without their namespace).
    devices : frozenset of str
        Device literals in the code.
    training, random, reaches : tuple of str
        Operators that stay in training mode, that draw random numbers, and that read or write files.
    returns : str or None
        What ``forward`` returns, as annotated: ``Tensor``, ``Tuple[Tensor, Tensor]``, ...
    arguments : int or None
        Number of tensors that ``forward`` takes.
    fused : int
        Groups of touching pointwise operations that libtorch 1.13 and 2.0 would compile at each new image size.
    error : str or None
        Why it cannot be read.
    """

    operators: Counter[str] = field(default_factory=Counter)
    devices: frozenset[str] = field(default=frozenset())
    training: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    returns: str | None = None
    arguments: int | None = None
    fused: int = 0
    error: str | None = None


def read_torchscript(path: Path) -> TorchScript:
    """Look through a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            cut = damage(archive)
            if cut:
                return TorchScript(error=cut)
            code = [
                entry for entry in archive.infolist() if "/code/" in entry.filename and entry.filename.endswith(".py")
            ]
            data = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if not code or data is None:
                return TorchScript(error="no TorchScript archive: it holds no code (a state dict?)")
            if sum(entry.file_size for entry in code) > MAX_CODE or archive.getinfo(data).file_size > MAX_CODE:
                return TorchScript(error="its code is too large to look through")
            modules = {
                entry.filename.split("/code/", 1)[1][:-3].replace("/", "."): archive.read(entry).decode()
                for entry in code
            }
            root, training = _root(archive.read(data))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        return TorchScript(error=f"not readable ({error})")
    try:
        return _read_code(modules, root, training)
    except (SyntaxError, RecursionError, MemoryError) as error:
        return TorchScript(error=f"its code cannot be parsed ({error})")


def _root(data: bytes) -> tuple[str, bool]:
    """Return the qualified name of the root class, and whether any module was saved in training mode."""
    root, training, key = "", False, False
    memo: dict[int, str] = {}
    last = ""
    for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
        if isinstance(argument, str) and "UNICODE" in opcode.name:
            last = argument
        elif opcode.name in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            memo[argument] = last
            continue
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            last = memo.get(argument, "")
        elif opcode.name == "GLOBAL" and not root:
            root = str(argument).replace(" ", ".")
            last = ""
        elif opcode.name == "NEWTRUE" and key:
            training = True
        else:
            last = "" if opcode.name != "MARK" else last
        key = last == "training"
    return root, training


def _read_code(modules: dict[str, str], root: str, training: bool) -> TorchScript:
    operators: Counter[str] = Counter()
    devices: set[str] = set()
    left_on: Counter[str] = Counter()
    random: Counter[str] = Counter()
    returns, arguments, fused = None, None, 0
    for module, text in modules.items():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = _operator(node.func)
                if name is None:
                    continue
                if name == "device" and node.args and isinstance(node.args[0], ast.Constant):
                    devices.add(str(node.args[0].value))
                    continue
                operators[name] += 1
                bare = name.removesuffix("_")
                if _trains(bare, node, training):
                    left_on[bare] += 1
                elif bare in _RANDOM:
                    random[bare] += 1
            elif isinstance(node, ast.ClassDef) and f"{module}.{node.name}" == root:
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and item.name == "forward":
                        returns = ast.unparse(item.returns) if item.returns else None
                        arguments = len(item.args.args) - 1
            if isinstance(node, ast.FunctionDef):
                fused += _groups(node)
    return TorchScript(
        operators=operators,
        devices=frozenset(devices),
        training=tuple(left_on),
        random=tuple(random),
        reaches=tuple(name for name in operators if name.rpartition(".")[2] in _REACHING),
        returns=returns,
        arguments=arguments,
        fused=fused,
    )


def _operator(node: ast.expr) -> str | None:
    text = _dotted(node)
    if text.startswith("torch.") and text.count(".") == 1:
        return text.removeprefix("torch.")
    if text.startswith("ops."):
        return text.removeprefix("ops.").removeprefix("aten.").removeprefix("prim.")
    return None


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _trains(name: str, call: ast.Call, training: bool) -> bool:
    position = 2 if name in _DROPOUT else 5 if name in ("batch_norm", "instance_norm") else None
    if name == "rrelu":
        position = 3
    if position is None or len(call.args) <= position:
        return False
    argument = call.args[position]
    if name == "instance_norm":  # always of the image itself; ``use_input_stats`` is no training mode
        return False
    if isinstance(argument, ast.Constant):
        return argument.value is True
    return training


def _groups(function: ast.FunctionDef) -> int:
    """Count the groups of two or more pointwise operations of which one takes another's result."""
    owner: dict[str, int] = {}
    parent: list[int] = []

    def find(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    def visit(node: ast.expr) -> int | None:
        if isinstance(node, ast.Name):
            return owner.get(node.id)
        if not isinstance(node, ast.Call):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    visit(child)
            return None
        name = _operator(node.func)
        inner = [visit(argument) for argument in _flat(node.args)]
        if name is None or name.removesuffix("_") not in _POINTWISE:
            return None
        parent.append(len(parent))
        for group in inner:
            if group is not None:
                parent[find(group)] = find(len(parent) - 1)
        return len(parent) - 1

    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign):
            group = visit(statement.value)
            for target in statement.targets:
                for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(each, ast.Name):
                        owner.pop(each.id, None)
                        if group is not None:
                            owner[each.id] = group
        elif isinstance(statement, ast.Return) and statement.value is not None:
            visit(statement.value)
    sizes = Counter(find(index) for index in range(len(parent)))
    return sum(size > 1 for size in sizes.values())


def _flat(arguments: list[ast.expr]) -> Iterator[ast.expr]:
    for argument in arguments:
        if isinstance(argument, ast.List | ast.Tuple):
            yield from argument.elts
        else:
            yield argument
