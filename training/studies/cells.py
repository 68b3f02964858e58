"""The cells of a study, each with an identity of its own, and the rows of tables that they make together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from training.checkpoints import load_weights, published_checkpoints, settings_of
from training.data import DataSettings, ImageDataset, open_dataset
from training.data.chosen import choose
from training.data.options import FOLDERS
from training.data.patches import views
from training.errors import CheckpointError, DataError, SettingError
from training.evaluation.metrics import OWN_PEAK
from training.networks import NETWORKS, create
from training.runs.provenance import DataUsed
from training.runs.settings import Recipe, load_recipe
from training.studies.plan import Settled, Study, combinations, settled, settled_pretraining
from training.studies.results import Cell
from training.util.hashing import sha256

_SCRATCH = "none"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Kept):
    """What a process of its own is told to do: ``cells/ID/job.json``.

    Attributes
    ----------
    cell : Cell
    title : str
        The cell in words.
    settled : Settled or None
        What is trained; None of a baseline.
    data : DataSettings
        Whose test images are denoised, and by whose validation images a baseline is set.
    recipe : dict
        The whole recipe, of a baseline that which splits the images.
    start : str or None
        Cell whose weights training starts from.
    choices : tuple of str
        Of a final cell: those among which the validation images choose.
    threads : int
    device : str
    convention : str
    data_range : float or None
        Peak of the scores; None of cells that are not tested.
    """

    cell: Cell
    title: str
    settled: Settled | None = None
    data: DataSettings
    recipe: dict[str, Any]
    start: str | None = None
    choices: tuple[str, ...] = ()
    threads: int
    device: str
    convention: str
    data_range: float | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Cells that have to be finished before."""
        return (*self.choices, *((self.start,) if self.start else ()))


class PlannedRow(_Kept):
    """A row of an experiment's table, by the identities of its cells; see ``training.studies.results.Row``."""

    experiment: str
    data: str
    network: str
    compared: dict[str, Any]
    choices: tuple[str, ...]
    final: str


class Plan(_Kept):
    """All cells of a study by identity, and what they are for: ``plan.json`` in its folder."""

    study: Study
    jobs: dict[str, Job]
    rows: tuple[PlannedRow, ...]
    baselines: dict[str, tuple[str, ...]]
    pretraining: dict[str, str]


def plan(study: Study) -> Plan:
    """Open all data sets and checkpoints of a study, and return its cells.

    Raises
    ------
    UserError
        For the first that cannot be trained or tested with.
    """
    return _Planner(study).plan()


