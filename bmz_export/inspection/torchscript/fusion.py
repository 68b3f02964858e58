"""Where libtorch 1.13.1 and 2.0.0 would stop to compile: groups of touching pointwise operations in a network's code.

The two are built with LLVM. At the second call with an image size they compile every group of at least two such
operations that touch, and a group takes about a sixth of a second: a person who opens images of different sizes in Fiji
waits each time. The code is followed here as the library's fuser follows its graph, without running it. Which
operations fuse was tried one by one in torch 1.13.1, whose own counts for DRUNet, Restormer and KBNet (7, 135, 363) are
met within one.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

from bmz_export.inspection.torchscript.archive import Archive
from bmz_export.inspection.torchscript.code import dotted, operator_name
from bmz_export.inspection.torchscript.structure import Inert, TensorShape

SECONDS_A_GROUP = 0.16
"""What a group cost to compile: 59 s for 360 in KBNet, 16.4 s for 132 in Restormer, on one core."""

_POINTWISE = frozenset((
    "neg", "abs", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin",
    "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "relu", "floor", "ceil", "round", "trunc", "frac",
    "reciprocal", "lgamma", "isnan", "gelu", "silu", "mish", "elu", "softplus", "relu6", "hardtanh", "hardsigmoid",
    "hardswish", "hardshrink", "leaky_relu", "threshold", "add", "sub", "mul", "div", "fmod", "remainder", "atan2",
    "eq", "ne", "gt", "ge", "lt", "le", "max", "min", "type_as", "where", "pow", "clamp", "lerp", "addcmul", "to",
    "cat", "unsqueeze", "batch_norm",
))  # fmt: skip
_ALIASES = frozenset(("chunk", "unsqueeze"))
_VIEWS = frozenset((
    "alias", "slice", "select", "unsqueeze", "squeeze", "view", "view_as", "reshape", "flatten", "permute",
    "transpose", "expand", "expand_as", "t", "contiguous", "chunk", "split", "split_with_sizes", "unbind", "detach",
    "narrow", "movedim", "swapaxes", "as_strided", "to", "type_as",
))  # fmt: skip
_NUMBERS = frozenset((
    "size", "len", "dim", "numel", "Int", "Float", "Bool", "IntImplicit", "FloatImplicit", "ScalarImplicit", "item",
    "is_floating_point",
))  # fmt: skip
_RETURN = -1
_MOST_STEPS = 1_000_000  # twelve times what the largest of ours takes (KBNet: 80,000); some seconds
_DEEPEST = 120


class UnreadableError(Exception):
    """The code cannot be followed."""


@dataclass
class _Patience:
    """Steps that are left: code can be written that takes for ever to follow."""

    left: int = _MOST_STEPS

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise UnreadableError


@dataclass
class _Value:
    """What a name stands for while the code is followed."""

    tensor: bool = False
    node: int | None = None
    output: int = 0  # which of the node's outputs
    root: int | None = None  # the node whose memory it shares
    content: Any = None  # an Inert, a TensorShape, a list of values, a constant


@dataclass
class _Node:
    name: str = ""  # of an operation that fuses
    deps: set[int] = field(default_factory=set)
    first_users: set[int] = field(default_factory=set)  # of its first output
    writes: bool = False


def fusion_groups(archive: Archive) -> int | None:
    """Count the groups that libtorch 1.13.1 and 2.0.0 would compile at each new image size.

    Returns
    -------
    int or None
        None where the code cannot be followed.
    """
    try:
        return _Follower(archive).groups()
    except (UnreadableError, RecursionError, IndexError, TypeError):  # the last two: calls that no library takes
        return None


class _Follower:
    """Follows ``forward`` through all submodules into one list of nodes a block, as the library inlines it."""

    def __init__(self, archive: Archive) -> None:
        self.functions = archive.functions()
        self.root = archive.root
        self.nodes: list[_Node] = []
        self.blocks: list[list[int]] = [[]]
        self.finished: list[list[int]] = []
        self.writer: dict[int, int] = {}
        self.readers: dict[int, set[int]] = {}
        self.depth = 0
        self.patience = _Patience()

    def groups(self) -> int:
        if not isinstance(self.root, Inert):
            raise UnreadableError
        result = self.call(f"{self.root.kind}.forward", [_Value(content=self.root), self.new([], tensor=True)])
        self.finished.append(self.blocks[0])
        needed = self._needed(result)
        blocks = [{i: self.nodes[i] for i in block if i in needed} for block in self.finished]
        return sum(_count_groups(block, self.patience) for block in blocks)

    def _needed(self, result: _Value) -> set[int]:
        """Return the nodes that the result rests upon; the library drops the others before it fuses."""
        waiting = []
        for value in _flat(result):
            if value.node is not None:
                waiting.append(value.node)
                self.nodes[value.node].first_users.add(_RETURN)
        waiting += [i for i, node in enumerate(self.nodes) if node.writes]
        needed: set[int] = set()
        while waiting:
            i = waiting.pop()
            if i not in needed:
                needed.add(i)
                waiting.extend(self.nodes[i].deps)
        return needed

    def call(self, name: str, arguments: list[_Value]) -> _Value:
        function = self.functions.get(name)
        if function is None or self.depth > _DEEPEST:
            raise UnreadableError
        self.depth += 1
        names = [argument.arg for argument in function.args.args]
        scope = dict(zip(names, arguments, strict=False))
        for missing in names[len(arguments) :]:
            scope[missing] = _Value()
        result = self.run(function.body, scope) or _Value()
        self.depth -= 1
        return result

    def run(self, body: list[ast.stmt], scope: dict[str, _Value]) -> _Value | None:
        for statement in body:
            if isinstance(statement, ast.Return):
                return self.value(statement.value, scope) if statement.value else _Value()
            if isinstance(statement, ast.Assign):
                value = self.value(statement.value, scope)
                for target in statement.targets:
                    self.assign(target, value, scope)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self.assign(statement.target, self.value(statement.value, scope), scope)
            elif isinstance(statement, ast.Expr):
                self.value(statement.value, scope)
            elif isinstance(statement, ast.If):
                self.branch(statement.test, [statement.body, statement.orelse], scope)
            elif isinstance(statement, ast.While):
                self.branch(statement.test, [statement.body], scope)
            elif isinstance(statement, ast.For):
                self.branch(statement.iter, [statement.body], scope, statement.target)
        return None

    def branch(
        self, test: ast.expr, bodies: list[list[ast.stmt]], scope: dict[str, _Value], target: ast.expr | None = None
    ) -> None:
        """Follow inner blocks, each fused for itself; what they assign rests upon one node outside."""
        tested = self.value(test, scope)
        first = len(self.nodes)
        changed: dict[str, _Value] = {}
        for body in bodies:
            inner = dict(scope)
            if target is not None:
                self.assign(target, _Value(), inner)
            self.blocks.append([])
            self.run(body, inner)
            self.finished.append(self.blocks.pop())
            changed.update({name: value for name, value in inner.items() if scope.get(name) is not value})
        outer = {i for node in self.nodes[first:] for i in node.deps if i < first}
        barrier = self.new([tested, *changed.values()], tensor=True)
        assert barrier.node is not None
        self.nodes[barrier.node].deps |= outer
        for name, value in changed.items():
            scope[name] = _Value(value.tensor, barrier.node, root=barrier.node, content=value.content)

    def assign(self, target: ast.expr, value: _Value, scope: dict[str, _Value]) -> None:
        if isinstance(target, ast.Name):
            scope[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.content if isinstance(value.content, list) else [value] * len(target.elts)
            for each, part in zip(target.elts, parts, strict=False):
                self.assign(each, part, scope)

    def value(self, expression: ast.expr, scope: dict[str, _Value]) -> _Value:
        self.patience.spend()
        if isinstance(expression, ast.Constant):
            return _Value(content=expression.value)
        if isinstance(expression, ast.Name):
            return scope.get(expression.id, _Value())
        if isinstance(expression, ast.List | ast.Tuple):
            return _Value(content=[self.value(each, scope) for each in expression.elts])
        if isinstance(expression, ast.Attribute | ast.Call | ast.Subscript):
            return self.compound(expression, scope)
        parts = [self.value(each, scope) for each in ast.iter_child_nodes(expression) if isinstance(each, ast.expr)]
        return self.new(parts, tensor=False) if any(part.node is not None for part in parts) else _Value()

    def compound(self, expression: ast.Attribute | ast.Call | ast.Subscript, scope: dict[str, _Value]) -> _Value:
        if isinstance(expression, ast.Attribute):
            return self.attribute(expression, scope)
        if isinstance(expression, ast.Call):
            return self.called(expression, scope)
        return self.item(self.value(expression.value, scope), expression.slice, scope)

    def attribute(self, expression: ast.Attribute, scope: dict[str, _Value]) -> _Value:
        if isinstance(expression.value, ast.Name) and expression.value.id == "CONSTANTS":
            return _Value(tensor=True)
        return self.member(self.value(expression.value, scope), expression.attr)

    def member(self, owner: _Value, name: str) -> _Value:
        content = owner.content.attributes.get(name) if isinstance(owner.content, Inert) else None
        return _Value(tensor=isinstance(content, TensorShape), content=content)

    def item(self, owner: _Value, index: ast.expr, scope: dict[str, _Value]) -> _Value:
        number = index.value if isinstance(index, ast.Constant) else None
        if (
            isinstance(owner.content, list)
            and isinstance(number, int)
            and -len(owner.content) <= number < len(owner.content)
        ):
            part = owner.content[number]
            return part if isinstance(part, _Value) else _Value(content=part)
        self.value(index, scope)
        return _Value(owner.tensor, owner.node, root=owner.root)

    def called(self, expression: ast.Call, scope: dict[str, _Value]) -> _Value:
        function = expression.func
        operator = operator_name(function)
        if operator is None and isinstance(function, ast.Attribute):
            owner = self.value(function.value, scope)
            if isinstance(owner.content, Inert):
                arguments = [self.value(each, scope) for each in expression.args]
                return self.call(f"{owner.content.kind}.{function.attr}", [owner, *arguments])
            name = dotted(function)
            if name in self.functions:
                return self.call(name, [self.value(each, scope) for each in expression.args])
        if isinstance(function, ast.Name) and function.id == "getattr":
            key = expression.args[1]
            return self.member(self.value(expression.args[0], scope), str(getattr(key, "value", "")))
        arguments = [self.value(each, scope) for each in expression.args]
        if isinstance(function, ast.Name) and function.id in ("annotate", "unchecked_cast"):
            return arguments[-1]
        words = {keyword.arg or "": self.value(keyword.value, scope) for keyword in expression.keywords}
        if operator is None:
            return self.new([*arguments, *words.values()], tensor=False)
        return self.operation(operator, arguments, words)

    def operation(self, operator: str, arguments: list[_Value], words: dict[str, _Value]) -> _Value:
        space, _, name = operator.partition("::")
        given = [*arguments, *words.values()]
        tensor = name not in _NUMBERS and (operator == "prim::NumToTensor" or any(v.tensor for v in map(_any, given)))
        if space == "aten" and not any(v.tensor for v in map(_any, given)):
            tensor = name in ("zeros", "ones", "full", "arange", "rand", "randn", "tensor", "empty", "linspace", "eye")
        chunk = name == "chunk" and all(not v.tensor and v.node is None for v in arguments[1:])
        fuses = space == "aten" and (chunk or _fuses(name, arguments, words))
        result = self.new(given, tensor=tensor, fuses=name if fuses else "")
        assert result.node is not None
        if arguments and (name in _VIEWS or _in_place(name)):
            result.root = arguments[0].root if arguments[0].root is not None else result.node
        if _in_place(name) and arguments and arguments[0].root is not None:
            self.write(result.node, arguments[0].root)
        if chunk and isinstance(arguments[1].content, int):
            self.patience.spend(arguments[1].content)
            parts = [_Value(tensor, result.node, output, result.root) for output in range(arguments[1].content)]
            return _Value(tensor, content=parts)
        return result

    def write(self, node: int, root: int) -> None:
        """Order an operation that changes its input in place after all readers before it and before all later ones."""
        self.nodes[node].writes = True
        self.nodes[node].deps |= self.readers.get(root, set()) - {node}
        self.writer[root] = node

    def new(self, inputs: list[_Value], *, tensor: bool, fuses: str = "") -> _Value:
        index = len(self.nodes)
        node = _Node(fuses)
        for value in (part for each in inputs for part in _flat(each)):
            if value.node is not None:
                node.deps.add(value.node)
                if value.output == 0:
                    self.nodes[value.node].first_users.add(index)
            if value.root is not None:
                if value.root in self.writer:
                    node.deps.add(self.writer[value.root])
                self.readers.setdefault(value.root, set()).add(index)
        self.nodes.append(node)
        self.blocks[-1].append(index)
        return _Value(tensor, index, root=index)


def _flat(value: _Value) -> list[_Value]:
    if isinstance(value.content, list):
        return [part for each in value.content if isinstance(each, _Value) for part in _flat(each)]
    return [value]


def _any(value: _Value) -> _Value:
    """Return a value that is a tensor where the given one is, or is a list that holds one."""
    return next((part for part in _flat(value) if part.tensor), value)


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _fuses(name: str, arguments: list[_Value], words: dict[str, _Value]) -> bool:
    """Say whether the fuser takes this call."""
    if name in ("_convolution", "conv2d"):
        return _is_depthwise(arguments)
    if name not in _POINTWISE or not any(_any(value).tensor for value in arguments):
        return False
    if name in ("pow", "clamp"):
        return arguments[0].tensor and not any(value.tensor for value in arguments[1:])
    if name == "div":
        return "rounding_mode" not in words
    return not (name in ("max", "min") and (len(arguments) < 2 or not arguments[1].tensor))


def _is_depthwise(arguments: list[_Value]) -> bool:
    """Say whether a convolution has one 3 x 3 filter a channel and a bias, undilated: the kind that the fuser knows."""
    weight = arguments[1].content if len(arguments) > 6 else None
    if not isinstance(weight, TensorShape) or len(weight.shape) != 4 or not arguments[2].tensor:
        return False
    groups = next((v.content for v in (*arguments[8:9], arguments[6]) if type(v.content) is int), 1)
    dilation = [part.content for part in _flat(arguments[5])]
    return weight.shape[1:] == (1, 3, 3) and weight.shape[0] == groups and set(dilation) <= {1}


def _count_groups(nodes: dict[int, _Node], patience: _Patience) -> int:
    """Count the groups of at least two nodes of one block, grown as the fuser grows them: backwards, along the data."""
    users: dict[int, set[int]] = {index: set() for index in nodes}
    for index, node in nodes.items():
        for dep in node.deps:
            if dep in users:
                users[dep].add(index)
    member: dict[int, int] = {}
    groups: dict[int, set[int]] = {}
    for start in sorted(nodes, reverse=True):
        if not nodes[start].name or nodes[start].name in _ALIASES or start in member:
            continue
        group = {start}
        grown = True
        while grown:
            grown = False
            patience.spend(len(group))
            producers = {dep for index in group for dep in nodes[index].deps if dep in nodes} - group
            for producer in sorted(producers, reverse=True):
                other = groups.get(member.get(producer, start), {producer})
                if _may_follow(nodes[producer], group) and _may_join(other, group, users, patience):
                    group |= other
                    groups.pop(member.get(producer, start), None)
                    grown = True
                    break
        groups[start] = group
        member.update(dict.fromkeys(group, start))
    grown_groups = [each for each in groups.values() if len(each) > 1 or nodes[min(each)].name == "cat"]
    return sum(len(group) > 1 for group in _join_neighbours(grown_groups, users, patience))


def _may_follow(producer: _Node, group: set[int]) -> bool:
    """Say whether the fuser takes a producer into a group; an alias only where nothing else reads its first output."""
    return bool(producer.name) and (producer.name not in _ALIASES or producer.first_users <= group)


def _join_neighbours(groups: list[set[int]], users: dict[int, set[int]], patience: _Patience) -> list[set[int]]:
    """Join each group with the one before it in the program where neither needs the other through something outside."""
    joined: list[set[int]] = []
    for group in sorted(groups, key=max):
        if joined and all(_may_join(*pair, users, patience) for pair in ((joined[-1], group), (group, joined[-1]))):
            joined[-1] = joined[-1] | group
        else:
            joined.append(group)
    return joined


def _may_join(producer: set[int], consumer: set[int], users: dict[int, set[int]], patience: _Patience) -> bool:
    """Say whether no way leads from one set through a node outside both into the other."""
    last = max(consumer)
    patience.spend(len(producer) + len(consumer))
    waiting = [user for index in producer for user in users[index] if user not in producer and user not in consumer]
    seen: set[int] = set()
    while waiting:
        index = waiting.pop()
        patience.spend()
        if index in seen or index > last:
            continue
        seen.add(index)
        for user in users[index]:
            if user in consumer:
                return False
            if user not in producer:
                waiting.append(user)
    return True
