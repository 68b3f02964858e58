"""A study's file: which networks, data sets and settings are compared, and the cells that this comes to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from training.data import DATASETS, DataSettings
from training.data.options import FOLDERS
from training.errors import SettingError
from training.evaluation.metrics import Convention
from training.runs.settings import Recipe, check_name, check_network, checked, read_yaml
from training.util.text import unknown

SHIPPED = Path(__file__).with_name("shipped")
_PATHS = ("data", "noisy", "clean")
_PLACE = re.compile(r"\{(\w+)\}")

Value = str | int | float | bool | list[int] | None


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trained(_Checked):
    """A network as it takes part: its settings, what it starts from, what its recipe changes.

    ``checkpoint`` is a file, a published name, or a name below ``pretraining``; None takes the published weights of a
    network as it was published, and else starts from scratch.
    """

    network: str
    settings: dict[str, Any] = {}
    checkpoint: str | None = None
    recipe: dict[str, Any] = {}


class Pretraining(Trained):
    """Weights that are trained first, once, and that others start from."""

    data: dict[str, Any]
    method: str = "gaussian"


class Experiment(_Checked):
    """What is compared with what.

    Each data set, network and combination of the values of ``compare`` is a row of its table; among the combinations
    of ``search`` the validation images choose. ``steps`` sets the epochs of each cell to about so many steps, so that
    few pairs are learned from as long as many.
    """

    title: str
    data: list[str] | None = None
    networks: list[str] | None = None
    compare: dict[str, list[Value]] = {}
    search: dict[str, list[Value]] = {}
    steps: int | None = Field(None, ge=1)


class Study(_Checked):
    """The file of a study; see docs/studies.md."""

    name: str
    data: dict[str, dict[str, Any]] = Field(min_length=1)
    networks: dict[str, Trained] = Field(min_length=1)
    pretraining: dict[str, Pretraining] = {}
    recipe: dict[str, Any] = {}
    experiments: list[Experiment] = Field(min_length=1)
    baselines: list[str] = []
    threads: int = Field(1, ge=1, le=256)
    device: str = "cpu"
    convention: Convention = "affine"
    data_range: float | None = Field(None, gt=0)


def shipped() -> dict[str, Path]:
    """Return the studies that come with the program, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def read_study(source: str, values: Mapping[str, str] | None = None) -> Study:
    """Return a study by file or by the name of a shipped one.

    Parameters
    ----------
    source : str
        A YAML file, or a name of ``shipped()``. Relative paths in a file count from its folder.
    values : mapping, optional
        What stands in the file as ``{KEY}``.

    Raises
    ------
    UserError
        Names the file, the key, and what is allowed.
    """
    path = shipped().get(source, Path(source))
    if not path.is_file():
        names = ", ".join(shipped())
        raise SettingError(f"{source}: no such file, and none of the studies that come with the program: {names}")
    content = read_yaml(path)
    wanted = set(_PLACE.findall(path.read_text(encoding="utf-8")))
    given = dict(values or {})
    for key in given:
        if key not in wanted:
            raise SettingError(f"`set` {key}: {source} has no {{{key}}}; {unknown(key, sorted(wanted))}")
    lacking = sorted(wanted - given.keys())
    if lacking:
        raise SettingError(f"{source} has to know {', '.join(lacking)}: give `set` {lacking[0]}=...")
    folder = path.parent if path.parent != SHIPPED else Path.cwd()
    study = checked(Study, _filled(content, given), str(path))
    check_name(study.name)
    _check_words(study, path)
    return _placed(study, folder)


