"""The registry of networks, a file each: what each is, where it comes from, and ``create``; readable without torch.

A file in this folder, or one that is registered, imports torch and the standard library alone (it travels inside
packages) and holds three things: a literal ``DESCRIPTION``, a function ``receptive_radius`` of the network's settings,
and the class.
"""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """What is known of a network before any weights: its file's ``DESCRIPTION``, whose keys are these attributes.

    Attributes
    ----------
    name : str
        Of the file, without ``.py``.
    path : Path
        The file.
    class_name : str
        The class in that file (``class`` in the description).
    title : str
        The name in the paper.
    paper : str
        Citation with DOI or address.
    source : str
        Address of the published code.
    licence : str
        Licence of the published code (SPDX where one exists).
    stride : tuple of int
        Total stride along each space axis: sizes that the bare network takes are multiples of it. A single number in
        the description means the same along each axis.
    noise_map : bool
        Whether it wants a second channel that holds the noise level.
    bytes_per_pixel : int
        Working memory that a pixel of the image takes at the published size, in float32 (measured on 512 x 512).
    settings : Mapping
        Constructor settings as published (gray, Gaussian denoising).
    small_settings : Mapping
        Settings of a network small enough for tests; those left out are the published ones.
    axes : str
        Space axes, "YX" or "ZYX".
    standardised : bool
        Whether it wants images of mean 0 and standard deviation 1, and not the noise-free image in about [0, 1].
    recipe : Mapping
        How it is trained unless something else is asked for: keys of ``training.runs.settings.Recipe``.
    checkpoints : Mapping
        Its published weights, see ``training.checkpoints``; none where nobody published any.
    """

    name: str
    path: Path
    class_name: str
    title: str
    paper: str
    source: str
    licence: str
    stride: tuple[int, ...]
    noise_map: bool
    bytes_per_pixel: int
    settings: Mapping[str, Any]
    small_settings: Mapping[str, Any]
    axes: str = "YX"
    standardised: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Mapping[str, Any] = field(default_factory=dict)

    def radius(self, settings: Mapping[str, Any]) -> tuple[int, ...] | None:
        """Return the receptive radius: how far from an output pixel the input pixels lie that change it.

        Parameters
        ----------
        settings : Mapping
            Constructor settings; those left out are the published ones.

        Returns
        -------
        tuple of int or None
            Pixels along each space axis, or None where a global operation sees the whole image.
        """
        radius = self.module().receptive_radius(**{**self.settings, **settings})
        return None if radius is None else _per_axis(radius, self.axes)

    @property
    def one_file(self) -> bool:
        """Whether the code is one file, which travels in packages."""
        return True

    def settings_of(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that weights were made with, where they can be read off these: here they cannot."""
        return {}

    def build(self, settings: Mapping[str, Any]) -> nn.Module:
        """Return the network with untrained weights; ``ValueError`` where the settings make none."""
        for key, value in settings.items():
            _check(f"{self.name}: {key}", value, self.settings[key])
        module: nn.Module = getattr(self.module(), self.class_name)(**settings)
        return module

    def module(self) -> ModuleType:
        """Return the file as a module, imported once; it imports torch."""
        if self.path.parent == _FOLDER:
            return import_module(f"{__name__}.{self.name}")
        name = f"{__name__}.registered_{self.name}"
        if getattr(sys.modules.get(name), "__file__", None) != str(self.path):
            spec = util.spec_from_file_location(name, self.path)
            if spec is None or spec.loader is None:
                raise ValueError(f"{self.path}: not a Python file")
            sys.modules[name] = util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]


def register(path: Path) -> Network:
    """Add the network of a file to ``NETWORKS``, under the file's name.

    Train it on one device (``devices=1``): the processes that train on several GPUs do not know it.

    Raises
    ------
    ValueError
        Where the name is taken, or ``DESCRIPTION`` is missing, no literal, or lacks a key.
    """
    network = _read(Path(path))
    if network.name in NETWORKS:
        raise ValueError(f"{path}: there is a network {network.name} already; give the file another name")
    NETWORKS[network.name] = network
    return network


def is_known(name: str) -> bool:
    """Return whether there is such a network; one of spandrel is added to ``NETWORKS`` when it is first asked for.

    Raises
    ------
    ValueError
        For a network of spandrel that it does not know, or where spandrel is not installed.
    """
    if name not in NETWORKS and name.startswith(PREFIX):
        from training.networks.libraries.spandrel import register as register_spandrel

        register_spandrel(name)
    return name in NETWORKS


def create(name: str, **settings: object) -> nn.Module:
    """Return a network with untrained weights, ready to be trained from scratch or to take a checkpoint.

    Parameters
    ----------
    name : str
        A key of ``NETWORKS``.
    **settings
        Constructor settings; the published ones (``NETWORKS[name].settings``) where none are given.

    Returns
    -------
    torch.nn.Module
        Takes (B, 1, *space) float32 (with a noise map (B, 2, *space): image, noise map), with the noise-free image in
        about [0, 1] (or as ``NETWORKS[name].standardised`` says) and sizes that are multiples of
        ``NETWORKS[name].stride``, and returns (B, 1, *space). The start is drawn from torch's global random generator.

    Raises
    ------
    ValueError
        For a name or a setting that is not known, or a setting's value that makes no network.
    """
    if not is_known(name):
        raise ValueError(f"network {name!r} is unknown; choose one of {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    unknown = sorted(set(settings) - set(network.settings))
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(network.settings)}")
    return network.build({**network.settings, **settings})


def _read(path: Path) -> Network:
    """Return what a file's ``DESCRIPTION`` says, without running the file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["DESCRIPTION"]:
            try:
                keys = ast.literal_eval(node.value)
                keys["class_name"] = keys.pop("class")
                keys["stride"] = _per_axis(keys["stride"], keys.get("axes", "YX"))
                return Network(name=path.stem, path=path.resolve(), **keys)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}: its DESCRIPTION is not right: {error}") from None
    raise ValueError(f"{path}: has no DESCRIPTION, so it is no network")


def _per_axis(value: int | tuple[int, ...], axes: str) -> tuple[int, ...]:
    """Return one number an axis; a single one means the same along each."""
    values = (value,) * len(axes) if isinstance(value, int) else tuple(value)
    if len(values) != len(axes):
        raise ValueError(f"{list(values)} is not one number for each of the axes {axes}")
    return values


def _check(what: str, value: object, published: object) -> None:
    """Refuse a setting that is not of the kind of the published one: a number above 0, or a list of such numbers."""
    if isinstance(published, tuple):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{what} is a list such as {list(published)}, not {value!r}")
        for each in value:
            _check(what, each, published[0])
        return
    kind = "number" if isinstance(published, float) else "whole number"
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not right or (kind == "whole number" and not isinstance(value, int)):
        raise ValueError(f"{what} is a {kind} above 0 such as {published}, not {value!r}")


PREFIX = "spandrel:"
"""What the names of spandrel's networks begin with."""

_FOLDER = Path(__file__).resolve().parent
NETWORKS: dict[str, Network] = {
    path.stem: _read(path) for path in sorted(_FOLDER.glob("*.py")) if path.stem != "__init__"
}
"""Name to network, for each file of this folder and each that was registered."""
