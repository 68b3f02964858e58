"""Read the RDF of any package, of format 0.4 or 0.5, into the one view that all rules look at."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bmz_export.package.description import Axis, Description, File, Operation, Problem, Tensor, Weights
from training.errors import PackageError

MAX_BYTES = 2**20
MAX_NODES = 200_000
"""Bounds on a description: aliases that multiply (a thousand laughs) are counted as if written out."""
MAX_DIGITS = 100
"""Of a whole number: beyond some thousand Python neither reads nor prints it, and no tool holds it."""

_AXIS_LETTERS = {"b": "batch", "c": "channel", "t": "time", "i": "index", "z": "space", "y": "space", "x": "space"}
_DEFAULT_IDS = {"batch": "batch", "channel": "channel", "time": "time", "index": "index", "space": "x"}
"""Of axes of format 0.5 that are written without one, as bioimageio.spec has them."""
_BESIDE = ("dependencies", "external_data")
"""Fields of a weights entry that name further files."""
_RENAMED = {"pytorch_script": "torchscript"}


def read_description(path: Path) -> Description:
    """Read a description file.

    Raises
    ------
    UserError
        Where the file is no YAML mapping, or one that is built to exhaust its reader.
    """
    problems: list[Problem] = []
    try:
        return _Reader(problems).description(path, _load(path, problems))
    except (ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PackageError(f"{path}: not readable as a description ({reason}); export the package again") from None


def _load(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PackageError(f"{path}: {path.stat().st_size:,} bytes is no model description")
        text = path.read_bytes().decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _weigh(path, node, problems)
        raw = yaml.load(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise PackageError(f"{path}: not UTF-8 text, so it is no model description") from None
    except RecursionError:
        raise PackageError(f"{path}: nested too deeply for a model description") from None
    except (yaml.YAMLError, ValueError, OSError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PackageError(f"{path}: not readable as YAML ({reason}); correct it or export the package again") from None
    if not isinstance(raw, Mapping):
        raise PackageError(f"{path}: not a YAML mapping, so it is no model description")
    return {str(key): value for key, value in raw.items()}


def _weigh(path: Path, root: yaml.Node, problems: list[Problem]) -> None:
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in above:
            raise PackageError(f"{path}: an alias that contains itself; no tool can read that")
        above.add(id(node))
        count = 1
        if isinstance(node, yaml.ScalarNode):
            _refuse_scalar(path, node)
        elif isinstance(node, yaml.SequenceNode):
            count += sum(size(child) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in {key for key in keys if keys.count(key) > 1} if len(keys) < 1000 else ():
                message = f"the key {key!r} stands twice: tools differ in which they read"
                problems.append(Problem("yaml.duplicate", str(key), message))
            count += sum(size(key) + size(value) for key, value in node.value)
        above.discard(id(node))
        if count > MAX_NODES:
            raise PackageError(f"{path}: aliases multiply to more than {MAX_NODES:,} values; refused")
        sizes[id(node)] = count
        return count

    size(root)


def _refuse_scalar(path: Path, node: yaml.ScalarNode) -> None:
    """Refuse what Python can hold and hardly anything can print or write."""
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MAX_DIGITS:
        raise PackageError(f"{path}: a number of {len(node.value):,} digits; no tool can read that")
    if any("\ud800" <= character <= "\udfff" for character in node.value):
        raise PackageError(f"{path}: {ascii(node.value)[:80]} holds half a character; write the text as UTF-8")


class _Reader:
    """Reads fields by type and notes what is not of it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def note(self, where: str, message: str, kind: str = "field") -> None:
        self.problems.append(Problem(kind, where, f"{where}: {message}"))

    def text(self, where: str, value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value
        self.note(where, f"{show(value)} is not text (put it in quotes)", "field.type")
        return str(value) if isinstance(value, int | float) else None

    def number(self, where: str, value: object) -> float | None:
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        self.note(where, f"{show(value)} is not a number", "field.type")
        return None

    def count(self, where: str, value: object, least: int = 0) -> int | None:
        number = self.number(where, value)
        if number is None:
            return None
        if number != int(number) or not least <= number < 2**31:
            self.note(where, f"{show(value)} is not a whole number of at least {least}", "field.value")
            return None
        return int(number)

    def mapping(self, where: str, value: object) -> Mapping[str, Any]:
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(key): item for key, item in value.items()}
        self.note(where, f"{show(value)} is not a mapping", "field.type")
        return {}

    def items(self, where: str, value: object) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self.note(where, f"{show(value)} is not a list", "field.type")
        return []

    def file(self, where: str, value: object, sha256: object = None) -> File | None:
        if isinstance(value, Mapping):
            sha256 = value.get("sha256", sha256)
            value = value.get("source")
        source = self.text(where, value)
        if not source:
            if value is not None:
                self.note(where, "names no file", "field.value")
            return None
        return File(source.removeprefix("./"), self.text(f"{where}.sha256", sha256))

    def files(self, where: str, value: object) -> list[File | None]:
        return [self.file(where, each) for each in self.items(where, value)]

    def description(self, path: Path, raw: Mapping[str, Any]) -> Description:
        format_version = self.text("format_version", raw.get("format_version")) or ""
        version = tuple(
            int(part) if re.fullmatch("[0-9]{1,9}", part) else 0 for part in (*format_version.split("."), "0", "0")[:3]
        )
        tensors: dict[str, tuple[Tensor, ...]] = {}
        for side in ("inputs", "outputs"):
            tests, samples = (self.files(key, raw.get(key)) for key in (f"test_{side}", f"sample_{side}"))
            if not raw.get(side):
                self.note(side, "there are none", "field.missing")
            tensors[side] = tuple(
                self.tensor(f"{side}[{index}]", value, (tests[index:], samples[index:]), old=version < (0, 5))
                for index, value in enumerate(self.items(side, raw.get(side)))
            )
        weights = self.mapping("weights", raw.get("weights"))
        if not weights:
            self.note("weights", "there are none", "field.missing")
        attachments = raw.get("attachments")
        if isinstance(attachments, Mapping):
            attachments = attachments.get("files")
        return Description(
            path=path,
            raw=raw,
            format_version=format_version,
            version=version,
            type=self.text("type", raw.get("type")) or "",
            name=self.text("name", raw.get("name")) or "",
            id=self.text("id", raw.get("id")),
            inputs=tensors["inputs"],
            outputs=tensors["outputs"],
            weights={
                _RENAMED.get(name, name): self.weights(f"weights.{name}", value) for name, value in weights.items()
            },
            attachments=tuple(filter(None, self.files("attachments", attachments))),
            documentation=self.file("documentation", raw.get("documentation")),
            covers=tuple(filter(None, self.files("covers", raw.get("covers")))),
            icon=self.file("icon", raw.get("icon")) if len(str(raw.get("icon", ""))) > 2 else None,  # else an emoji
            license=raw["license"] if isinstance(raw.get("license"), str) else None,
            config=self.mapping("config", raw["config"]) if raw.get("config") is not None else None,
            problems=tuple(self.problems),
        )

    def tensor(
        self, where: str, value: object, beside: tuple[list[File | None], list[File | None]], *, old: bool
    ) -> Tensor:
        """Read an input or output; ``beside`` are the test and sample files that format 0.4 lists apart."""
        side = where.partition("[")[0]
        raw = self.mapping(where, value)
        given = raw.get("name", raw.get("id")) if old else raw.get("id", raw.get("name", side.removesuffix("s")))
        identifier = self.text(f"{where}.id", given) or ""
        axes = raw.get("axes")
        if isinstance(axes, str):
            parsed = self.axes_of_letters(where, axes, raw, side)
            dtype = self.text(f"{where}.data_type", raw.get("data_type")) or ""
        else:
            if not axes:
                self.note(f"{where}.axes", "there are none", "field.missing")
            listed = self.items(f"{where}.axes", axes)
            parsed = tuple(self.axis(f"{where}.axes[{index}]", axis) for index, axis in enumerate(listed))
            data = raw.get("data")
            first = data[0] if isinstance(data, list) and data else data
            dtype = self.text(f"{where}.data.type", self.mapping(f"{where}.data", first).get("type", "float32")) or ""
        name = "preprocessing" if side == "inputs" else "postprocessing"
        operations = []
        for index, operation in enumerate(self.items(f"{where}.{name}", raw.get(name))):
            place = f"{where}.{name}[{index}]"
            fields = self.mapping(place, operation)
            given = self.text(place, fields.get("id", fields.get("name"))) or ""
            operations.append(Operation(given, self.mapping(f"{place}.kwargs", fields.get("kwargs"))))
        test, sample = (
            self.file(f"{where}.{key}", raw.get(key)) or next(iter(listed), None)
            for key, listed in zip(("test_tensor", "sample_tensor"), beside, strict=True)
        )
        return Tensor(identifier, parsed, dtype, tuple(operations), test, sample, raw)

    def axis(self, where: str, value: object) -> Axis:
        raw = self.mapping(where, value)
        kind = self.text(f"{where}.type", raw.get("type")) or ""
        identifier = self.text(f"{where}.id", raw.get("id", _DEFAULT_IDS.get(kind))) or ""
        size = raw.get("size")
        fixed = least = step = None
        reference, offset = None, 0.0
        if isinstance(size, Mapping):
            if "tensor_id" in size or "axis_id" in size:
                reference = (str(size.get("tensor_id", "")), str(size.get("axis_id", "")))
                offset = self.number(f"{where}.size.offset", size.get("offset")) or 0.0
            elif "min" in size or "step" in size:
                least = self.count(f"{where}.size.min", size.get("min"), 0)
                step = self.count(f"{where}.size.step", size.get("step"), 0)
        elif isinstance(size, str):  # as the format's older drafts wrote "tensor.axis"
            reference = (size.partition(".")[0], size.partition(".")[2])
        elif size is not None:
            fixed = self.count(f"{where}.size", size, 1)
        names = raw.get("channel_names")
        channels = tuple(str(name) for name in names) if isinstance(names, list) else None
        if channels is not None and fixed is None and reference is None:
            fixed = len(channels)
        return Axis(
            id=identifier,
            type=kind,
            size=fixed,
            min=least,
            step=step,
            reference=reference,
            offset=offset,
            scale=self.number(f"{where}.scale", raw.get("scale")) or 1.0,
            halo=self.count(f"{where}.halo", raw.get("halo")) or 0,
            unit=self.text(f"{where}.unit", raw.get("unit")),
            channel_names=channels,
            raw=raw,
        )

    def axes_of_letters(self, where: str, letters: str, raw: Mapping[str, Any], side: str) -> tuple[Axis, ...]:
        """Read the axes of format 0.4: letters, and one list each for sizes, steps and halo."""
        shape = raw.get("shape")
        fields = shape if isinstance(shape, Mapping) else {"min": shape, "step": [0] * len(letters)}
        halo = raw.get("halo")
        if shape is None:
            self.note(f"{where}.shape", "there is none", "field.missing")

        def nth(value: object, index: int) -> object:
            return value[index] if isinstance(value, list) and index < len(value) else None

        reference = fields.get("reference_tensor")
        axes = []
        for index, letter in enumerate(letters):
            kind = _AXIS_LETTERS.get(letter, letter)
            identifier = letter if kind == "space" else kind
            least = self.count(f"{where}.shape[{index}]", nth(fields.get("min"), index), 1)
            step = self.count(f"{where}.shape.step[{index}]", nth(fields.get("step"), index))
            scale = self.number(f"{where}.shape.scale[{index}]", nth(fields.get("scale"), index))
            offset = self.number(f"{where}.shape.offset[{index}]", nth(fields.get("offset"), index))
            follows = (str(reference), identifier) if reference is not None and kind != "batch" else None
            dynamic = bool(step) and kind != "batch"
            axes.append(
                Axis(
                    id=identifier,
                    type=kind,
                    size=least if not dynamic and kind != "batch" else None,
                    min=least if dynamic else None,
                    step=step if dynamic else None,
                    reference=follows,
                    offset=2 * (offset or 0.0),
                    scale=1.0 if scale is None or not follows else 1 / scale if scale else math.inf,
                    halo=self.count(f"{where}.halo[{index}]", nth(halo, index)) or 0,
                )
            )
        return tuple(axes)

    def weights(self, where: str, value: object) -> Weights:
        raw = self.mapping(where, value)
        architecture, call, kwargs = raw.get("architecture"), raw.get("callable"), raw.get("kwargs")
        file = None
        if isinstance(architecture, Mapping):
            call, kwargs = architecture.get("callable"), architecture.get("kwargs")
            file = self.file(f"{where}.architecture", architecture) if "source" in architecture else None
        elif isinstance(architecture, str) and ".py" in architecture:  # format 0.4: "file.py:Class"
            source, _, call = architecture.rpartition(":")
            file = self.file(f"{where}.architecture", source or architecture, raw.get("architecture_sha256"))
        elif isinstance(architecture, str):
            call = architecture
        version = next((raw[key] for key in raw if key.endswith("_version") and key != "opset_version"), None)
        beside = {key: self.file(f"{where}.{key}", raw[key]) for key in _BESIDE if isinstance(raw.get(key), Mapping)}
        return Weights(
            beside={key: each for key, each in beside.items() if each},
            file=self.file(where, raw if "source" in raw else None),
            parent=self.text(f"{where}.parent", raw.get("parent")),
            version=self.text(f"{where}.version", version),
            opset=self.count(f"{where}.opset_version", raw.get("opset_version")),
            architecture=file,
            callable=self.text(f"{where}.callable", call),
            kwargs=self.mapping(f"{where}.kwargs", kwargs),
            raw=raw,
        )


def show(value: object) -> str:
    """Return a value as YAML gave it, short enough for a message."""
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