def _filled(content: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return YAML with what stands for ``{KEY}``, in all its texts."""
    if isinstance(content, dict):
        return {key: _filled(value, values) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    return _PLACE.sub(lambda found: values[found[1]], content) if isinstance(content, str) else content


def _placed(study: Study, folder: Path) -> Study:
    """Return the study with whole paths."""

    def whole(text: object) -> object:
        return str((folder / Path(str(text)).expanduser()).absolute()) if isinstance(text, str) else text

    def data(options: Any) -> Any:  # noqa: ANN401 data sets may hold others
        if isinstance(options, list):
            return [data(each) for each in options]
        if not isinstance(options, dict):
            return options
        return {key: whole(value) if key in _PATHS else data(value) for key, value in options.items()}

    def checkpoint(trained: Trained) -> str | None:
        name = trained.checkpoint
        there = name is not None and name not in study.pretraining and (folder / name).is_file()
        return str((folder / str(name)).absolute()) if there else name

    networks = {
        name: trained.model_copy(update={"checkpoint": checkpoint(trained)}) for name, trained in study.networks.items()
    }
    first = {
        name: trained.model_copy(update={"data": data(trained.data), "checkpoint": checkpoint(trained)})
        for name, trained in study.pretraining.items()
    }
    sets = {name: data(options) for name, options in study.data.items()}
    return study.model_copy(update={"networks": networks, "pretraining": first, "data": sets})


def _check_words(study: Study, path: Path) -> None:
    """Refuse names of networks, data sets, baselines and factors that are not known."""
    from training.evaluation.baselines import BASELINES

    for name, trained in (*study.networks.items(), *study.pretraining.items()):
        try:
            check_network(trained.network)
        except SettingError as error:
            raise SettingError(f"{path}: {name}: {error}") from None
        checked(Recipe, {**study.recipe, **trained.recipe}, f"{path}: recipe of {name}")
    for name in study.baselines:
        _among(name, BASELINES, f"{path}: baselines")
    titles = [experiment.title for experiment in study.experiments]
    for experiment in study.experiments:
        where = f"{path}: {experiment.title}"
        if titles.count(experiment.title) > 1:
            raise SettingError(f"{where}: two experiments have this title: name them apart")
        for name in experiment.data or ():
            _among(name, study.data, f"{where}: data")
        for name in experiment.networks or ():
            _among(name, study.networks, f"{where}: networks")
        both = experiment.compare.keys() & experiment.search.keys()
        if both:
            raise SettingError(f"{where}: {min(both)} is compared and searched for: choose one")
        for factor, values in (*experiment.compare.items(), *experiment.search.items()):
            _check_factor(study, experiment, factor, values, f"{where}: {factor}")


def _among(name: str, known: Collection[str], where: str) -> None:
    if name not in known:
        raise SettingError(f"{where}: {name}: {unknown(name, list(known))}")


def _check_factor(study: Study, experiment: Experiment, factor: str, values: list[Value], where: str) -> None:
    from training.methods import METHODS

    options = {
        key
        for name in experiment.data or study.data
        for key in DATASETS.get(study.data[name].get("dataset") or FOLDERS, DATASETS[FOLDERS]).options.model_fields
    } - set(_PATHS)
    known = ["start", "method", *Recipe.model_fields, *sorted(options)]
    if factor not in known:
        raise SettingError(f"{where}: {unknown(factor, known)}")
    if not values:
        raise SettingError(f"{where}: has no value; give a list such as [1, 2]")
    for value in values:
        if factor in ("start", "method"):
            _among(str(value), ("pretrained", "scratch") if factor == "start" else METHODS, where)
        elif factor in Recipe.model_fields:
            checked(Recipe, {**study.recipe, factor: _number(factor, value)}, where)


def combinations(factors: Mapping[str, list[Value]]) -> list[dict[str, Value]]:
    """Return each combination of values, in the order of the file.

    Examples
    --------
    >>> combinations({"start": ["pretrained", "scratch"], "lr": [1e-4]})
    [{'start': 'pretrained', 'lr': 0.0001}, {'start': 'scratch', 'lr': 0.0001}]
    """
    return [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]


class Settled(_Checked):
    """What one training of a study is made of, as ``training.fitting.start.Request`` takes it.

    ``checkpoint`` is "none" for a start from scratch, and a name below ``pretraining`` where it is one.
    """

    network: str
    settings: dict[str, Any]
    checkpoint: str | None
    data: DataSettings
    method: str | None
    recipe: dict[str, Any]


def settled(study: Study, data: str, network: str, factors: Mapping[str, Value]) -> Settled:
    """Return what a cell is made of: the study's words, those of the network, and the factors over them."""
    trained = study.networks[network]
    options = dict(study.data[data])
    recipe = {**study.recipe, **trained.recipe}
    method: str | None = None
    checkpoint = trained.checkpoint
    for factor, value in factors.items():
        if factor == "start":
            checkpoint = trained.checkpoint if value == "pretrained" else "none"
        elif factor == "method":
            method = str(value)
        elif factor in Recipe.model_fields:
            recipe[factor] = _number(factor, value)
        else:
            options[factor] = value
    named = options.pop("dataset", None)
    return Settled(
        network=trained.network,
        settings=trained.settings,
        checkpoint=checkpoint,
        data=checked(DataSettings, {"dataset": named, "options": options}, f"data {data}"),
        method=method,
        recipe=recipe,
    )


def settled_pretraining(study: Study, name: str) -> Settled:
    """Return what weights that are trained first are made of."""
    trained = study.pretraining[name]
    options = dict(trained.data)
    named = options.pop("dataset", None)
    return Settled(
        network=trained.network,
        settings=trained.settings,
        checkpoint=trained.checkpoint or "none",
        data=checked(DataSettings, {"dataset": named, "options": options}, f"pretraining {name}"),
        method=trained.method,
        recipe=dict(trained.recipe),
    )


def _number(factor: str, value: Value) -> Value:
    """Return None for ``pairs: all``."""
    return None if factor == "pairs" and value == "all" else value
