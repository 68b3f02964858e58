"""Which weights of a package are right: each format is tried in a process of its own, against the test output."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.checking.own_architecture import composed, plain_arguments
from bmz_export.checking.runner import CheckOptions, Log
from bmz_export.engines.base import Job, Outcome
from bmz_export.engines.process import run_worker
from bmz_export.inspection import Inspection
from bmz_export.inspection.safety import unsafe
from bmz_export.inspection.source import MAX_BYTES
from bmz_export.package.description import Tensor
from bmz_export.package.weights import CALLABLE, TOLERANCE, difference
from training.errors import PackageError
from training.networks import NETWORKS

Array = NDArray[np.float32]

SAME = 1e-3
"""Of the output's range: BioImage.IO's own tolerance."""
_QUOTED = re.compile(r"^    model = denoiser\((\{[^{}\n]*\}), (\{[^{}\n]*\})\)$", re.MULTILINE)
_NAMES = {"pytorch_state_dict": "the state dict", "torchscript": "the TorchScript", "onnx": "the ONNX"}


@dataclass
class Source:
    """Weights that everything may be made anew from.

    Attributes
    ----------
    format : str
        The weights format.
    path : Path
        Its file.
    architecture : mapping or None
        The network that the tensors of the file are put into; None where the file holds the network itself.
    output : array or None
        What it makes of the trial image, (batch, channel, y, x); None where it fails.
    error : str
        Why it fails.
    """

    format: str
    path: Path
    architecture: Mapping[str, Any] | None = None
    output: Array | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """In words."""
        return _NAMES[self.format] + (
            " (its tensors in the network's own code)" if self.architecture and self.format == "torchscript" else ""
        )


@dataclass
class Around:
    """What stands around the bare network, as the worker takes it."""

    takes: Tensor
    gives: Tensor
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """As JSON holds it."""
        before, after = (
            [(each.id, dict(each.kwargs)) for each in tensor.operations if each.changes]
            for tensor in (self.takes, self.gives)
        )
        return {
            "takes": self.takes.order,
            "gives": self.gives.order,
            "dtype": self.takes.dtype if re.fullmatch("float(16|32|64)", self.takes.dtype) else "float32",
            "around": {"before": before, "after": after, "input": self.takes.id},
        }


def run_source(
    source: Source, around: Around, images: Sequence[Array], options: CheckOptions, package: Path, **more: object
) -> Outcome:
    """Let the worker load a source; what it returns is told in the outcome."""
    job = Job(package, source.format, source.path, tuple(images), timeout=options.timeout * (4 if more else 1),
              memory_limit=options.memory)  # fmt: skip
    told = around.options | ({"architecture": dict(source.architecture)} if source.architecture else {}) | more
    return run_worker("bmz_export.repair.worker", job, told)


def candidates(inspection: Inspection, around: Around, folder: Path, *, trust: bool) -> Iterator[Source]:
    """Yield what may be tried, the best to make others of first; why others may not is noted in ``around``."""
    architecture = own_architecture(inspection, folder)
    if architecture is None and trust:
        architecture = _stated_architecture(inspection)
    for format in ("pytorch_state_dict", "torchscript", "onnx"):
        path = inspection.weights(format)
        if format not in inspection.description.weights:
            continue
        reason = unsafe(inspection, format, processing=False, trust=trust)
        if path is None or reason:
            around.unusable[format] = reason or "its file is missing"
        elif format == "pytorch_state_dict" and architecture is None:
            around.unusable[format] = "it takes Python of the package to run it, which runs only with `trust`"
        else:
            if format != "onnx" and architecture is not None:
                yield Source(format, path, architecture)
            if format != "pytorch_state_dict":
                yield Source(format, path)


def tried(
    inspection: Inspection, around: Around, image: Array, wanted: Array | None, *, options: CheckOptions,
    folder: Path, log: Log,
) -> list[Source]:  # fmt: skip
    """Return the sources with what each makes of an image, up to the first that gives what is wanted."""
    sources = []
    for source in candidates(inspection, around, folder, trust=options.trust):
        log(f"trying {source.name}")
        images = [image, image * np.float32(2), image]
        outcome = run_source(source, around, images, options, inspection.package.folder)
        if outcome.error is not None:
            source.error = outcome.error
        elif difference(outcome.outputs[0], outcome.outputs[2]) > TOLERANCE:
            source.error = "it gives another result each time"
        else:
            source.output = outcome.outputs[0]
        sources.append(source)
        if gives(source, wanted):
            break  # what the others are is of no importance
    return sources


def fewer_operations(around: Around) -> Iterator[tuple[Around, str]]:
    """Yield the same without operations that a description states, and which these are: some do not belong there."""
    takes, gives = (replace(tensor, operations=()) for tensor in (around.takes, around.gives))
    for other in (
        Around(takes, around.gives) if around.takes.operations else None,
        Around(around.takes, gives) if around.gives.operations else None,
        Around(takes, gives) if around.takes.operations and around.gives.operations else None,
    ):
        if other is not None:
            left = [*other.takes.operations, *other.gives.operations]
            stated = (*around.takes.operations, *around.gives.operations)
            yield other, ", ".join(each.id for each in stated if each not in left)


def choose(sources: Sequence[Source], wanted: Array | None, root: str | None, path: Path) -> tuple[Source, list[str]]:
    """Return the source that is right and what is to be said of the others.

    The one that gives the test output is; where none does, most formats that agree are, and that is said;
    where they contradict each other, the one that the others are said to be made of is taken, and that is said.

    Raises
    ------
    UserError
        Where none runs.
    """
    sound = [each for each in sources if each.output is not None and np.isfinite(each.output).all()]
    said = [f"{each.name} was not used: {each.error or 'it returns NaN or infinity'}" for each in sources
            if each not in sound]  # fmt: skip
    if not sound:
        raise PackageError(f"{path}: cannot be mended: {'; '.join(said) or 'it holds no weights that run here'}")
    right = [each for each in sound if gives(each, wanted)]
    if right:
        wrong = [each for each in sound if each not in right]
    else:
        groups = [[other for other in sound if (_gap(other, each.output) or 0) <= SAME] for each in sound]
        right = max(groups, key=lambda group: len({each.format for each in group}))
        wrong = [each for each in sound if each not in right]
        if wrong and len({each.format for each in right}) < 2:
            right = [each for each in sound if each.format == root][:1] or sound[:1]
            wrong = [each for each in sound if each not in right]
            said.append(f"no weights give the test output and no two agree: {right[0].name}, of which the others "
                        "are said to be made, was taken, and may be the wrong one")  # fmt: skip
        elif wanted is not None:
            said.append("the weights do not give the old test output, with or without the stated operations; look "
                        "whether the new one is right")  # fmt: skip
    said += [f"{each.name} gives other pixels than {right[0].name}, so it was made anew or left out" for each in wrong]
    best = [each for each in right if not (each.format == "torchscript" and each.architecture)]
    plain = next((each for each in best if each.architecture), None)
    again = next((each for each in right if each.format == "torchscript" and each.architecture), None)
    return plain or again or best[0], said


def gives(source: Source, wanted: Array | None) -> bool:
    """Say whether a source gives what is wanted; never where nothing is."""
    gap = _gap(source, wanted)
    return gap is not None and gap <= SAME


def _gap(source: Source, wanted: Array | None) -> float | None:
    return None if wanted is None or source.output is None else difference(wanted, source.output)


def own_architecture(inspection: Inspection, folder: Path) -> Mapping[str, Any] | None:
    """Return our own network's code and arguments where a package holds it byte for byte, else None.

    The file quotes the arguments that it was made with; those of the description count before them, where they are
    plain. A copy is written into ``folder``, so that what runs is what was compared.
    """
    entry = inspection.description.weights.get("pytorch_state_dict")
    path = inspection.package.file(entry.architecture.source) if entry and entry.architecture else None
    if entry is None or path is None or path.stat().st_size > MAX_BYTES:
        return None
    text = path.read_bytes()
    quoted = _QUOTED.search(text.decode("utf-8", "replace"))
    try:
        kwargs = (
            dict(zip(("network", "calibration"), map(ast.literal_eval, quoted.groups()), strict=True)) if quoted else {}
        )
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if not kwargs or not all(isinstance(each, dict) and plain_arguments(each) for each in kwargs.values()):
        return None
    name = next((name for name in NETWORKS if composed(name, kwargs) == text), None)
    if name is None:
        return None
    for part, values in kwargs.items():
        stated = entry.kwargs.get(part)
        known = {key: each for key, each in stated.items() if key in values} if isinstance(stated, Mapping) else {}
        values.update({key: each for key, each in known.items() if each is not None and plain_arguments({key: each})})
    copy = folder / "architecture.py"
    copy.write_bytes(text)
    return {"file": str(copy), "callable": CALLABLE, "kwargs": kwargs, "network": name}


def _stated_architecture(inspection: Inspection) -> Mapping[str, Any] | None:
    """Return the architecture that a trusted package states."""
    entry = inspection.description.weights.get("pytorch_state_dict")
    if entry is None or not entry.callable:
        return None
    kwargs = {key: each for key, each in entry.kwargs.items() if each is not None}
    path = inspection.package.file(entry.architecture.source) if entry.architecture else None
    stated = entry.raw.get("architecture")
    if path is None and isinstance(stated, Mapping) and stated.get("import_from"):
        return {"file": None, "module": str(stated["import_from"]), "callable": entry.callable, "kwargs": kwargs}
    return None if path is None else {"file": str(path), "callable": entry.callable, "kwargs": kwargs}
