"""The structure of a TorchScript network, read from its pickle by an interpreter of the few opcodes that torch writes.

It knows no function and no class of Python: a name stays a name, an object is its class's name and its attributes, a
tensor its shape. Each opcode takes no more memory than its own length and a small object, whatever it claims.
"""

import io
from dataclasses import dataclass, field
from typing import Any

from bmz_export.inspection.pickles import opcodes

_REBUILT = {"_rebuild_tensor_v2", "_rebuild_tensor"}  # (storage, offset, shape, ...)
_SAME = {
    "_rebuild_parameter", "restore_type_tag", "build_intlist", "build_doublelist", "build_boollist", "build_tensorlist",
}  # fmt: skip
"""Functions that return what they are given first."""
_MARK = object()


@dataclass(frozen=True)
class TensorShape:
    """A tensor of the archive, of which only the shape was read."""

    shape: tuple[int, ...]


@dataclass
class Inert:
    """An object of the archive's pickle: the name of its class and its attributes, nothing that could run."""

    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Name:
    """A class or function that the pickle names."""

    module: str
    name: str


def read_structure(data: bytes) -> Any:  # noqa: ANN401 -- whatever the archive holds
    """Return what a pickle describes, usually an ``Inert``; None where it is not of torch's making."""
    try:
        return _Machine().run(data)
    except Exception:  # noqa: BLE001 -- opcodes in any order raise errors of any kind
        return None


class _Machine:
    """The stack and the memo of a pickle while it is read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:  # noqa: ANN401 -- whatever the archive holds
        for name, argument in opcodes(io.BytesIO(data)):
            if name == "STOP":
                return self.stack.pop()
            self.step(name, argument)
        return None

    def step(self, name: str, argument: Any) -> None:  # noqa: ANN401 -- an opcode's argument
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _MAKERS:
            stack.append(_MAKERS[name]())
        elif name == "GLOBAL":
            module, _, what = argument.partition(" ")
            stack.append(_Name(module, what))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name != "PROTO":
            self.combine(name)

    def combine(self, name: str) -> None:
        """Do what an opcode does with what was put down before."""
        stack = self.stack
        if name in _TUPLES:
            count = _TUPLES[name]
            parts = self.marked() if count is None else self.taken(count)
            stack.append(tuple(parts))
        elif name in ("APPEND", "APPENDS"):
            parts = self.taken(1) if name == "APPEND" else self.marked()
            stack[-1].extend(parts)
        elif name in ("SETITEM", "SETITEMS"):
            parts = self.taken(2) if name == "SETITEM" else self.marked()
            pairs = zip(parts[::2], parts[1::2], strict=True)
            # hashing another key may take for ever: a tuple of tuples of tuples
            stack[-1].update({key: value for key, value in pairs if isinstance(key, str)})
        elif name == "BINPERSID":
            stack[-1] = None  # where a tensor's values are
        elif name in ("REDUCE", "NEWOBJ"):
            stack.append(_made(*self.taken(2)))
        elif name == "BUILD":
            (state,) = self.taken(1)
            if isinstance(stack[-1], Inert) and isinstance(state, dict):
                stack[-1].attributes = state
        else:
            raise ValueError(name)

    def taken(self, count: int) -> list[Any]:
        """Take as many as were put down last, in the order in which they were."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def marked(self) -> list[Any]:
        """Take all that was put down since the last mark."""
        parts = []
        while (each := self.stack.pop()) is not _MARK:
            parts.append(each)
        return parts[::-1]


def _made(what: _Name, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 -- whatever the archive holds
    if what.name in _REBUILT:
        return TensorShape(arguments[2] if isinstance(arguments[2], tuple) else ())
    return arguments[0] if what.name in _SAME else Inert(f"{what.module}.{what.name}")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": None}
_MAKERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
