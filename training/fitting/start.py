"""From what was asked for to the settings of a run, or to a run that goes on: checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.calibration.camera import measure_camera
from training.data import DataSettings, ImageDataset
from training.errors import CheckpointError, DataError, SettingError
from training.methods import METHODS
from training.methods.choice import choose
from training.methods.repeats import moving
from training.networks import NETWORKS, create
from training.runs.run import RUNS, Run, create_run, free_name, open_images, open_run, run_names
from training.runs.settings import (
    Recipe,
    Settings,
    as_written,
    change_recipe,
    check_method,
    check_name,
    check_network,
    load_recipe,
)
from training.util.lock import run_lock
from training.util.text import unknown

if TYPE_CHECKING:
    from training.calibration.camera import CameraProfile
    from training.checkpoints import Checkpoint

_SCRATCH = ("none", "scratch")
_NOISY_TARGETS = {"lr": 0.3, "epochs": 2, "decay_epochs": 2}
"""How a network's own recipe changes from pre-trained weights on: noisy targets teach in more and smaller steps."""

_MEASURED = 8  # images that tell the noise before there is a run


@dataclass(frozen=True)
class Request:
    """What was asked for; None where nothing was said.

    Attributes
    ----------
    data : DataSettings or None
        Where the pairs come from.
    network : str or None
        Its name; drunet where a new run says nothing.
    network_settings : mapping
        Constructor settings that differ from the published ones.
    checkpoint : str or None
        A published checkpoint's name, a file, or "none".
    recipe : str or None
        Name or file; the network's own where a new run says nothing.
    changes : mapping
        Keys of the recipe that differ.
    method : str or None
        Its name; where a new run says nothing, supervised with clean images, and without what fits frames and noise.
    camera : CameraProfile or None
        Of the noisy images; measured on them where nothing was said.
    name : str or None
        Of the run.
    """

    data: DataSettings | None = None
    network: str | None = None
    network_settings: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    method: str | None = None
    camera: CameraProfile | None = None
    name: str | None = None


def new_run(
    request: Request, runs: Path = RUNS, *, confirm: Callable[[Checkpoint], bool] | None = None
) -> tuple[Run, ImageDataset, str | None]:
    """Make the folder of a new run, after everything that can be checked without training was.

    Parameters
    ----------
    request : Request
        What was asked for.
    runs : Path
        Where run folders are.
    confirm : callable, optional
        Asked whether the published weights may be fetched, where no word was said on weights and they are not cached.

    Returns
    -------
    run : Run
        Holds its settings only.
    dataset : ImageDataset
        What it trains on, for ``train``.
    note : str or None
        What the user should know about the method, where none was named, and the weights that training starts from.

    Raises
    ------
    UserError
        For what cannot be trained, and where weights would have to be fetched and that was not confirmed.
    """
    network = check_network(request.network or "drunet")
    _network_settings(network, request.network_settings)
    recipe = load_recipe(request.recipe or network, request.changes)
    if request.name is not None and (runs / check_name(request.name)).exists():
        raise SettingError(
            f"{runs / request.name}: exists and is not overwritten; choose another `name`, "
            f"or go on with `resume` `name` {request.name}"
        )
    method, data, dataset, why = _learning(request, recipe)
    axes = NETWORKS[network].axes
    other = next(
        (sample for sample in (*dataset.train, *dataset.validation, *dataset.test) if sample.axes != axes), None
    )
    if other is not None:
        raise SettingError(
            f"`network` {network} denoises {axes} images, and {other.name} is {other.axes}: name another"
        )
    name = request.name or free_name(dataset.name, network.replace(":", "-"), runs)
    settings, note = _settings(request, confirm, name=name, method=method, data=data, recipe=recipe)
    return create_run(settings, runs / settings.name), dataset, "; ".join(filter(None, (why, note))) or None


def zero_shot_settings(
    request: Request, *, confirm: Callable[[Checkpoint], bool] | None = None
) -> tuple[Settings, str | None]:
    """Return the settings of a denoiser that is calibrated and not trained, and a note on its weights.

    As ``new_run``, for images that are in memory, and without a folder.
    """
    recipe = load_recipe(request.recipe or check_network(request.network or "drunet"), request.changes)
    return _settings(request, confirm, name="zero-shot", method="zero_shot", data=DataSettings(), recipe=recipe)


