"""Mend a package: judged, its right weights found and made anew, described anew, and checked before and after."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np

from bmz_export.checking.certificate import NAME as CERTIFICATE
from bmz_export.checking.certificate import PICTURE, Certificate
from bmz_export.checking.check import certify, check
from bmz_export.checking.runner import CheckOptions, Log
from bmz_export.inspection import Inspection
from bmz_export.package.archive import DESCRIPTION_NAMES, open_package, write_zip
from bmz_export.package.builder import Addition, write_script
from bmz_export.package.fiji_memory import Memory
from bmz_export.package.halo import SHORT
from bmz_export.package.licence import LICENCE
from bmz_export.package.rdf import (
    COVER,
    MARK,
    PROVENANCE,
    README,
    TEST_INPUT,
    TEST_OUTPUT,
    Tiling,
    is_ours,
)
from bmz_export.package.tensors import SAMPLE, write_sample
from bmz_export.package.weights import ARCHITECTURE, STATE_DICT, TORCHSCRIPT, difference
from bmz_export.repair import description as descriptions
from bmz_export.repair import readme
from bmz_export.repair.images import OLD, canonical, telling, test_image
from bmz_export.repair.judgement import planes, refuse_hostile
from bmz_export.repair.operations import told
from bmz_export.repair.place import free_place
from bmz_export.repair.sources import Around, Source, choose, fewer_operations, gives, run_source, tried
from bmz_export.tools import scripts
from training.errors import PackageError
from training.evaluation.cover import cover
from training.networks import NETWORKS
from training.util.hashing import sha256
from training.util.writing import clear_parts, new_folder

_MADE_ANEW = frozenset({CERTIFICATE, PICTURE, README, COVER, *DESCRIPTION_NAMES})
"""Files of these names are written anew, also where they stand among the attachments."""


@dataclass
class Mended:
    """What came of mending a package.

    Attributes
    ----------
    folder, archive : Path or None
        The mended package and its zip; None where there was nothing to mend.
    before, after : Certificate
        What each tool does with it before and after.
    changes, left : list of str
        What was changed, and what could not be mended, a line each.
    """

    folder: Path | None
    archive: Path | None
    before: Certificate
    after: Certificate
    changes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where the mended package passes the check, else 1."""
        return self.after.exit_code


def mend(path: Path, out: Path, options: CheckOptions | None = None, *, log: Log | None = None) -> Mended:
    """Repair a package as far as that goes without its training data; the package itself stays as it is.

    Parameters
    ----------
    path : Path
        A folder or a zip, of any origin, of format 0.4 or 0.5.
    out : Path
        The folder in which the mended package's folder and zip are written, under the package's own name.
    options : CheckOptions, optional
        What the checks before and after may do; ``trust`` lets the package's own Python run.
    log : callable, optional
        Called with what is being done, a line each.

    Returns
    -------
    Mended

    Raises
    ------
    UserError
        Where there is no package to read, one that would run code, no weights that run, or something that no tool can
        open, such as volumes; nothing is written then.
    """
    options, log = options or CheckOptions(), log or (lambda line: None)
    with open_package(path) as package:
        inspection = Inspection(package)
        refuse_hostile(inspection, trust=options.trust)
        planes(inspection)
        target, archive = free_place(package.path, out)
        log("The package as it is")
        before = check(path, options, log=log)
        if not before.faults and not before.exit_code:
            return Mended(None, None, before, before)
        with tempfile.TemporaryDirectory(prefix="bmz-fmd-") as scratch:
            work = _Work(inspection, options, log, Path(scratch))
            work.make()
            out.mkdir(parents=True, exist_ok=True)
            clear_parts(out, target.name)
            try:
                with new_folder(target) as folder:
                    work.write(folder)
                    log("The mended package")
                    after = work.finish(folder)
                    write_zip(folder, archive)
            except BaseException:  # an interruption too: the folder and its zip, or neither
                if not target.exists():
                    archive.unlink(missing_ok=True)
                raise
    return Mended(target, archive, before, after, work.changes, work.left)


