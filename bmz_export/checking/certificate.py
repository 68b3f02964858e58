"""What a check found, as one value: printed, written as JSON, and put into the package with a picture.

Only what ran counts as passed. Files of version 1 (``certificate: 1``) are read too; they have no verdicts by tool.
"""

from __future__ import annotations

import hashlib
import json
from operator import attrgetter
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bmz_export.package.description import Description, Tensor
from bmz_export.package.fiji_memory import Memory
from bmz_export.tools import TOOLS

NAME, PICTURE = "certificate.json", "certificate.png"
SCHEMA_ID = "https://bmz-fmd.readthedocs.io/certificate-2.schema.json"
TENSORS, LIBRARY_TEST = "tensors", "bioimageio test"
"""What stands as the engine of a row that no engine gave: formats compared, and bioimageio's own test."""
LATE: Final = "no answer in time"
"""The verdict on a run that was stopped at a limit of time: it says nothing of the package."""

LARGEST = 2**24
"""Bytes of a file that is read as a certificate."""

Verdict = Literal["passed", "failed", "not compared", "no answer in time", "not installed", "not run"]
TileVerdict = Literal["passed", "failed", "no answer in time", "not run", "shown"]
State = Literal["same pixels", "differs in places", "other pixels", "will not open", "not compared", "not tried"]
Place = Literal["interior", "seam", "cut", "edge"]
Severity = Literal["error", "warning"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: object) -> object:
        return _printable_text(value)


def _printable_text(value: object) -> object:
    """Return text that can be printed and encoded: a package's words may hold lone surrogates and terminal codes."""
    if isinstance(value, str):
        return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in value)
    if isinstance(value, tuple | list):
        return tuple(map(_printable_text, value))
    if isinstance(value, dict):
        return {_printable_text(key): each for key, each in value.items()}
    return value


class Difference(_Value):
    """How far one result is from another, as a part of the range (maximum minus minimum) of the result it should be."""

    largest: float = Field(description="largest absolute difference of a pixel", ge=0)
    mean: float = Field(description="mean absolute difference", ge=0)


class Row(_Value):
    """One engine on one weights format."""

    tools: tuple[str, ...] = Field(description="the tools that ship this engine")
    engine: str = Field(description="name of the engine")
    title: str
    version: str
    weights: str = Field(description="weights format")
    sizes: tuple[str, ...] = Field(default=(), description="shapes that were run, batch first")
    difference: Difference | None = Field(
        default=None, description="to the test output, and at other sizes between engines"
    )
    seconds: float | None = Field(default=None, description="for the test image, once warm", ge=0)
    peak_memory: int | None = Field(default=None, description="bytes that the process held at most", ge=0)
    verdict: Verdict = Field(
        description="not compared: it ran, but neither the test output nor another engine was there to compare with"
    )
    note: str = ""

    @property
    def is_engine(self) -> bool:
        """Whether an engine ran, rather than the formats being compared or bioimageio testing by itself."""
        return self.engine not in (TENSORS, LIBRARY_TEST)


class TileRow(_Value):
    """One tool's own tiling against the whole image, by region."""

    tool: str
    way: str = Field(description="how it cuts and pads")
    engine: str
    image: tuple[int, int] = Field(description="height and width in pixels")
    tiles: int
    near: int = Field(default=0, description="pixels that count as at a seam or an edge; 0: not written", ge=0)
    interior: Difference | None = None
    seam: Difference | None = None
    edge: Difference | None = None
    cut: Difference | None = None
    verdict: TileVerdict = Field(
        description="passed: no region is more than 1e-3 of the range off the whole image; shown: one is, and the "
        "tool's user sees it; else the note says why"
    )
    note: str = ""


class Seam(_Value):
    """What remains at a seam between two tiles that overlap by the declared halo."""

    halo: int = Field(description="pixels, as declared; the least of height and width", ge=0)
    difference: Difference
    stated: float | None = Field(
        default=None, description="largest difference that the package stated before this check"
    )


class Fault(_Value):
    """What is wrong, for which tools: the rule or measurement, what their user sees, the way out."""

    severity: Severity
    tools: tuple[str, ...]
    rule: str
    message: str
    seen: str
    way_out: str
    source: str = Field(default="", description="where the rule was read or how it was found")

    def line(self) -> str:
        """Return it as one line."""
        every = {tool.title for tool in TOOLS.values()}.issubset(self.tools)
        tools = "all tools" if every else ", ".join(self.tools)
        return f"{self.severity}: {tools}: [{self.rule}] {self.message}; {self.seen}; {self.way_out}"