def _settings(
    request: Request,
    confirm: Callable[[Checkpoint], bool] | None,
    *,
    name: str,
    method: str,
    data: DataSettings,
    recipe: Recipe,
) -> tuple[Settings, str | None]:
    """Return the settings of a run, and a note on its weights."""
    network = check_network(request.network or "drunet")
    network_settings = _network_settings(network, request.network_settings)
    network_settings = {**_settings_of(request.checkpoint, network), **network_settings}
    checkpoint, note = _checkpoint(request.checkpoint, network, network_settings, confirm)
    if not METHODS[method].needs.training:
        if checkpoint is None:
            raise SettingError(f"`method` {method} uses weights as they are, and there are none: give `checkpoint`")
        recipe = recipe.model_copy(update={"epochs": 0})
        note = note and note.replace("starting from", "using")
    elif checkpoint is not None and not METHODS[method].needs.clean and not request.recipe:
        own = {key: getattr(recipe, key) * factor for key, factor in _NOISY_TARGETS.items()}
        recipe = change_recipe(recipe, {key: value for key, value in own.items() if key not in request.changes})
    settings = Settings(
        name=name,
        network=network,
        network_settings=network_settings,
        checkpoint=checkpoint,
        data=data,
        method=method,
        recipe=recipe,
        camera=request.camera,
    )
    return settings, note


def _learning(request: Request, recipe: Recipe) -> tuple[str, DataSettings, ImageDataset, str | None]:
    """Return the method, the data as it takes them, and where none was named, why it is this one."""
    named = None if request.method is None else check_method(request.method)
    data = request.data or DataSettings()
    alone = bool(data.options.get("noisy")) and not data.options.get("clean")
    needs = METHODS[named].needs if named else None

    def opened(data: DataSettings) -> ImageDataset:
        return open_images(data, recipe)

    if needs is not None and needs.clean and alone:
        raise SettingError(
            f"`noisy` is given without `clean`: {named} learning needs the clean image of each noisy one: give "
            "`clean`, or leave `method` out"
        )
    if data.dataset is None and (alone or (needs is not None and not needs.clean)):
        together = needs.frames > 1 if needs is not None else alone
        data = _read_as(data, repeats=together, unpaired=not alone or None)
    elif "repeats" in data.options and needs is not None and needs.frames > 1:
        data = _read_as(data, repeats=True)
    dataset = opened(data)
    samples = (*dataset.train, *dataset.validation, *dataset.test)
    if named is None and any(sample.clean is not None for sample in samples):
        named = "supervised"
    if named is not None:
        needs = METHODS[named].needs
        needs.check((*dataset.train, *dataset.validation), named)
        if not needs.clean:
            needs.check_camera(request.camera or _camera(dataset), named)
            if needs.frames > 1 and (
                moved := moving([sample for sample in samples if len(sample.noisy) > 1], request.camera)
            ):
                raise DataError(f"`method` {named} takes frames for repeats, but {moved}; choose another `method`")
        return named, data, dataset, None
    method, why = choose(samples, request.camera or _camera(dataset))
    if data.options.get("repeats") and METHODS[method].needs.frames == 1:
        data = DataSettings(dataset=data.dataset, options={**data.options, "repeats": False})
        dataset = opened(data)
    return method, data, dataset, why


def _read_as(data: DataSettings, **how: bool | None) -> DataSettings:
    """Return a user's own images with options of how they are read, where these were not said."""
    said = {key: value for key, value in data.options.items() if value is not None}
    return DataSettings(dataset=data.dataset, options={**how, **said})


def _camera(dataset: ImageDataset) -> CameraProfile | None:
    """Return the camera as a few noisy images show it; None where they are too few or too small."""
    samples = dataset.train
    chosen = [samples[number] for number in np.unique(np.linspace(0, len(samples) - 1, _MEASURED).astype(int))]
    try:
        return measure_camera([sample.frame() for sample in chosen], axes=samples[0].axes)
    except DataError:
        return None


def resumed_run(request: Request, runs: Path = RUNS) -> Run:
    """Return the run that is named, where its settings are not contradicted; other ``epochs`` are taken over."""
    if request.name is None:
        there = ", ".join(run_names(runs)) or "none yet"
        raise SettingError(f"`resume`: say which run with `name` NAME; there are {there}")
    folder = open_run(runs / check_name(request.name)).folder
    with run_lock(folder):
        return _agreeing(open_run(folder), request)


