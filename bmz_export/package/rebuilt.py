"""A TorchScript archive run again, operation by operation, so that it can be traced anew.

A trace around an archive keeps the archive's own text: branches that are never taken, with operators that older
libraries do not know, tensors made on the device that was written down, dropout that stays on. Run operation by
operation, only what is computed is traced, sizes stay free, and tensors made on the way follow the image's device.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_PASSED_ON = frozenset({
    "prim::unchecked_cast", "aten::Int", "aten::Float", "aten::Bool", "aten::ScalarImplicit", "aten::IntImplicit",
    "aten::FloatImplicit", "aten::warn",
})  # fmt: skip
_LEFT_OUT = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})
"""Arguments that say where and how a tensor lies, which the new trace decides."""
_TYPES = (
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64,
    torch.complex32, torch.complex64, torch.complex128, torch.bool,
)  # fmt: skip
"""By the numbers that TorchScript writes for them."""
_PYTHON: Mapping[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
    "floordiv": operator.floordiv, "remainder": operator.mod, "pow": operator.pow, "eq": operator.eq,
    "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "__and__": lambda a, b: a and b, "__or__": lambda a, b: a or b, "__not__": operator.not_,
    "__is__": operator.is_, "__isnot__": operator.is_not, "__getitem__": operator.getitem, "len": len,
    "__contains__": operator.contains, "list": list, "ceil": math.ceil, "floor": math.floor,
    "append": lambda each, value: each.append(value),
    "__range_length": lambda low, high, step: len(range(low, high, step)),
    "__derive_index": lambda index, start, step: start + index * step,
}  # fmt: skip
"""What is computed with numbers and lists, sizes above all."""


class _Whole(type):
    """``int``, but for a size that is being traced: that stays a tensor, since a number would hold for one size."""

    def __call__(cls, value: Any = 0, *base: Any) -> Any:  # noqa: ANN401
        return value.floor().long() if isinstance(value, torch.Tensor) else int(value, *base)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, int)


class _Int(metaclass=_Whole):
    pass


@contextmanager
def sizes_stay_free(network: nn.Module) -> Iterator[None]:
    """While tracing, let ``int`` in the modules that define a network's parts leave traced sizes as they are."""
    spaces = [vars(sys.modules[name]) for name in {type(part).__module__ for part in network.modules()}]
    chosen = [space for space in spaces if space["__name__"].startswith("spandrel.") and "int" not in space]
    try:
        for space in chosen:
            space["int"] = _Int
        yield
    finally:
        for space in chosen:
            del space["int"]


class _Graph:
    """Keeps torch from taking the graph for a part of the module."""

    def __init__(self, frozen: Any) -> None:  # noqa: ANN401 -- torch's script modules have no types
        self.owner, self.graph = frozen, frozen.graph


