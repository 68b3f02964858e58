"""Write ``bmz_export/inspection/torchscript/libtorch.json``: the operators that each libtorch of the tools knows.

Each libtorch is asked itself, name by name: an archive that calls the operator wrongly is loaded, and the complaint
says whether the operator is known and which signatures it has. The names come from the libraries' own text and from the
registry of the torch installed here. Run it after a version in ``ci/lock_maven.py`` changed (it takes some minutes):
``python ci/operator_tables.py``.
"""

import json
import re
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmz_export.engines.base import Job
from bmz_export.engines.java import JAVA_ENGINES, JavaEngine
from bmz_export.engines.process import run_worker
from bmz_export.engines.runtimes import Predict, djl
from bmz_export.inspection.torchscript.operators import TABLE

NAMESPACES = ("aten", "prim", "quantized", "prepacked")
_CODE = """class Probe(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: {kind},
    image: Tensor) -> Tensor:
    return {call}
"""
_SCHEMA = re.compile(r"^\s*(\w+::\w+(?:\.\w+)?\(.*\) -> .*?):?\s*$", re.MULTILINE)
_OLDEST_FORMAT, _NEWEST_FORMAT = 3, 40


def main() -> None:
    """Ask every libtorch and write the table."""
    engines = [engine for engine in JAVA_ENGINES if engine.runtime == "djl"]
    for engine in engines:
        engine.install()
    names = _names([engine.folder for engine in engines])
    table: dict[str, Any] = {"format": {}, "operators": {}}
    for engine in engines:
        answer = _ask(engine, names)
        table["format"][engine.name] = answer["format"]
        for name, schemas in answer["operators"].items():
            signatures = table["operators"].setdefault(name, {})
            for signature in sorted({_compact(schema) for schema in schemas}) or ["?"]:
                signatures.setdefault(signature, []).append(engine.version)
        print(engine.name, len(answer["operators"]), "operators, archives up to", answer["format"], file=sys.stderr)
    _write(table, [engine.version for engine in engines])


def _write(table: dict[str, Any], versions: list[str]) -> None:
    """Write one line an operator; a signature that all versions have stands without their list."""
    lines = []
    for name, signatures in sorted(table["operators"].items()):
        shortened = {s: None if known == versions else known for s, known in signatures.items()}
        lines.append(f"  {json.dumps(name)}: {json.dumps(shortened, separators=(',', ':'))}")
    head = f'{{\n "versions": {json.dumps(versions)},\n "format": {json.dumps(table["format"])},\n "operators": {{\n'
    TABLE.write_text(head + ",\n".join(lines) + "\n }\n}\n")


def _compact(schema: str) -> str:
    """Return a schema's arguments in short: names, ``*`` before those given by name alone, ``=`` behind a default.

    Examples
    --------
    >>> _compact("aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor")
    'self,other,*,alpha='
    """
    inside = schema[schema.index("(") + 1 : schema.rindex(") -> ")]
    while (flat := re.sub(r"\([^()]*\)|\[[^][]*\]", "", inside)) != inside:
        inside = flat
    halves = [each.strip().partition("=") for each in inside.split(",") if each.strip()]
    return ",".join(name.split()[-1] + equals for name, equals, _ in halves)


def _names(folders: list[Path]) -> list[str]:
    import torch

    names = {schema.name for schema in torch._C._jit_get_all_schemas()}
    texts = re.compile(rb"[\x20-\x7e]{6,}")
    written = re.compile(rb"(?:(\w+)::)?([A-Za-z_]\w*)(?:\.\w+)?\(")
    for folder in folders:
        for library in (folder / "unpacked").rglob("libtorch_cpu*"):
            for text in texts.findall(library.read_bytes()):
                found = written.match(text) if b") -> " in text else None
                if found:
                    names.add(f"{(found[1] or b'aten').decode()}::{found[2].decode()}")
    return sorted(name for name in names if name.split("::")[0] in NAMESPACES)