class _Planner:
    def __init__(self, study: Study) -> None:
        self.study = study
        self.jobs: dict[str, Job] = {}
        self.first: dict[str, str] = {}
        self._opened: dict[str, tuple[ImageDataset, str]] = {}
        self._weights: dict[str, str] = {}

    def plan(self) -> Plan:
        rows = []
        for experiment in self.study.experiments:
            for data in experiment.data or self.study.data:
                for network in experiment.networks or self.study.networks:
                    for compared in combinations(experiment.compare):
                        searched = combinations(experiment.search)
                        choices = tuple(
                            self._choice(data, network, {**compared, **found}, experiment.steps) for found in searched
                        )
                        final = self._final(data, network, choices)
                        rows.append(
                            PlannedRow(
                                experiment=experiment.title, data=data, network=network, compared=compared,
                                choices=choices, final=final,
                            )
                        )  # fmt: skip
        baselines = {
            data: tuple(self._baseline(data, name) for name in self.study.baselines) for data in self.study.data
        }
        return Plan(study=self.study, jobs=self.jobs, rows=tuple(rows), baselines=baselines, pretraining=self.first)

    def _choice(self, data: str, network: str, factors: Mapping[str, Any], steps: int | None) -> str:
        found = settled(self.study, data, network, factors)
        if steps is not None:
            recipe = load_recipe(found.network, found.recipe)
            dataset = choose(
                self._dataset(found.data, recipe)[0], pairs=recipe.pairs, validation=True, seed=recipe.seed
            )
            patches = len(dataset.train) * len(views(recipe.augment))
            found.recipe["epochs"] = ceil(steps / ceil(patches / recipe.batch))
        said = ", ".join(f"{key}={value}" for key, value in factors.items())
        return self._trained(found, Cell(id="", stage="choice", data=data, network=network, factors=dict(factors)),
                             " ".join(filter(None, (f"{network} on {data}", said))))  # fmt: skip

    def _trained(self, found: Settled, cell: Cell, title: str) -> str:
        recipe = load_recipe(found.network, found.recipe)
        _, digest = self._dataset(found.data, recipe)
        start, weights = None, _SCRATCH
        if found.checkpoint in self.study.pretraining:
            start = weights = self._pretraining(str(found.checkpoint))
        elif found.checkpoint != _SCRATCH:
            weights = self._checkpoint(found, title)
        made_of = {
            "stage": cell.stage, "network": found.network, "settings": found.settings, "weights": weights,
            "data": digest, "method": found.method, "recipe": recipe.model_dump(mode="json"),
            "threads": self.study.threads, "device": self.study.device,
        }  # fmt: skip
        return self._add(
            made_of,
            cell,
            title=title,
            settled=found,
            data=found.data,
            recipe=recipe.model_dump(mode="json"),
            start=start,
        )

    def _pretraining(self, name: str) -> str:
        if name not in self.first:
            found = settled_pretraining(self.study, name)
            data = str(found.data.dataset or FOLDERS)
            cell = Cell(id="", stage="pretraining", data=data, network=name)
            self.first[name] = self._trained(found, cell, f"pre-training of {name}")
        return self.first[name]

    def _final(self, data: str, network: str, choices: tuple[str, ...]) -> str:
        job = self.jobs[choices[0]]
        made_of = {"stage": "final", "choices": choices, "convention": self.study.convention}
        return self._add(
            made_of,
            Cell(id="", stage="final", data=data, network=network, factors=job.cell.factors),
            title=f"{job.title}, tested",
            data=job.data,
            recipe=job.recipe,
            choices=choices,
            data_range=self._peak(job.data, Recipe.model_validate(job.recipe)),
        )

    def _baseline(self, data: str, name: str) -> str:
        options = dict(self.study.data[data])
        named = options.pop("dataset", None)
        settings = DataSettings.model_validate({"dataset": named, "options": options})
        recipe = Recipe.model_validate({**self.study.recipe})
        _, digest = self._dataset(settings, recipe)
        made_of = {"stage": "baseline", "name": name, "data": digest, "convention": self.study.convention}
        return self._add(
            made_of,
            Cell(id="", stage="baseline", data=data, network=name),
            title=f"{name} on {data}",
            data=settings,
            recipe=recipe.model_dump(mode="json"),
            data_range=self._peak(settings, recipe),
        )

    def _add(self, made_of: Mapping[str, Any], cell: Cell, **about: Any) -> str:  # noqa: ANN401
        known = json.dumps({**made_of, "peak": about.get("data_range")}, sort_keys=True, default=str)
        identity = hashlib.sha256(known.encode()).hexdigest()[:12]
        if identity not in self.jobs:
            cell = cell.model_copy(update={"id": identity})
            common = {name: getattr(self.study, name) for name in ("threads", "device", "convention")}
            self.jobs[identity] = Job(cell=cell, **common, **about)
        return identity

    def _dataset(self, data: DataSettings, recipe: Recipe) -> tuple[ImageDataset, str]:
        """Return a data set, opened once, and what tells it, its files and its split from any other."""
        key = f"{data.model_dump_json()} {recipe.test_fraction} {recipe.seed}"
        if key not in self._opened:
            dataset = open_dataset(data, test_fraction=recipe.test_fraction, seed=recipe.seed)
            used = DataUsed.of(dataset).model_dump_json()
            others = {name: value for name, value in data.options.items() if not isinstance(value, Path)}
            digest = hashlib.sha256(f"{used} {json.dumps(others, sort_keys=True, default=str)}".encode()).hexdigest()
            self._opened[key] = dataset, digest
        dataset, digest = self._opened[key]
        if recipe.pairs is not None and recipe.pairs > (there := len({sample.field for sample in dataset.train})):
            raise SettingError(f"pairs={recipe.pairs}: {dataset.name} has {there} fields to learn from; ask for fewer")
        return dataset, digest

    def _peak(self, data: DataSettings, recipe: Recipe) -> float | None:
        dataset, _ = self._dataset(data, recipe.model_copy(update={"pairs": None}))
        clean = [sample.clean.dtype for sample in dataset.test if sample.clean is not None]
        if not clean:
            raise DataError(f"{dataset.name}: no test image has a clean one, so that nothing can be compared")
        if self.study.convention in OWN_PEAK:
            return 1.0
        if self.study.data_range is None and clean[0] != "uint8":
            raise SettingError(
                f"data_range is missing: PSNR of {clean[0]} images needs the peak to count from, such as 4095 for a "
                "camera of 12 bits"
            )
        return self.study.data_range or 255.0

    def _checkpoint(self, found: Settled, title: str) -> str:
        """Return what tells a checkpoint from any other, once its weights fitted."""
        if found.checkpoint is None or found.checkpoint in published_checkpoints():
            return str(found.checkpoint)
        key = f"{found.checkpoint} {found.network} {found.settings}"
        if key not in self._weights:
            path = Path(found.checkpoint)
            if not path.is_file():
                raise CheckpointError(f"{title}: checkpoint {path}: neither a file, a published name, nor pretraining")
            read_off = settings_of(path, NETWORKS[found.network])
            load_weights(path, create(found.network, **{**read_off, **found.settings}))
            self._weights[key] = sha256(path)
        return self._weights[key]
