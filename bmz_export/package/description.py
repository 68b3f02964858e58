"""One typed view of what the RDF of any package says, of format 0.4 or 0.5, ours or a stranger's.

Nothing malformed raises: a field that cannot be understood becomes a :class:`Problem` and its neutral value, so that
every tool's rules can still look at the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MEASURING = frozenset({"zero_mean_unit_variance", "scale_range", "scale_mean_variance"})


@dataclass(frozen=True)
class Problem:
    """Something in a package that some tool would stumble over: a short name of its kind, where it is, and what."""

    kind: str
    where: str
    message: str


@dataclass(frozen=True)
class File:
    """A file that the description names: its source as written and the sha256 that it claims."""

    source: str
    sha256: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it is an address instead of a file of the package."""
        return "://" in self.source


@dataclass(frozen=True)
class Axis:
    """An axis of a tensor.

    Attributes
    ----------
    id, type : str
        ``type`` is batch, channel, space, time, index or whatever is written; ``id`` the format's own where none is.
    size : int or None
        The fixed size.
    min, step : int or None
        The least size and what may be added to it.
    reference : (str, str) or None
        Tensor and axis whose size this one follows: ``size = reference / scale * reference scale + offset``.
    offset, scale : float
        ``offset`` in pixels of this axis; ``scale`` is the pixel's size, 1 where none is written, infinite where the
        size does not depend on the reference (``scale: 0`` in format 0.4).
    halo : int
        Pixels to cut from each side of an output.
    channel_names : tuple of str or None
        None where the axis is no channel axis or lists none.
    raw : Mapping
        As written.
    """

    id: str
    type: str
    size: int | None = None
    min: int | None = None
    step: int | None = None
    reference: tuple[str, str] | None = None
    offset: float = 0.0
    scale: float = 1.0
    halo: int = 0
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def letter(self) -> str:
        """The axis as one letter of ``btczyx``; ``?`` for any other."""
        if self.type in ("batch", "channel", "time"):
            return self.type[0]
        return self.id if self.id in ("z", "y", "x") else "i" if self.type == "index" else "?"

    def at(self, n: int, *, batch: int = 1) -> int:
        """Return the size after ``n`` steps, where it does not follow another tensor."""
        if self.type == "batch":
            return self.size or batch
        if self.size is not None:
            return self.size
        return (self.min or 1) + n * (self.step or 0)

    def at_least(self, size: int) -> int:
        """Return the first size that is no less than ``size``; the only one where it is fixed."""
        return self.at(max(-((self.at(0) - size) // self.step), 0)) if self.step else self.at(0)


@dataclass(frozen=True)
class Operation:
    """A pre- or postprocessing operation and its arguments, as written."""

    id: str
    kwargs: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        """Whether it changes a float32 image: bioimageio.spec writes an ``ensure_dtype`` into every description."""
        return self.id != "ensure_dtype" or self.kwargs.get("dtype") != "float32"

    @property
    def measures(self) -> bool:
        """Whether it measures the image that it is given: each tile by itself, where an image comes in tiles."""
        return self.id in _MEASURING and self.kwargs.get("mode") != "fixed"


@dataclass(frozen=True)
class Tensor:
    """An input or output of the model; ``operations`` are its pre- or postprocessing."""

    id: str
    axes: tuple[Axis, ...]
    dtype: str
    operations: tuple[Operation, ...]
    test: File | None
    sample: File | None
    raw: Mapping[str, Any]

    @property
    def order(self) -> str:
        """The axes as letters, such as ``bcyx``."""
        return "".join(axis.letter for axis in self.axes)

    def axis(self, letter: str) -> Axis | None:
        """Return the axis of that letter, or None."""
        return next((axis for axis in self.axes if axis.letter == letter), None)

    @property
    def space(self) -> tuple[Axis, ...]:
        """The space axes, in order."""
        return tuple(axis for axis in self.axes if axis.type == "space")

    def shape(self, n: int, *, batch: int = 1) -> tuple[int, ...]:
        """Return the shape after ``n`` steps on every axis."""
        return tuple(axis.at(n, batch=batch) for axis in self.axes)

    def pixels(self, n: int) -> int:
        """Return how many values an image has after ``n`` steps on every axis, however large a description says."""
        return math.prod(self.shape(n))


@dataclass(frozen=True)
class Weights:
    """One entry of ``weights``."""

    file: File | None
    parent: str | None
    version: str | None
    opset: int | None
    architecture: File | None
    callable: str | None
    kwargs: Mapping[str, Any]
    raw: Mapping[str, Any]
    beside: Mapping[str, File] = field(default_factory=dict)
    """Other files, by the field that names them: the environment, an ONNX's second file."""

    @property
    def source(self) -> str | None:
        """The weights file as written."""
        return self.file.source if self.file else None


@dataclass(frozen=True)
class Description:
    """What an RDF says.

    Attributes
    ----------
    path : Path
        The file it was read from.
    raw : Mapping
        The YAML as it is.
    format_version : str
        As written; ``version`` is the same as numbers, (0, 0, 0) where it cannot be read.
    weights : Mapping
        From format (``pytorch_state_dict``, ``torchscript``, ``onnx``, ...) to entry, in the order written.
    problems : tuple of Problem
        What could not be understood.
    """

    path: Path
    raw: Mapping[str, Any]
    format_version: str
    version: tuple[int, ...]
    type: str
    name: str
    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: Mapping[str, Weights]
    attachments: tuple[File, ...]
    documentation: File | None
    covers: tuple[File, ...]
    icon: File | None
    license: str | None
    config: Mapping[str, Any] | None
    problems: tuple[Problem, ...]

    @property
    def processed(self) -> bool:
        """Whether any operation before or after the network changes what an image becomes."""
        return any(each.changes for tensor in (*self.inputs, *self.outputs) for each in tensor.operations)

    def tensor(self, identifier: str) -> Tensor | None:
        """Return the first input or output of that id, or None."""
        return next((tensor for tensor in (*self.inputs, *self.outputs) if tensor.id == identifier), None)

    def followed(self, axis: Axis) -> Axis | None:
        """Return the axis of another tensor whose size this one follows, None where it follows none that is there."""
        if axis.reference is None:
            return None
        tensor, name = self.tensor(axis.reference[0]), axis.reference[1]
        return next((other for other in tensor.axes if name in (other.id, other.letter)), None) if tensor else None

    def files(self) -> Iterator[tuple[str, File]]:
        """Yield where each file is named and the file."""
        named: list[tuple[str, File | None]] = []
        for tensor in (*self.inputs, *self.outputs):
            named += [(f"test tensor of {tensor.id}", tensor.test), (f"sample tensor of {tensor.id}", tensor.sample)]
        for name, entry in self.weights.items():
            named += [(f"weights.{name}", entry.file), (f"weights.{name}.architecture", entry.architecture)]
            named += [(f"weights.{name}.{key}", file) for key, file in entry.beside.items()]
        named += [
            ("documentation", self.documentation),
            ("icon", self.icon),
            *(("covers", cover) for cover in self.covers),
        ]
        named += [("attachments", attachment) for attachment in self.attachments]
        return ((where, file) for where, file in named if file)

    def output_shape(self, output: Tensor, shapes: Mapping[str, Sequence[int]]) -> tuple[int | None, ...]:
        """Return the shape that an output should have for inputs of these shapes; None where it depends on the data."""
        return tuple(self._output_size(axis, shapes) for axis in output.axes)

    def _output_size(self, axis: Axis, shapes: Mapping[str, Sequence[int]]) -> int | None:
        known = [tensor for tensor in self.inputs if tensor.id in shapes and tensor is self.tensor(tensor.id)]
        if axis.type == "batch":
            sizes = (shapes[each.id][each.order.index("b")] for each in known if "b" in each.order)
            return next(sizes, axis.size)
        if axis.reference is None:
            return axis.size
        source, other = self.tensor(axis.reference[0]), self.followed(axis)
        if source is None or other is None or source.id not in shapes:
            return None
        size = shapes[source.id][next(index for index, each in enumerate(source.axes) if each is other)]
        scaled = size * other.scale / (axis.scale or 1.0) + axis.offset
        return math.floor(scaled + 1e-6)  # 49 * 0.7 / 0.7 is a little less than 49