class ToolVerdict(_Value):
    """What a tool's user can expect of the package."""

    tool: str
    verdict: State = Field(
        description="same pixels: its engine ran and gave them, within 1e-3 of the range; differs in places: the same, "
        "but not where a large image is tiled as the README says, at the places named; not compared: "
        "it ran, with nothing to compare with; not tried: nothing of it ran"
    )
    sentence: str = Field(description="the verdict with its cause and the way out, to be read after the tool's name")
    places: tuple[Place, ...] = Field(
        default=(),
        description="where a large image, tiled as the README says, differs from the whole by more than 1e-3",
    )
    off: float = Field(default=0, description="largest difference there, as a part of the range", ge=0)


class Certificate(_Value):
    """What a check found."""

    certificate: Literal[1, 2] = 2
    package: str
    format_version: str
    made_by: str
    created: str
    machine: str
    rules_only: bool = False
    trusted: bool = False
    rules: int = Field(description="rules that were applied, one that several tools share counted once")
    rules_version: str = Field(default="", description="digest of the rules, trials, tilings and limits that decided")
    tools: tuple[ToolVerdict, ...] = Field(default=(), description="what comes of it, tool by tool")
    rows: tuple[Row, ...] = Field(default=(), description="what ran, and what did not")
    tiles: tuple[TileRow, ...] = ()
    seam: Seam | None = None
    seam_note: str = Field(default="", description="why no seam between two tiles was measured")
    beats_noisy: bool | None = Field(
        default=None, description="whether the model improves its noisy test images, as the package's provenance has it"
    )
    judgement: str = Field(default="", description="the same in a sentence, with the figures")
    trust: str = Field(
        default="",
        description="what its results of test images were judged to be without clean images, as the package's "
        "provenance has it",
    )
    memory: Memory | None = Field(
        default=None, description="what deepImageJ takes for the model, measured in the engine that Fiji has"
    )
    stated: str = Field(default="", description="what the certificate inside the package says, where it holds still")
    faults: tuple[Fault, ...] = Field(default=(), description="errors first")
    hashes: dict[str, str] = Field(default={}, description="sha256 of each weights file and tensor that was tested")
    description_sha256: str = Field(default="", description="of what the description says that decides the numbers")

    @property
    def errors(self) -> tuple[Fault, ...]:
        """What makes a tool fail or show wrong pixels."""
        return tuple(fault for fault in self.faults if fault.severity == "error")

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What is less than that."""
        return tuple(fault for fault in self.faults if fault.severity == "warning")

    @property
    def exit_code(self) -> int:
        """0 where nothing that ran failed and no rule found an error, else 1."""
        verdicts = [row.verdict for row in self.rows] + [tile.verdict for tile in self.tiles]
        return 1 if "failed" in verdicts or self.errors else 0

    @property
    def worst(self) -> float | None:
        """The largest difference of any engine, None where none ran."""
        return max((row.difference.largest for row in self.rows if row.difference), default=None)

    def to_json(self) -> str:
        """Return it as JSON that follows the published schema."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Certificate | None:
        """Read a certificate that a package carries; None where it is none of ours, or of a later version."""
        try:
            with path.open("rb") as stream:
                return cls.model_validate_json(stream.read(LARGEST))
        except (OSError, ValueError):
            return None


def json_schema() -> str:
    """Return the schema of a certificate's JSON, made from the model itself."""
    schema = Certificate.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(head | schema, indent=2) + "\n"


def description_hash(description: Description) -> str:
    """Return the sha256 of what decides the numbers, as far as the description says it: tensors and arguments.

    Names, authors, dates and attachments may change around it, and a library may write the file anew with its defaults.
    """
    decisive = {
        "inputs": [_tensor_facts(tensor) for tensor in description.inputs],
        "outputs": [_tensor_facts(tensor) for tensor in description.outputs],
        "weights": {name: [entry.callable, entry.kwargs] for name, entry in description.weights.items()},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()


def _tensor_facts(tensor: Tensor) -> list[object]:
    facts = attrgetter("id", "type", "size", "min", "step", "reference", "offset", "scale", "halo")
    axes = [facts(axis) for axis in tensor.axes]
    operations = [[operation.id, operation.kwargs] for operation in tensor.operations if operation.changes]
    return [tensor.id, tensor.dtype, axes, operations]
