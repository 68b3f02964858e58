"""Where pairs of images come from: the part of a run's settings that the data sets read."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from training.errors import SettingError

Augment = Literal["none", "rotate", "flip", "rotate+flip"]
"""Copies of each training image: turned by quarters, mirrored, or both; see ``training.data.patches.Patches``."""


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Location = Annotated[Path, AfterValidator(_absolute)]
"""A path that means the same from every working folder, so that a run can be opened from anywhere."""


class DataSettings(BaseModel):
    """What to train on: a named data set, or a user's own pairs.

    ``training.data.open_dataset`` judges what fits together and answers with one line; here are the types alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    """A name of ``training.data.DATASETS``; None for the user's own pairs."""

    data: Location | None = None
    """The folder somewhere below which the files of ``dataset`` lie."""

    noisy: Location | None = None
    """The user's noisy images: a folder, or one file of several planes."""

    clean: Location | None = None
    """The user's clean images: a folder, or one file of several planes."""

    pattern: str | None = None
    """``NOISY=CLEAN``: how the names of a pair differ, where ``{}`` is what they share (``{}_low.tif={}_high.tif``)."""

    channel: str | None = None
    """The channel that trains, by its name or its number (from 0), where the files hold several."""

    preparation: str = "whole"
    """What is cut from each image; the data set says what it knows (Hagen: ``whole``, ``quarter``, ``c-quarter``)."""

    options: dict[str, int | float | str] = {}
    """Further settings that a data set documents (``simulated``: the fields of ``Simulation``)."""

    @field_validator("options", mode="before")
    @classmethod
    def _numbers_or_words(cls, options: dict[str, object]) -> dict[str, object]:
        for key, value in options.items():
            if not isinstance(value, int | float | str):
                raise SettingError(f"`option` {key}={value!r} will not do: give a number or a word")
        return options


def refuse_others(settings: DataSettings, reader: str, read: set[str]) -> None:
    """Refuse an option that ``reader`` would leave unread, instead of ignoring it.

    Raises
    ------
    UserError
        Naming the option.
    """
    for name, field in DataSettings.model_fields.items():
        if name not in read and getattr(settings, name) != field.get_default(call_default_factory=True):
            option = "option" if name == "options" else name  # each --option is one of them
            raise SettingError(f"`{option}` has no meaning for {reader}: leave it out")
