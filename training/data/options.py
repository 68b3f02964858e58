"""The options of a data set: each has a class of its own, checked when it is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from training.errors import SettingError

NAMED = ("data", "noisy", "clean", "pattern", "channel", "preparation")
"""Options that a person gives by their own names; any other is given as ``option`` KEY=VALUE."""

_WANTED = {"int": "a whole number", "float": "a number", "string": "text", "path": "a path", "bool": "true or false"}

FOLDERS = "folders"
"""The data set of a user's own images, which is meant where none is named."""

Location = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path that means the same from every working folder, so that a run can be opened from anywhere."""


class DatasetOptions(BaseModel):
    """The options of a data set: each has a class of its own, with a field an option."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Options = TypeVar("Options", bound=DatasetOptions)


def check_options(model: type[Options], options: Mapping[str, Any], dataset: str | None) -> Options:
    """Return a data set's options, or a ``UserError`` of the first that is wrong."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as errors:
        error = errors.errors()[0]
    key = str(error["loc"][0])
    where = f"`dataset` {dataset}" if dataset else "your own images"
    option = f"`{key}`" if key in NAMED else f"`option` {key}"
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        raise SettingError(f"{option} has no meaning for {where}: leave it out; the options are {known}")
    if error["type"] == "missing":
        raise SettingError(f"{where} needs {option}: say it")
    raise SettingError(f"{option}={error['input']!r} of {where}: {plain_message(error)}")


def plain_message(error: Mapping[str, Any]) -> str:
    """Return what pydantic found wrong with a value, in words for a person."""
    kind = error["type"].partition("_")[0]
    if kind in _WANTED and error["type"].endswith(("_parsing", "_type", "_from_float")):
        return f"{_WANTED[kind]} is wanted"
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"
