"""Write ``docs/repair.md``: each planted fault and each package of another project, and what mending makes of it.

Mended means: no tool fails or shows other pixels in the check afterwards, and the pixels equal those of the sound
package, in bioimageio.core, to 1e-4 of the range, on two images. Run it after ``bmz_export/repair`` or the faults
changed:


    python ci/repair_table.py measure FIGURES NAME...    # faults, families or strangers; half a minute each
    python ci/repair_table.py table FIGURES...
"""

import json
import re
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "repair.md"
LIMIT = 1e-4
ENGINES = ("torch", "onnxruntime")

sys.path.insert(0, str(ROOT / "tests"))

from planted import FAMILIES, Sound, plant  # noqa: E402
from planted.sound import example  # noqa: E402
from planted.strangers import STRANGERS, make  # noqa: E402

from bmz_export.checking.check import CheckOptions  # noqa: E402
from bmz_export.engines.runtimes.bioimageio_core import pipeline  # noqa: E402
from bmz_export.package.archive import open_package  # noqa: E402
from bmz_export.repair import Mended, mend  # noqa: E402
from training.errors import UserError  # noqa: E402

ORDERS = {"axes-in-another-order": "bcxy", "no-channel-axis": "byx", "stardist": "byxc"}
AS_PLANTED = (
    "lists-as-arguments", "scalars-as-arguments", "statistics-of-each-tile", "axes-in-another-order", "no-channel-axis",
    "strides-not-declared",
)  # fmt: skip
"""Faults in packages whose pixels are right in bioimageio.core as they are, and are to stay."""
MADE_TO_FAIL = ("denoiser-by-statistics", "older-zoo", "biapy")
"""Packages that bioimageio.core runs at the size of their test image alone, or not at all: the test output counts."""

_HEAD = """# What is mended

{count} packages: {faults} faults, planted one by one in a sound package of a narrow network (`tests/planted`), and
{strangers} packages as other projects write them (`tests/planted/strangers.py`). `bmz-fmd fix` mends {mended} of them:
afterwards no rule of any tool finds an error, the engines that were run ({engines}) pass, and the pixels equal those of
the sound package in bioimageio.core, to 1e-4 of the range, on two images. Of the {thirds} faults of the families
weights, tensors and description, these are {third} ({percent:.0f} %).
{worse}

Our packages hold a state dict and the network's code, so most of the planted faults are mended by exporting both other
formats anew, and the pixels are equal to the last digit. The packages of other projects are mended from their
TorchScript alone (the one of CAREamics from its state dict, trusted), which is the harder case.

Hostile packages are refused, and nothing of them runs. What cannot be mended is refused with the reason, and nothing
is written; what is mended in part says so in its README, with the exit code 1. Where nothing was to be mended, no rule
was broken: the fault shows only in an engine that was not asked.

Written by `ci/repair_table.py`, which plants and mends all of them.
"""
_RANKS = ("same pixels", "differs in places", "not compared", "not tried", "other pixels", "will not open")


@dataclass(frozen=True)
class Verdict:
    """What became of one package."""

    name: str
    family: str
    what: str
    outcome: str
    """mended, partly, refused, not mended, nothing to mend"""
    gap: float | None
    note: str
    worse: str = ""
    """A tool that does worse with the mended package."""


def measure(figures: Path, names: list[str]) -> None:
    """Plant and mend, and add what was found to a file."""
    warnings.simplefilter("ignore")
    known = _read(figures)
    with tempfile.TemporaryDirectory(prefix="bmz-fmd-repair-") as name:
        folder = Path(name)
        for verdict in _verdicts(names, Sound(folder / "sound"), folder):
            known[verdict.name] = verdict
            print(f"{verdict.name}: {verdict.outcome} {verdict.gap} {verdict.note}", file=sys.stderr, flush=True)
            figures.write_text(json.dumps([asdict(each) for each in known.values()], indent=1) + "\n")


def _read(figures: Path) -> dict[str, Verdict]:
    return {each["name"]: Verdict(**each) for each in json.loads(figures.read_text())} if figures.is_file() else {}


def _verdicts(names, sound, folder):
    for family in FAMILIES:
        for fault in family.faults:
            if {fault.name, family.name} & {*names}:
                path, package = plant(fault, sound, folder / fault.name)
                outcome = _mend(path, folder / fault.name / "out", trust=False)
                if package.canary.exists():
                    raise SystemExit(f"{fault.name}: something of it ran")
                yield Verdict(fault.name, family.name, fault.what, *_judge(fault.name, path, package.model, outcome))
    for stranger in STRANGERS.values():
        if {stranger.name, "strangers"} & {*names}:
            path = make(stranger, folder / stranger.name / "package")
            outcome = _mend(path, folder / stranger.name / "out", trust=stranger.trust)
            yield Verdict(stranger.name, "strangers", stranger.what, *_judge(stranger.name, path, None, outcome))


