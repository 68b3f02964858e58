"""The process in which torch is asked what a TorchScript archive holds; see :mod:`..facts` for the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from bmz_export.engines.runtimes import Predict, answer

_MODE = ("train", "training", "dropout_p")
"""What operators call the argument that leaves them in training mode where it is not zero."""
_POINTWISE = frozenset((
    "neg", "abs", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin",
    "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "relu", "floor", "ceil", "round", "trunc", "frac",
    "reciprocal", "lgamma", "isnan", "gelu", "silu", "mish", "elu", "softplus", "relu6", "hardtanh", "hardsigmoid",
    "hardswish", "hardshrink", "leaky_relu", "threshold", "add", "sub", "mul", "div", "fmod", "remainder", "atan2",
    "eq", "ne", "gt", "ge", "lt", "le", "max", "min", "type_as", "where", "pow", "clamp", "lerp", "addcmul", "to",
    "cat", "batch_norm",
))  # fmt: skip
"""What libtorch 1.13.1 and 2.0.0 fuse on a processor, tried one by one in torch 1.13.1."""


def load(task: dict[str, Any]) -> Predict:
    """Load the archive and return what it holds, as ``ask_worker`` reads it."""
    import torch

    return answer(_facts(torch.jit.load(task["weights"], map_location="cpu")))  # type: ignore[no-untyped-call]


def _facts(network: Any) -> dict[str, Any]:  # noqa: ANN401 -- torch's script modules have no types
    calls: set[tuple[str, int, tuple[str, ...]]] = set()
    devices, training, random = set(), set(), set()
    trains = any(module.training for module in network.modules())
    for node in (node for graph in _graphs(network) for node in _nodes(graph)):
        if node.kind() == "prim::Constant":
            if node.output().type().kind() == "DeviceObjType":
                devices.add(str(node.output().toIValue()))
        elif node.schema() != "(no schema)":
            arguments = _schema(node.schema()).arguments
            given = dict(zip((each.name for each in arguments), node.inputs(), strict=False))
            calls.add(_call(node, arguments))
            name = node.kind().rpartition("::")[2].removesuffix("_")
            mode = next((given[each] for each in _MODE if each in given), None)
            if mode is None and _is_random(node.kind()):
                random.add(name)
            elif mode is not None and (mode.toIValue() if mode.node().kind() == "prim::Constant" else trains):
                training.add(name)
    forward = network.forward.schema if network._c._has_method("forward") else None
    return {
        "calls": sorted(calls),
        "devices": sorted(devices),
        "training": sorted(training),
        "random": sorted(random),
        "returns": ", ".join(each.type.annotation_str for each in forward.returns) if forward else None,
        "arguments": sum(not each.has_default_value() for each in forward.arguments[1:]) if forward else None,
        "fusion_groups": _fusion_groups(network.inlined_graph) if forward else None,
    }


def _graphs(network: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the graph of each method of each class of modules: libtorch compiles all of them, called or not."""
    seen = set()
    for module in network.modules():
        kind = module._c._type().qualified_name()
        if kind not in seen:
            seen.add(kind)
            for name in module._c._method_names():
                method = module._c._get_method(name)
                functions = any(node.kind() == "prim::CallFunction" for node in _nodes(method.graph))
                yield method.inlined_graph if functions else method.graph


def _nodes(block: Any) -> Iterator[Any]:  # noqa: ANN401
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


@cache
def _schema(text: str) -> Any:  # noqa: ANN401
    import torch

    return torch._C.parse_schema(text)


def _call(node: Any, arguments: Any) -> tuple[str, int, tuple[str, ...]]:  # noqa: ANN401
    """Return operator, number of arguments by place and names of those by name, as torch writes the call to a file."""
    values = list(node.inputs())
    needed = [
        (place, each)
        for place, (each, value) in enumerate(zip(arguments, values, strict=False))
        if not (each.has_default_value() and _is(value, each.default_value))
    ]
    by_place = [place + 1 for place, each in needed if not each.kwarg_only]
    return node.kind(), max(by_place, default=0), tuple(each.name for _, each in needed if each.kwarg_only)


def _is(value: Any, constant: object) -> bool:  # noqa: ANN401
    if value.node().kind() != "prim::Constant" or value.type().kind() == "TensorType":
        return False
    return bool(value.toIValue() == constant)


@cache
def _is_random(operator: str) -> bool:
    """Say whether an operator draws random numbers: in one of its forms it takes the generator that they come from."""
    import torch

    schemas = torch._C._jit_get_schemas_for_operator(operator.removesuffix("_like"))
    return any(each.name == "generator" for schema in schemas for each in schema.arguments)


def _fusion_groups(graph: Any) -> int:  # noqa: ANN401
    """Count the groups of at least two pointwise operations of which one takes the very tensor that another makes."""
    group: dict[str, str] = {}  # from each result to the one that stands for its group

    def of(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in _nodes(graph):
        space, _, name = node.kind().partition("::")
        if space == "aten" and name in _POINTWISE and node.output().type().kind() == "TensorType":
            result = node.output().debugName()
            group[result] = result
            for source in node.inputs():
                if source.debugName() in group:
                    group[of(source.debugName())] = result
    return sum(count > 1 for count in Counter(map(of, group)).values())
