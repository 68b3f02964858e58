"""What a training run is made of: the recipe, where the pairs come from, checked once when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from training.calibration.camera import CameraProfile
from training.calibration.intensity import IntensityFit
from training.data.options import plain_message
from training.data.settings import Augment, DataSettings
from training.errors import SettingError
from training.networks import NETWORKS, is_known
from training.util.text import unknown

Statistics = Literal["dataset", "instance"]
Transform = Literal["auto", "affine", "anscombe", "spline"]
Loss = Literal["mae", "mse", "l1ssim"]
M = TypeVar("M", bound=BaseModel)


def _none_by_words(*words: str) -> BeforeValidator:
    """Read any of ``words`` as None, since that is what a person types after ``--set``."""
    return BeforeValidator(lambda value: None if isinstance(value, str) and value.lower() in words else value)


def _sides(value: object) -> object:
    """Read one side, or one an axis, of which the last two are those of planes; words as ``_none_by_words`` does."""
    if value is None or (isinstance(value, str) and value.lower() in ("none", "whole", "null")):
        return None
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) not in (2, 3) or not all(type(side) is int and side >= 1 for side in sides) or min(sides[-2:]) < 16:
        raise ValueError("16 or more pixels, one number or one an axis such as [8, 64, 64], or none")
    return sides if isinstance(value, list | tuple) else value


def _yes_or_no(value: object) -> object:
    """Read ``augment: yes`` as rotations and ``augment: no`` as none."""
    return {True: "rotate", False: "none"}[value] if isinstance(value, bool) else value


class Recipe(BaseModel):
    """How to train: every key may stand in a recipe file or after ``--set``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(100, ge=0, description="times that each training image is seen; 0: the calibrated start")
    batch: int = Field(4, ge=1, description="crops in a step, over all GPUs")
    crop: Annotated[int | tuple[int, ...] | None, BeforeValidator(_sides)] = Field(
        128,
        description="sides of the random crops in pixels: one number, or one an axis, [8, 64, 64]; none: whole",
    )
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam in the first epoch")
    decay_factor: float = Field(1.0, gt=0, le=1, description="what the learning rate is multiplied with")
    decay_epochs: int = Field(1, ge=1, description="every how many epochs")
    decay_limit: float = Field(0.0, ge=0, description="at or below this the learning rate stays")
    loss: Loss = Field("mae", description="mae, mse, or l1ssim: mae + alpha * (1 - SSIM)")
    alpha: float = Field(100.0, ge=0, description="weight of (1 - SSIM) in l1ssim")
    augment: Annotated[Augment, BeforeValidator(_yes_or_no)] = Field(
        "none", description="turned copies of each image (three more), its mirror image, or both"
    )
    test_fraction: float = Field(0.1, gt=0, lt=1, description="part of the fields of view kept for the test")
    pairs: int | None = Field(
        None, ge=1, description="fields of view to learn from, drawn by the seed, fewer among more; all by default"
    )
    validation: bool = Field(
        True, description="whether validation images choose the epoch; no: they teach too, and the last epoch counts"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of every random choice")
    intensity_fit: IntensityFit = Field("dataset", description="clean onto noisy intensities: once, per image, or not")
    transform: Transform = Field("auto", description="map into the denoiser's range: searched for, or set")
    statistics: Statistics = Field("dataset", description="constants of the training set, or of each image by itself")
    sigma: Annotated[float | None, _none_by_words("none", "auto", "null")] = Field(
        None, description="noise level given to a network with a noise map, of 255 as published; auto: estimated"
    )

    @field_validator("sigma")
    @classmethod
    def _published_scale(cls, sigma: float | None) -> float | None:
        if sigma is not None and not 1 <= sigma <= 255:
            raise ValueError("between 1 and 255 (25 means 25/255), or auto")
        return sigma

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (the first is 1): stepwise decay down to the limit."""
        rate = self.lr
        for _ in range((epoch - 1) // self.decay_epochs):
            if rate <= self.decay_limit:
                break
            rate *= self.decay_factor
        return rate


def check_name(name: str) -> str:
    """Return a run's name if it can be a folder's name on every system; else raise ``UserError``."""
    allowed = name and all(c.isalnum() or c in "._-+" for c in name) and not name.startswith(".") and len(name) <= 100
    if not allowed or name.endswith("."):
        raise SettingError(
            f"`name` {name!r}: use up to 100 letters, digits and . _ - +, with no dot at the beginning or the end"
        )
    return name


def check_network(name: str) -> str:
    """Return the name of a network; ``UserError`` where there is none such."""
    try:
        there = is_known(name)
    except ValueError as error:
        raise SettingError(f"`network` {name}: {error}") from None
    if not there:
        raise SettingError(f"`network` {name}: {unknown(name, list(NETWORKS))}")
    return name


def check_method(name: str) -> str:
    """Return the name of a method; ``UserError`` where there is none such."""
    from training.methods import METHODS  # imports torch

    if name not in METHODS:
        raise SettingError(f"`method` {name}: {unknown(name, list(METHODS))}")
    return name


class Settings(BaseModel):
    """All settings of a run: with these and the same data it can be repeated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(check_name)]
    network: Annotated[str, AfterValidator(check_network)]
    network_settings: dict[str, Any] = Field(default_factory=dict)
    checkpoint: str | None = Field(
        None, description="a published checkpoint's name, or a file; none: from scratch (Kaiming start)"
    )
    data: DataSettings
    method: Annotated[str, AfterValidator(check_method)] = "supervised"
    recipe: Recipe
    camera: CameraProfile | None = Field(None, description="as it was given; none: measured on the training images")

    @field_validator("network_settings")
    @classmethod
    def _as_read_again(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return as_written(settings)


def load_recipe(recipe: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by name or file, with some keys changed.

    Parameters
    ----------
    recipe : str
        A network's name, for the recipe in its file, or the path of a YAML file with any of the keys of
        :class:`Recipe`.
    changes : mapping, optional
        Keys of :class:`Recipe` and their values.

    Raises
    ------
    UserError
        Names the recipe or the key, what is allowed, and for an unknown word the nearest known.
    """
    keys = _read_recipe(recipe)
    checked(Recipe, keys, f"recipe {recipe}")
    return checked(Recipe, {**keys, **(changes or {})}, "recipe")


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with some keys changed, as :func:`load_recipe` does."""
    return checked(Recipe, {**recipe.model_dump(), **changes}, "recipe")


def parse_changes(changes: Sequence[str], option: str, known: Sequence[str] | None = None) -> dict[str, Any]:
    """Return ``key=value`` words as a dictionary, values read as YAML; a key not ``known`` is an error."""
    result: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise SettingError(
                f"{option} {change}: write {option} key=value, for example {option} {(known or ['key'])[0]}=20"
            )
        if known is not None and key not in known:
            raise SettingError(f"{option} {key}: {unknown(key, known)}")
        try:
            result[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):  # a date that is none, for one
            raise SettingError(f"{option} {change}: the value cannot be read") from None
    return result


def as_written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's settings as a file holds them: lists where tuples were given."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def save_settings(settings: Settings) -> str:
    """Return the settings as YAML text, keys in the order of the classes."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_settings(path: Path) -> Settings:
    """Return the settings of a ``settings.yaml``; a file that is none raises ``UserError``."""
    keys = read_yaml(path)
    try:
        return Settings.model_validate(keys)
    except ValidationError as errors:
        reason = _explain(errors, Settings)
    except SettingError as error:
        reason = str(error)
    raise SettingError(f"{path}: {reason}")


def _read_recipe(recipe: str) -> dict[str, Any]:
    if recipe in NETWORKS:
        return dict(NETWORKS[recipe].recipe)
    path = Path(recipe)
    if not path.is_file():
        raise SettingError(f"`recipe` {recipe}: neither a file nor a network; {unknown(recipe, list(NETWORKS))}")
    return read_yaml(path)


def read_yaml(path: Path, what: str = "") -> dict[str, Any]:
    """Return the keys of a YAML file; ``UserError`` where it has none names the file, or ``what`` it was given as."""
    what = what or str(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"{what}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{what}: cannot be read as text ({type(error).__name__})") from None
    except (yaml.YAMLError, ValueError) as error:
        line = (
            f" in line {error.problem_mark.line + 1}"
            if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark
            else ""
        )
        raise SettingError(f"{what}: no YAML{line}; write one `key: value` a line") from None
    if not isinstance(content, dict):
        raise SettingError(f"{what}: no settings; write one `key: value` a line")
    return content


def checked(model: type[M], keys: Mapping[str, Any], where: str) -> M:
    """Return the model of ``keys``, or a ``UserError`` of the first thing wrong."""
    try:
        return model.model_validate(dict(keys))
    except ValidationError as errors:
        raise SettingError(f"{where}: {_explain(errors, model)}") from None


def _explain(errors: ValidationError, model: type[BaseModel]) -> str:
    error = errors.errors()[0]
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        parent: Any = model
        for part in error["loc"][:-1]:
            parent = parent.model_fields[str(part)].annotation
        return f"{key} {unknown(str(error['loc'][-1]), list(parent.model_fields))}"
    if error["type"] == "missing":
        return f"{key} is missing"
    return f"{key}={error['input']!r}: {plain_message(error)}"