class Rebuilt(nn.Module):
    """The network of a TorchScript archive, from tensors to the first tensor that it returns.

    Parameters
    ----------
    script : torch.jit.ScriptModule
        Its ``forward`` takes one tensor.

    Raises
    ------
    RuntimeError
        Where torch cannot bring it into one graph, as with a network that changes itself when it is called.
    """

    def __init__(self, script: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._whole = _Graph(torch.jit.freeze(script.eval(), optimize_numerics=False))
        self._buffer_of: dict[str, str] = {}
        for node in _every(self._whole.graph):
            value = node.output().toIValue() if node.kind() == "prim::Constant" else None
            if isinstance(value, torch.Tensor):  # a trace holds numbers as constants of tensors too
                name = f"constant_{len(self._buffer_of)}"
                self._buffer_of[node.output().debugName()] = name
                self.register_buffer(name, value.detach().clone())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Run the graph."""
        values = {list(self._whole.graph.inputs())[-1].debugName(): image}
        (result,) = self._run(self._whole.graph, values, image)
        while not isinstance(result, torch.Tensor):
            result = result[0]
        return result

    def _run(self, block: Any, values: dict[str, Any], image: torch.Tensor) -> list[Any]:  # noqa: ANN401
        for node in block.nodes():
            given = [values[each.debugName()] for each in node.inputs()]
            found = self._compute(node, given, values, image)
            values.update(zip((each.debugName() for each in node.outputs()), found, strict=True))
        last = block.return_node() if hasattr(block, "return_node") else block.returnNode()
        return [values[each.debugName()] for each in last.inputs()]

    def _compute(self, node: Any, given: list[Any], values: dict[str, Any], image: torch.Tensor) -> list[Any]:  # noqa: ANN401
        kind = node.kind()
        if kind == "prim::Constant":
            name = node.output().debugName()
            found = [self.get_buffer(self._buffer_of[name]) if name in self._buffer_of else node.output().toIValue()]
        elif kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            found = [given]
        elif kind in ("prim::ListUnpack", "prim::TupleUnpack"):
            found = list(given[0])
        elif kind == "prim::NumToTensor":
            found = [given[0] if isinstance(given[0], torch.Tensor) else torch.tensor(given[0])]
        elif kind == "prim::If":
            found = self._run(list(node.blocks())[0 if given[0] else 1], values, image)
        elif kind == "prim::Loop":
            found = self._repeat(next(node.blocks()), given, values, image)
        elif kind == "prim::Uninitialized":  # in a branch that is never taken
            found = [None]
        elif kind in _PASSED_ON:
            found = given[: node.outputsSize()]
        elif kind.startswith("aten::"):
            result = _call(kind.removeprefix("aten::"), torch._C.parse_schema(node.schema()), given, image)
            found = [result] if node.outputsSize() == 1 else list(result)
        else:
            raise RuntimeError(f"{kind} cannot be traced anew")
        return found

    def _repeat(self, block: Any, given: list[Any], values: dict[str, Any], image: torch.Tensor) -> list[Any]:  # noqa: ANN401
        most, goes_on, *carried = given
        turn = 0
        while goes_on and turn < most:
            names = (each.debugName() for each in block.inputs())
            values.update(zip(names, [turn, *carried], strict=True))
            goes_on, *carried = self._run(block, values, image)
            turn += 1
        return carried


def _call(name: str, schema: Any, given: list[Any], image: torch.Tensor) -> Any:  # noqa: ANN401
    """Call an operator by what Python has of it, which a trace follows; ``torch.ops`` would write sizes as numbers."""
    by_name = dict(zip((each.name for each in schema.arguments), given, strict=False))
    if isinstance(by_name.get("dtype"), int):
        by_name["dtype"] = _TYPES[by_name["dtype"]]
    if name in _OTHERWISE:
        return _OTHERWISE[name](by_name, image)
    if schema.arguments and schema.arguments[0].type.kind() != "TensorType" and name in _PYTHON:
        return _PYTHON[name](*given)
    keywords = {each.name for each in schema.arguments if each.kwarg_only}
    places = [value for key, value in by_name.items() if key not in keywords | _LEFT_OUT]
    named = {key: by_name[key] for key in keywords - _LEFT_OUT if by_name.get(key) is not None}
    return _function(name, given[0] if given else None)(*places, **named)


def _unchanged(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
    del image
    values: torch.Tensor = next(iter(arguments.values()))
    return values


def _size(arguments: Mapping[str, Any], image: torch.Tensor) -> Any:  # noqa: ANN401
    del image
    size = arguments["self"].size()
    return size[arguments["dim"]] if "dim" in arguments else list(size)


def _slice(arguments: Mapping[str, Any], image: torch.Tensor) -> Any:  # noqa: ANN401
    if "dim" not in arguments:  # of a list
        return next(iter(arguments.values()))[slice(arguments["start"], arguments["end"], arguments["step"])]
    del image
    values, bounds = arguments["self"], (arguments[each] for each in ("start", "end", "step"))
    return values[(*[slice(None)] * (arguments["dim"] % values.dim()), slice(*bounds))]


def _to(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
    del image
    values: torch.Tensor = arguments["self"]
    kind = arguments["other"].dtype if "other" in arguments else arguments.get("dtype")
    return values if kind is None else values.to(kind)


def _function(name: str, first: object) -> Callable[..., Any]:
    """Return the function of an operator; a method of the first argument is called with it."""
    for owner in (torch, torch._C._nn, torch.linalg, torch.Tensor if isinstance(first, torch.Tensor) else None):
        plain = name.removeprefix("linalg_") if owner is torch.linalg else name
        if owner is not None and hasattr(owner, plain):
            function: Callable[..., Any] = getattr(owner, plain)
            return function
    raise RuntimeError(f"aten::{name} cannot be traced anew")


def _ones(image: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(image.flatten()[:1])


def _filled(value: float | None) -> Callable[[Mapping[str, Any], torch.Tensor], torch.Tensor]:
    def make(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
        filling = arguments["fill_value"] if value is None else value
        made: torch.Tensor = torch.mul(_ones(image).to(arguments.get("dtype") or image.dtype), filling)
        return made.expand(arguments["size"]).clone()

    return make


def _counted(image: torch.Tensor, count: Any) -> torch.Tensor:  # noqa: ANN401 -- a number, or one that is traced
    """Return 0, 1, 2, ..."""
    ones: torch.Tensor = _ones(image).to(torch.int64).expand(count)
    return ones.cumsum(0) - 1


def _arange(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
    start, step = arguments.get("start", 0), arguments.get("step", 1)
    if isinstance(start, float) or isinstance(step, float) or step < 1:
        raise RuntimeError("aten::arange in parts of one cannot be traced anew")
    counted: torch.Tensor = _counted(image, (arguments["end"] - start + step - 1) // step) * step + start
    return counted.to(arguments.get("dtype") or torch.int64)


def _linspace(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
    start, end, steps = (arguments[each] for each in ("start", "end", "steps"))
    counted = _counted(image, steps).to(arguments.get("dtype") or image.dtype)
    values: torch.Tensor = counted * ((end - start) / (steps - 1)) + start
    return values


def _instance_norm(arguments: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor:
    """Compute it by its moments: ONNX has no form of it for a number of channels that it cannot see."""
    del image
    values: torch.Tensor = arguments["input"]
    if not arguments["use_input_stats"]:
        raise RuntimeError("aten::instance_norm by kept statistics cannot be traced anew")
    axes, along = tuple(range(2, values.dim())), (1, -1, *[1] * (values.dim() - 2))
    centred = values - values.mean(axes, keepdim=True)
    values = centred / ((centred**2).mean(axes, keepdim=True) + arguments["eps"]).sqrt()
    if arguments["weight"] is not None:
        values = values * arguments["weight"].reshape(along)
    return values if arguments["bias"] is None else values + arguments["bias"].reshape(along)


_OTHERWISE: Mapping[str, Callable[[Mapping[str, Any], torch.Tensor], Any]] = {
    **dict.fromkeys(("alias", "dropout", "dropout_", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
                    _unchanged),
    "zeros": _filled(0.0), "ones": _filled(1.0), "full": _filled(None), "new_zeros": _filled(0.0),
    "new_ones": _filled(1.0), "new_full": _filled(None), "empty": _filled(0.0), "arange": _arange,
    "linspace": _linspace, "size": _size, "slice": _slice, "to": _to, "instance_norm": _instance_norm,
}  # fmt: skip
"""What is computed otherwise than it is written; what makes a tensor on a device makes it from the image."""


def _every(block: Any) -> Iterator[Any]:  # noqa: ANN401
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _every(inner)
