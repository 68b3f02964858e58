"""Where the images come from: the part of a run's settings that names a data set and its own options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from training.errors import SettingError

Augment = Literal["none", "rotate", "flip", "rotate+flip"]
"""Copies of each training image: turned by quarters, mirrored, or both; see ``training.data.patches.Patches``."""

_NAMED = ("data", "noisy", "clean", "pattern", "channel", "preparation")
"""Options that a person gives by their own names; any other is given as ``option`` KEY=VALUE."""


FOLDERS = "folders"
"""The data set of a user's own images, which is meant where none is named."""

Location = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path that means the same from every working folder, so that a run can be opened from anywhere."""


class DatasetOptions(BaseModel):
    """The options of a data set: each has a class of its own, with a field an option."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Options = TypeVar("Options", bound=DatasetOptions)


class DataSettings(BaseModel):
    """A data set and its options.

    Options may stand beside the name as well, as in the settings of version 0.1, where ``preparation`` was written for
    every data set. Those of a data set that is known are checked and completed.

    Raises
    ------
    UserError
        Where the data set has no such option, or it cannot have that value.

    Examples
    --------
    >>> DataSettings.model_validate({"dataset": "simulated", "options": {"images": 8}}).options["size"]
    256
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    """A name of ``training.data.DATASETS``; None for the user's own folders."""

    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, keys: dict[str, Any]) -> dict[str, Any]:
        from training.data.sets import DATASETS

        beside = {key: keys[key] for key in _NAMED if keys.get(key) is not None}
        if beside.get("preparation") == "whole":  # as version 0.1 wrote it for data sets that have none
            del beside["preparation"]
        dataset = keys.get("dataset")
        options = {**(keys.get("options") or {}), **beside}
        known = DATASETS.get(dataset or FOLDERS)
        if known is not None and (dataset or {"noisy", "clean"} & options.keys()):
            options = check_options(known.options, options, dataset).model_dump()
        return {key: value for key, value in keys.items() if key not in _NAMED} | {"options": options}


def check_options(model: type[Options], options: Mapping[str, Any], dataset: str | None) -> Options:
    """Return a data set's options, or a ``UserError`` of the first that is wrong."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as errors:
        error = errors.errors()[0]
    key = str(error["loc"][0])
    where = f"`dataset` {dataset}" if dataset else "your own images"
    option = f"`{key}`" if key in _NAMED else f"`option` {key}"
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        raise SettingError(f"{option} has no meaning for {where}: leave it out; the options are {known}")
    if error["type"] == "missing":
        raise SettingError(f"{where} needs {option}: say it")
    raise SettingError(f"{option}={error['input']!r} of {where}: {error['msg'][0].lower()}{error['msg'][1:]}")