def _agreeing(run: Run, request: Request) -> Run:
    """Return a run with the settings that are asked for; nobody else may change them meanwhile."""
    settings = run.settings
    _agree("`network`", request.network, settings.network)
    wanted = _network_settings(settings.network, request.network_settings)
    _agree("`network_settings`", wanted or None, settings.network_settings)
    if request.checkpoint is not None:
        start, _ = _checkpoint(request.checkpoint, settings.network, settings.network_settings)
        _same("`checkpoint`", start, settings.checkpoint)
    _agree("`method`", request.method, settings.method)
    _agree("`camera`", request.camera, settings.camera)
    how = {key: value for key in ("repeats", "unpaired") if (value := settings.data.options.get(key)) is not None}
    _agree("the data", _read_as(request.data, **how) if request.data and how else request.data, settings.data)
    asked = settings.recipe
    if request.recipe is not None:
        asked = load_recipe(request.recipe).model_copy(update={"epochs": asked.epochs})
    recipe = change_recipe(asked, request.changes)
    for key in Recipe.model_fields:
        if key != "epochs":
            _agree(f"`{key}`", getattr(recipe, key), getattr(settings.recipe, key))
    if recipe.epochs != settings.recipe.epochs:
        trained = int(max((row["epoch"] for row in run.history()), default=0))
        if recipe.epochs < trained:
            raise SettingError(
                f"`epochs`={recipe.epochs}: {run.folder} is trained for {trained} epochs already; give more, "
                "or start another under a new `name`"
            )
        run = Run(run.folder, settings.model_copy(update={"recipe": recipe}))
        run.write_settings()
    return run


def _agree(what: str, wanted: object, was: object) -> None:
    if wanted is not None:
        _same(what, wanted, was)


def _same(what: str, wanted: object, was: object) -> None:
    if wanted != was:
        shown = f" ({was} then, {wanted} now)" if len(f"{was}{wanted}") < 120 else ""
        raise SettingError(
            f"{what}: not as the run began{shown}; a run goes on as it is, start another under a new `name`"
        )


def _network_settings(network: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    known = list(NETWORKS[network].settings)
    for key in asked:
        if key not in known:
            raise SettingError(f"`network_settings` {key}: {unknown(key, known)}")
    return as_written(asked)


def _settings_of(checkpoint: str | None, network: str) -> dict[str, Any]:
    """Return the network's settings as a checkpoint's weights tell them, where a network's can be read off weights."""
    if checkpoint is None or NETWORKS[network].one_file:
        return {}
    from training.checkpoints import settings_of

    return as_written(settings_of(checkpoint, NETWORKS[network]))


def _checkpoint(
    asked: str | None,
    network: str,
    network_settings: dict[str, object],
    confirm: Callable[[Checkpoint], bool] | None = None,
) -> tuple[str | None, str | None]:
    """Return the checkpoint to start from as settings say it, and a note; one that does not fit raises."""
    from training.checkpoints import cached, default_checkpoint, load_weights, published_checkpoints

    try:
        bare = create(network, **network_settings)
    except ValueError as error:
        raise SettingError(f"`network_settings`: {error}") from None
    if asked is None:
        published = default_checkpoint(network)
        if published is None or network_settings:
            what = "it" if published is None else "its changed settings"
            return None, f"training {network} from scratch: no weights are published for {what}"
        name = published.name
        if cached(name) is None:
            _fetch(published, confirm)
        return name, f"starting from the published checkpoint {name}"
    if asked.lower() in _SCRATCH:
        return None, None
    load_weights(asked, bare, changed=[f"{key}={value}" for key, value in network_settings.items()], progress=True)
    return (asked if asked in published_checkpoints() else str(Path(asked).expanduser().absolute())), None


def _fetch(published: Checkpoint, confirm: Callable[[Checkpoint], bool] | None) -> None:
    """Fetch published weights, if that is possible and allowed; else say what there is to choose from."""
    from training.checkpoints import fetch

    others = "name a file with `checkpoint` FILE, or train from scratch with `checkpoint` none"
    if not published.urls:
        raise CheckpointError(
            f"the published weights {published.name} cannot be fetched by a program: download {published.file} from "
            f"{published.source} and {others}"
        )
    if confirm is None or not confirm(published):
        raise CheckpointError(
            f"no weights to start from: fetch {published.name} with `fetch` ({published.summary}), {others}"
        )
    fetch(published.name, progress=True)
