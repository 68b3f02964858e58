"""Where the images come from: the part of a run's settings that names a data set and its own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from training.data.options import FOLDERS, NAMED, check_options
from training.data.sets import DATASETS
from training.errors import SettingError

Augment = Literal["none", "rotate", "flip", "rotate+flip"]
"""Copies of each training image: turned by quarters, mirrored, or both; see ``training.data.patches.Patches``."""


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
        if not isinstance(keys.get("options") or {}, Mapping):
            raise SettingError(f"`options` is of type {type(keys['options']).__name__}: give a dict")
        beside = {key: keys[key] for key in NAMED if keys.get(key) is not None}
        if beside.get("preparation") == "whole":  # as version 0.1 wrote it for data sets that have none
            del beside["preparation"]
        dataset = keys.get("dataset")
        options = {**(keys.get("options") or {}), **beside}
        known = DATASETS.get(dataset or FOLDERS)
        if known is not None and (dataset or {"noisy", "clean"} & options.keys()):
            options = check_options(known.options, options, dataset).model_dump()
        return {key: value for key, value in keys.items() if key not in NAMED} | {"options": options}