def _ask(engine: JavaEngine, names: list[str]) -> dict[str, Any]:
    """Ask one libtorch in a process of its own; a question that ends the process is not asked again."""
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.jsonl"
        job = Job(Path(folder), "torchscript", _archive(Path(folder)), (np.zeros(1),), timeout=1800)
        options = {**engine.options(engine.folder), "answers": str(answers)}
        left = names
        while left:
            outcome = run_worker("ci.operator_tables", job, {**options, "names": left})
            known = [json.loads(line) for line in answers.read_text().splitlines()]
            asked = {answer["name"] for answer in known}
            left = [each for each in names if each not in asked]
            if outcome.error and left:
                print(f"{engine.name}: {left[0]} ends the process ({outcome.error})", file=sys.stderr)
                with answers.open("a") as file:
                    file.write(json.dumps({"name": left.pop(0), "schemas": None}) + "\n")
        operators = {answer["name"]: answer["schemas"] for answer in known if answer["schemas"] is not None}
        return {"operators": operators, "format": int(outcome.outputs[0][0])}


def _archive(folder: Path) -> Path:
    """Save a network whose code the probe then replaces."""
    import torch

    class Probe(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image + 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Probe(), torch.zeros(1)).save(str(folder / "probe.pt"))
    return folder / "probe.pt"


def load(task: dict[str, Any]) -> Predict:
    """Ask the libtorch in this process; each answer is a line of a file, so that a crash loses none."""
    base = Path(task["weights"])
    predict = djl.load(task)
    assert predict is not None
    answers = Path(task["options"]["answers"])

    def ask(_image: NDArray[np.float32]) -> list[NDArray[Any]]:
        newest = max(
            version for version in range(_OLDEST_FORMAT, _NEWEST_FORMAT) if not _complaint(base, "image", version)
        )
        for name in task["options"]["names"]:
            schemas = _schemas(base, name, newest)
            with answers.open("a") as file:
                file.write(json.dumps({"name": name, "schemas": schemas}) + "\n")
        return [np.array([newest])]

    return ask


def _schemas(base: Path, name: str, newest: int) -> list[str] | None:
    """Return an operator's signatures, in archives new and old: an old one may use signatures that were upgraded."""
    schemas: list[str] = []
    for version in (newest, _OLDEST_FORMAT):
        complaint = _complaint(base, f"{_spelling(name)}(no_such_argument=image)", version)
        if "Unknown builtin op" in complaint:
            return None
        schemas += [schema for schema in _SCHEMA.findall(complaint) if re.split(r"[.(]", schema)[0] == name]
    return schemas


def _spelling(name: str) -> str:
    space, _, short = name.partition("::")
    return f"torch.{short}" if space == "aten" else f"ops.{space}.{short}"


def _complaint(base: Path, call: str, version: int) -> str:
    """Load the archive with this call as its code and return what the library says of it, or nothing."""
    import jpype

    target = Path("probe.pt").absolute()
    with zipfile.ZipFile(base) as source, zipfile.ZipFile(target, "w") as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, _changed(entry.filename, source.read(entry), call, version))
    model = jpype.JClass("ai.djl.Model").newInstance("probe", jpype.JClass("ai.djl.Device").cpu(), "PyTorch")
    try:
        model.load(jpype.JClass("java.nio.file.Paths").get(str(target.parent)), target.name)
    except jpype.JException as error:
        return str(error)
    finally:
        model.close()
    return ""


def _changed(name: str, data: bytes, call: str, version: int) -> bytes:
    if name.endswith("/version"):
        return f"{version}\n".encode()
    if "/code/" in name and name.endswith(".py"):
        kind = re.search(rb"self: (\S+?)[,)]", data)
        assert kind
        return _CODE.format(kind=kind.group(1).decode(), call=call).encode()
    return data


if __name__ == "__main__":
    main()
