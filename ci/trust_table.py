"""Write ``docs/trust.md``: each planted fault, what catches it here, and whether bioimageio's own test does.

Each fault is planted anew, checked as ``bmz-fmd check`` does and handed to ``bioimageio.core.test_description`` in a
process of its own. Run it after the faults in ``tests/planted`` or the versions in ``pyproject.toml`` changed:
``python ci/trust_table.py`` (some ten minutes).
"""

import multiprocessing
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "trust.md"
RESULTS = "# What verdicts on results find"  # the page's other part, which ci/trust_results.py writes
TIMEOUT = 120
"""Seconds that bioimageio's test may take for one package."""

sys.path.insert(0, str(ROOT / "tests"))

from planted import FAMILIES, Fault, Sound, plant  # noqa: E402

from bmz_export.checking.check import CheckOptions, check  # noqa: E402
from bmz_export.tools import TOOLS  # noqa: E402
from training.errors import UserError  # noqa: E402

_HEAD = """# What is caught

{count} faults, each planted in a real package of a narrow network that is in order otherwise (hashes included, unless
the fault is about them), and what finds each. `bmz-fmd check` catches {caught} of {count}; `bioimageio test`
(bioimageio.core {core}, bioimageio.spec {spec}), run on the same packages, {library} of the {tried} that could be tried
safely. It asks another question: whether the package is valid and gives its own test output in Python, not whether
Fiji, QuPath and ilastik load it and show the same pixels.

Written by `ci/trust_table.py`, which plants and runs all of them; the planters are in `tests/planted`, and
`tests/bmz_export/checking/test_planted_faults.py` sees each caught and named. None of the hostile packages gets to run
anything under `bmz-fmd check`; where bioimageio's own test let one run, the table says so. In brackets stands its
status.
"""


@dataclass(frozen=True)
class Verdict:
    """What became of one fault."""

    fault: Fault
    caught: str
    library: str


def main() -> None:
    """Plant, check and test every fault, and write the table."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "onnxruntime", "bioimageio.core"])
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-trust-") as name:
        folder = Path(name)
        sound = Sound(folder / "sound")
        for network in ("dncnn", "drunet", "restormer"):
            sound.copy(network, folder / f"sound-{network}")
            status = _library(context, folder / f"sound-{network}", folder / "none")
            if status != "passes it":
                raise SystemExit(f"bioimageio's test of the sound {network} package: {status}")
        verdicts = []
        for family in FAMILIES:
            for fault in family.faults:
                verdicts.append(_judge(context, fault, sound, folder / fault.name))
                print(f"{fault.name}: {verdicts[-1].caught}; {verdicts[-1].library}", file=sys.stderr)
    _, heading, results = TARGET.read_text(encoding="utf-8").partition(RESULTS)
    TARGET.write_text("\n".join([document(verdicts), heading + results]).rstrip() + "\n", encoding="utf-8")


def _judge(context: Any, fault: Fault, sound: Sound, where: Path) -> Verdict:
    path, package = plant(fault, sound, where)
    caught = _caught(fault, path)
    library = f"not tried: {fault.library}" if fault.library else _library(context, path, package.canary)
    return Verdict(fault, caught, library)


def _caught(fault: Fault, path: Path) -> str:
    options = CheckOptions(rules_only=True) if fault.engines is None else CheckOptions(engines=fault.engines)
    try:
        certificate = check(path, options)
    except UserError:
        return "refused" if fault.refused else "no"
    return (
        fault.rule
        if any((found.severity, found.rule) == (fault.severity, fault.rule) for found in certificate.faults)
        else "no"
    )


def _library(context: Any, path: Path, canary: Path) -> str:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_test, args=(path, sender))
    process.start()
    sender.close()
    answered = receiver.poll(TIMEOUT)
    try:
        status = receiver.recv() if answered else "no end"
    except EOFError:
        status = "a crash"
    process.kill()
    process.join()
    if canary.exists():
        canary.unlink()
        return "runs its code"
    return "passes it" if status == "passed" else f"catches it ({status})"


def _test(path: Path, sender: Connection) -> None:
    import warnings

    from bioimageio.core import test_description

    warnings.simplefilter("ignore")
    try:
        status = str(test_description(path / "rdf.yaml" if path.is_dir() else path, devices=["cpu"]).status)
    except Exception as error:  # noqa: BLE001 -- whatever it raises is how it catches the fault
        status = type(error).__name__
    sender.send(status)


def document(verdicts: list[Verdict]) -> str:
    """Return the page."""
    tried = [verdict for verdict in verdicts if not verdict.fault.library]
    library = [verdict for verdict in tried if verdict.library.startswith("catches")]
    parts = [
        _HEAD.format(
            count=len(verdicts),
            caught=sum(verdict.caught != "no" for verdict in verdicts),
            core=version("bioimageio.core"),
            spec=version("bioimageio.spec"),
            library=len(library),
            tried=len(tried),
        )
    ]
    parts.append(_table(("family", "faults", "`bmz-fmd check`", "`bioimageio test`"), list(_counts(verdicts))))
    for family in FAMILIES:
        rows = [
            (verdict.fault.what, f"`{verdict.caught}`", _how(verdict.fault), verdict.library)
            for verdict in verdicts
            if verdict.fault.family == family.name
        ]
        parts.append(f"## {family.name.capitalize()}\n")
        parts.append(_table(("fault", "caught by `check` as", "seen by", "`bioimageio test`"), rows))
    return "\n".join(parts)


def _counts(verdicts: list[Verdict]) -> list[tuple[str, ...]]:
    all_, ours, theirs = (Counter[str]() for _ in range(3))
    for verdict in verdicts:
        all_[verdict.fault.family] += 1
        ours[verdict.fault.family] += verdict.caught != "no"
        theirs[verdict.fault.family] += verdict.library.startswith("catches")
    return [(family.name, *(str(count[family.name]) for count in (all_, ours, theirs))) for family in FAMILIES]


def _how(fault: Fault) -> str:
    if fault.refused:
        return "opening it"
    return "rules" if any(fault.rule == rule.name for each in TOOLS.values() for rule in each.rules) else "running it"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