class _Work:
    """One package while it is mended."""

    def __init__(self, inspection: Inspection, options: CheckOptions, log: Log, scratch: Path) -> None:
        self.inspection = inspection
        self.takes, self.gives = planes(inspection)
        self.options, self.log, self.scratch = options, log, scratch
        self.package, self.old = inspection.package, inspection.description
        self.made = scratch / "made"
        self.made.mkdir()
        self.changes: list[str] = []
        self.left: list[str] = []
        self.facts: dict[str, Any] = {}
        self.source: Source
        self.tiling: Tiling | None = None

    def make(self) -> None:
        """Find the right weights, and make weights and test tensors anew of them."""
        found = test_image(self.inspection, self.takes)
        if found is None:
            raise PackageError(
                f"{self.package.path}: cannot be mended: neither its test input nor a sample image is a telling image; "
                "put a noisy TIFF among its attachments"
            )
        image, origin = found
        around = Around(self.takes, self.gives)
        compared = self._wanted() if origin == OLD else None
        settings: Any = {"options": self.options, "folder": self.scratch, "log": self.log}
        sources = tried(self.inspection, around, image, compared, **settings)
        if compared is not None and not any(gives(each, compared) for each in sources):
            for other, left in fewer_operations(around):
                again = tried(self.inspection, other, image, compared, **settings)
                if any(gives(each, compared) for each in again):
                    around, sources = other, again
                    self.takes, self.gives = other.takes, other.gives
                    self.changes.append(f"{left} was left out: the weights give the test output without it")
                    break
        root = next((name for name, entry in self.old.weights.items() if entry.parent is None), None)
        unusable = [f"{name}: {why}" for name, why in around.unusable.items()]
        if not sources:
            raise PackageError(f"{self.package.path}: cannot be mended: {'; '.join(unusable) or 'it has no weights'}")
        self.source, said = choose(sources, compared, root, self.package.path)
        if self.source.format == "onnx":
            why = "only its ONNX is right, and no TorchScript, which Fiji and QuPath need, can be made of that"
            raise PackageError(f"{self.package.path}: cannot be mended: {'; '.join([why, *said, *unusable])}")
        self.changes += said
        np.save(self.made / TEST_INPUT, image)
        self.log(f"making all weights anew from {self.source.name}")
        self._make_anew(around)
        self._say_made(around)
        if origin != OLD:
            self.changes.append(f"the test input was made of {origin}: the old one tests nothing")
        gap = None if compared is None or self.source.output is None else difference(compared, self.source.output)
        if gap is not None and np.isfinite(gap):
            how = f"differs from the old one by at most {100 * gap:.2g} % of its range" if gap else "equals the old one"
            self.changes.append(f"the test output was made anew; it {how}")
        else:
            self.changes.append("the test output was made anew; there was none of its shape to compare with")

    def _wanted(self) -> Any:  # noqa: ANN401
        test = self.inspection.test(self.gives)
        output = canonical(test.array, self.gives) if test else None
        return output if telling(output) else None

    def _make_anew(self, around: Around) -> None:
        own = "network" in (self.source.architecture or {})  # which mirrors images inside, whatever step is declared
        declared = [1 if own else axis.step or 1 for axis in self.takes.space]
        more = {
            "target": str(self.made),
            "multiple": lcm(*declared) if max(declared) <= 64 else 1,
            "measures": any(each.measures for tensor in (self.takes, self.gives) for each in tensor.operations),
            "keep": self._keeps_state_dict(),
            "radius": self._radius(),
        }
        outcome = run_source(self.source, around, [np.zeros(1, np.float32)], self.options, self.package.folder, **more)
        if not outcome.outputs:
            raise PackageError(
                f"{self.package.path}: cannot be mended: making its weights anew failed: {outcome.error}"
            )
        self.facts = json.loads(bytes(outcome.outputs[0]))
        if "torchscript" in self.facts["failed"]:
            raise PackageError(
                f"{self.package.path}: cannot be mended: no TorchScript can be made of {self.source.name}: "
                f"{self.facts['failed']['torchscript']}"
            )
        if self.facts["free"]:
            self.tiling = Tiling(self.facts["minimum"], 1, (self.facts["halo"],) * 2)

    def _keeps_state_dict(self) -> bool:
        """Say whether the network's code can stay in the package: ours, or a single file that needs torch alone."""
        architecture, shown = self.source.architecture, self.inspection.architecture
        if architecture is None or architecture["file"] is None:
            return False
        return "network" in architecture or (shown is not None and not shown.foreign and not shown.at_import)

    def _radius(self) -> int:
        """Return the receptive radius of a network of ours in pixels, where it is short enough to be taken whole."""
        architecture = self.source.architecture or {}
        if "network" not in architecture:
            return 0
        radius = NETWORKS[architecture["network"]].radius(architecture["kwargs"]["network"])
        return max(radius) if radius is not None and max(radius) <= SHORT else 0

    def _say_made(self, around: Around) -> None:
        facts = self.facts
        self.changes += [f"the archive was laid out anew: {problem.message}" for problem in self.package.problems]
        for where, tensor in (("before", self.takes), ("after", self.gives)):
            for each in tensor.operations:
                if each.changes:
                    self.changes.append(f"{told(each)} {where} the network was moved into it")
                if each.measures:
                    self.changes.append(f"{each.id} measures what it is given: where a tool cuts an image "
                                        "into tiles, each has its own statistics, so run whole images")  # fmt: skip
        for tensor in (self.takes, self.gives):
            if tensor.order != "bcyx":
                self.changes.append(f"{tensor.id} had the axes {tensor.order}, now batch, channel, y, x; the network "
                                    "turns them inside")  # fmt: skip
        self.changes.append(f"TorchScript {'and ONNX were' if 'onnx' not in facts['failed'] else 'was'} made anew from "
                            f"{self.source.name}")  # fmt: skip
        self.left += [f"there is no {name}: {why}" for name, why in facts["failed"].items()]
        if "pytorch_state_dict" in self.old.weights and not facts.get("state_dict"):
            why = around.unusable.get("pytorch_state_dict", "it gives other pixels than the network as it is now")
            self.left.append(f"the state dict was left out, and lies in the package as it was: {why}")
        foreign = self.old.weights.keys() - {"pytorch_state_dict", "torchscript", "onnx"}
        self.left += [f"{name} was left out: it cannot be tried here" for name in sorted(foreign)]
        if not facts["free"]:
            self.left.append("the network takes images of one size alone, which was left as it is")
        elif facts["multiple"] > 1:
            self.changes.append(f"sizes are free: the network mirrors images up to a multiple of {facts['multiple']} "
                                "inside, and crops the result")  # fmt: skip
        if self.tiling:
            self.changes.append(f"halo of {max(self.tiling.halo)} pixels, measured: the seam that remains is "
                                f"{facts['seam']:.1e} of the range")  # fmt: skip
        if not facts["batch"]:
            self.left.append("the network takes one image at a time")

    def write(self, folder: Path) -> None:
        """Write all files but the certificate."""
        for made in self.made.iterdir():
            shutil.copyfile(made, folder / made.name)
        noisy, result = (np.load(folder / name) for name in (TEST_INPUT, TEST_OUTPUT))
        single = noisy.shape[1] == result.shape[1] == 1
        if self.facts.get("state_dict"):
            assert self.source.architecture is not None
            shutil.copyfile(str(self.source.architecture["file"]), folder / ARCHITECTURE)
        self._attachments = self._copied(folder, single)
        if single:
            write_sample(folder / SAMPLE, _whole_numbers(noisy[0, 0]))
            self._attachments.append(SAMPLE)
        self._copy_cover(folder, noisy, result)
        licence = descriptions.spdx(self.old.raw.get("license"))
        if licence is None and self.old.raw.get("license"):
            if LICENCE not in self._attachments:
                (folder / LICENCE).write_text(f"{self.old.raw['license']}\n", encoding="utf-8")
                self._attachments.append(LICENCE)
            self.left.append(f"the licence {self.old.raw['license']!r} has no SPDX identifier: its words stand in the "
                             f"file {LICENCE}")  # fmt: skip
        elif licence is None:
            self.left.append("there is no licence: its authors must choose one")
        elif licence != self.old.raw.get("license"):
            self.changes.append(f"the licence is written as {licence}")
        self._licence = licence
        self._write_scripts(folder, single)
        self._describe(folder, ())

    def _copied(self, folder: Path, single: bool) -> list[str]:
        """Copy the attachments that are the author's own, beside the description, and return their names."""
        named: list[str] = []
        anew = _MADE_ANEW | {script.name for script in scripts().values()} | ({SAMPLE} if single else set())
        second = self.inspection.onnx.external if self.inspection.onnx else ()
        for file in self.old.attachments:
            path = self.package.file(file.source)
            name = Path(file.source).name
            if path is None:
                self.left.append(f"the attachment {file.source} is not in the package")
            elif name in anew or file.source in second:
                continue
            elif (folder / name).exists():
                self.left.append(f"the attachment {file.source} was left out: another file is called {name}")
            else:
                shutil.copyfile(path, folder / name)
                named.append(name)
        return named

    def _copy_cover(self, folder: Path, noisy: Any, result: Any) -> None:  # noqa: ANN401
        from bmz_export.tools.bioimageio_site import TOOL

        rule = next(rule for rule in TOOL.rules if rule.name == "cover")
        kept = next((self.package.file(each.source) for each in self.old.covers), None)
        if kept is None or list(rule.check(self.inspection)):
            self.changes.append("the cover was drawn anew")
            (folder / COVER).write_bytes(cover(noisy[0, 0], result[0, 0]))
        else:
            shutil.copyfile(kept, folder / COVER)

    def _write_scripts(self, folder: Path, single: bool) -> None:
        if not single or self.tiling is None:
            self.left.append("there are no scripts for Fiji and QuPath: ours are for one channel and any size")
            return
        self._attachments += [script.name for script in scripts().values()]
        for script in scripts().values():
            write_script(folder, script, title=self.old.name, halo=max(self.tiling.halo), minimum=self.tiling.minimum,
                         stride=lcm(8, self.facts["multiple"]), memory=Memory(0, self.facts["bytes_per_pixel"]),
                         weights=sha256(folder / TORCHSCRIPT))  # fmt: skip

    def _describe(self, folder: Path, sections: Sequence[str]) -> None:
        noisy, result = (np.load(folder / name) for name in (TEST_INPUT, TEST_OUTPUT))
        height, width = (int(size) for size in noisy.shape[2:])
        common: Mapping[str, Any] = {"tiling": self.tiling, "size": (height, width), "batch": self.facts["batch"]}
        tensors = (descriptions.tensor(self.takes, noisy.shape[1], folder, **common),
                   descriptions.tensor(self.gives, result.shape[1], folder, follows=self.takes, **common))  # fmt: skip
        mark = MARK if is_ours(self.package.folder) and PROVENANCE in self._attachments else "# Mended by bmz-fmd"
        said = descriptions.write_description(
            folder, self.old, mark=f"{mark} {version('bmz-fmd')}", licence=self._licence,
            files={"documentation": README, "cover": COVER}, tensors=tensors, attachments=self._attachments,
            weights=descriptions.weights_entries(folder, self._architecture(folder)),
        )  # fmt: skip
        self.changes = list(dict.fromkeys((*self.changes, *said)))
        path = self.package.file(self.old.documentation.source) if self.old.documentation else None
        text = readme.compose(path, self.old.raw, changes=self.changes, left=self.left, sections=sections)
        (folder / README).write_text(text, encoding="utf-8")

    def _architecture(self, folder: Path) -> Mapping[str, Any] | None:
        if not (folder / STATE_DICT).is_file() or self.source.architecture is None:
            return None
        stated = self.source.architecture
        return {"source": ARCHITECTURE, "sha256": sha256(folder / ARCHITECTURE), "callable": stated["callable"],
                "kwargs": dict(stated["kwargs"])}  # fmt: skip

    def finish(self, folder: Path) -> Certificate:
        """Check it, and let it carry its certificate."""
        certificate, addition = certify(folder, self.options, tiles=self.options.tiles, log=self.log)
        self._attach(folder, addition)
        return certificate

    def _attach(self, folder: Path, addition: Addition) -> None:
        self._attachments += addition.files
        self._describe(folder, [addition.section])


def _whole_numbers(image: Any) -> Any:  # noqa: ANN401
    """Return an image as uint16 where that changes nothing: ImageJ shows it as a camera's."""
    whole = image.astype(np.uint16) if image.min() >= 0 and image.max() < 2**16 else image
    return whole if np.array_equal(whole, image) else image