def _mend(path: Path, out: Path, *, trust: bool) -> Mended | str:
    try:
        return mend(path, out, CheckOptions(engines=ENGINES, trust=trust))
    except UserError as error:
        return str(error).partition(": ")[2]


def _judge(name, path, model, outcome):
    if isinstance(outcome, str):
        outcome = re.sub(r"/\S*/bmz-fmd-repair-[^/]*/", "", outcome)  # where it lay meanwhile
        hostile = "nothing of it was run" in outcome or "refused" in outcome or "is a link" in outcome
        return ("refused" if hostile else "not mended"), None, outcome
    if outcome.folder is None:
        return "nothing to mend", None, ""
    gap = max(_gaps(name, path, model, outcome.folder))
    first = outcome.after.errors[0].message if outcome.after.errors else ""
    note = "; ".join(filter(None, [first, *outcome.left]))
    if outcome.exit_code or not gap <= LIMIT:
        return "partly", gap, note or "other pixels", _worse(outcome)
    return "mended", gap, note, _worse(outcome)


def _worse(outcome):
    """Name the first tool that does worse with the mended package than with the one before."""
    before = {tool.tool: _RANKS.index(tool.verdict) for tool in outcome.before.tools}
    return next((tool.tool for tool in outcome.after.tools if _RANKS.index(tool.verdict) > before[tool.tool]), "")


def _gaps(name, path, model, folder):
    """Yield how far the mended package is off the sound one in bioimageio.core, on its test image and on another."""
    order = ORDERS.get(name, "bcyx")
    weights = "torchscript"
    new = pipeline(folder / "rdf.yaml", weights, "cpu")
    images = [np.load(folder / "test_input.npy")]
    if model is None or name in AS_PLANTED:
        with open_package(path) as package:
            old_test = [np.load(package.folder / f"test_{each}.npy") for each in ("input", "output")]
            if name in MADE_TO_FAIL:
                yield _gap(new(_canonical(old_test[0], order))[0], _canonical(old_test[1], order))
                return
            format = weights if weights in package.description.weights else next(iter(package.description.weights))
            old = pipeline(package.description.path, format, "cpu")
            for image in [*images, _other()]:
                yield _gap(new(image)[0], _canonical(np.asarray(old(_back(image, order))[0]), order))
        return
    import torch

    for image in [*images, _other()]:
        yield _gap(new(image)[0], model(torch.from_numpy(image)).numpy())


def _other():
    return example((160, 192), seed=1).astype(np.float32)[None, None]


def _canonical(array, order):
    """From an order of axes to (batch, channel, y, x)."""
    kept = [letter for letter in "bcyx" if letter in order]
    array = array.transpose([order.index(letter) for letter in kept])
    return array if "c" in order else array[:, None]


def _back(array, order):
    array = array if "c" in order else array[:, 0]
    kept = [letter for letter in "bcyx" if letter in order]
    return np.ascontiguousarray(array.transpose([kept.index(letter) for letter in order]))


def _gap(found, wanted):
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max() / (np.ptp(wanted) or 1))


def document(verdicts: dict[str, Verdict]) -> str:
    """Return the page."""
    families = [*(family.name for family in FAMILIES), "strangers"]
    by_family = {name: [each for each in verdicts.values() if each.family == name] for name in families}
    every = [each for found in by_family.values() for each in found]
    strangers = len(by_family["strangers"])
    third = [each for each in every if each.family in ("weights", "tensors", "description")]
    mended = [each for each in third if each.outcome == "mended"]
    worse = [f"{each.name} ({each.worse})" for each in every if each.worse]
    parts = [
        _HEAD.format(
            count=len(every), faults=len(every) - strangers, strangers=strangers, engines=" and ".join(ENGINES),
            mended=sum(each.outcome == "mended" for each in every), thirds=len(third), third=len(mended),
            percent=100 * len(mended) / max(len(third), 1),
            worse=f"Made worse: {', '.join(worse)}." if worse else "None was made worse in any tool.",
        )
    ]  # fmt: skip
    head = ("family", "packages", "mended", "partly", "not mended", "refused", "nothing to mend")
    rows = [(name, str(len(found)), *(str(sum(each.outcome == how for each in found)) for how in head[2:]))
            for name, found in by_family.items() if found]  # fmt: skip
    parts.append(_table(head, rows))
    names = [*(fault.name for family in FAMILIES for fault in family.faults), *STRANGERS]
    order = {name: place for place, name in enumerate(names)}
    for name, found in by_family.items():
        lines = [(each.what, each.outcome, "-" if each.gap is None else f"{each.gap:.0e}", each.note[:300])
                 for each in sorted(found, key=lambda each: order[each.name])]  # fmt: skip
        if lines:
            parts.append(f"## {name.capitalize()}\n")
            parts.append(_table(("package", "outcome", "largest difference", "what is left"), lines))
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    order, *words = sys.argv[1:]
    if order == "measure":
        measure(Path(words[0]), words[1:])
    else:
        found = {name: verdict for figures in words for name, verdict in _read(Path(figures)).items()}
        TARGET.write_text(document(found), encoding="utf-8")
