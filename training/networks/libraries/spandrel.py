"""Networks of spandrel by name, ``spandrel:SwinIR``: its free architectures, as denoisers of one channel.

spandrel carries the code of many published networks and reads their settings off their weights; its main package, the
only one that is used here, holds what comes under MIT, Apache-2.0 or no copyright. A network of colours is given the
image three times, and the mean of its three results is taken.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.networks import NETWORKS, PREFIX, Network

if TYPE_CHECKING:
    import torch
    from torch import nn

_STRIDE = 64  # pixels: every size that they need is a part of it, but for what is refused
_PLAIN = (bool, int, float, str, list, tuple)  # what a settings file can hold


@dataclass(frozen=True)
class SpandrelNetwork(Network):
    """A network of spandrel; its code does not travel in packages, which hold TorchScript and ONNX alone.

    ``settings`` are the keyword arguments of its class that a file can hold; None: as the class has it.
    """

    @property
    def one_file(self) -> bool:
        """Whether the code is one file that can travel in packages: it is not."""
        return False

    def radius(self, settings: Mapping[str, Any]) -> None:
        """Return None: nobody states how far its pixels reach, so that tiles are not taken for exact."""

    def settings_of(self, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Return the settings that weights were made with, as spandrel reads them off names and sizes.

        Raises
        ------
        ValueError
            Where they are of another architecture, or of none that spandrel knows.
        """
        library = import_module("spandrel")
        try:
            found = library.MAIN_REGISTRY.load(dict(weights))
        except Exception as error:  # noqa: BLE001 - its readers fail in many ways on weights that are nearly theirs
            raise ValueError(f"spandrel recognises no network in it ({type(error).__name__})") from None
        name = f"{PREFIX}{found.architecture.id}"
        if name != self.name:
            raise ValueError(f"its weights are of {name}: give `network` {name}")
        return {key: value for key, value in found.model.hyperparameters.items() if isinstance(value, _PLAIN)}

    def build(self, settings: Mapping[str, Any]) -> nn.Module:
        """Return the network with untrained weights, taking and giving one channel.

        Raises
        ------
        ValueError
            Where the settings make no network, or one that is no denoiser of images of any size.
        """
        given = {key: value for key, value in settings.items() if value is not None}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # older code than this torch
                bare = _class(self.class_name)(**given)
                seen = _architecture(self.class_name).load(bare.state_dict())
        except Exception as error:  # noqa: BLE001 - each class checks its settings in its own way, or not at all
            raise ValueError(f"{self.name} cannot be built with {given}: {error}") from None
        channels = seen.input_channels
        if seen.scale != 1:
            raise ValueError(f"{self.name} makes images {seen.scale} times as large: it is no denoiser so")
        if channels not in (1, 3) or seen.output_channels != channels:
            raise ValueError(
                f"{self.name} makes {seen.output_channels} channels of {channels}: one of one is needed, or three of "
                "three; see the settings of its channels"
            )
        needs = seen.size_requirements
        if needs.square or needs.minimum > _STRIDE or _STRIDE % needs.multiple_of:
            raise ValueError(f"{self.name} takes only certain sizes ({needs}), and microscopes have others")
        network = _of_one_channel(bare) if channels == 3 else bare
        _try(self.name, network)
        return network


def register(name: str) -> Network:
    """Return a network of spandrel, added to ``NETWORKS``.

    Parameters
    ----------
    name : str
        ``spandrel:`` and the architecture's name there.

    Raises
    ------
    ValueError
        Where spandrel is not installed, or knows no such architecture.
    """
    known = _architectures()
    architecture = name.removeprefix(PREFIX)
    if architecture not in known:
        raise ValueError(f"spandrel knows no {architecture or 'network without a name'}; it knows {', '.join(known)}")
    cls = _class(architecture)
    NETWORKS[name] = SpandrelNetwork(
        name=name,
        path=Path(inspect.getfile(cls)),
        class_name=architecture,
        title=architecture,
        paper=f"{architecture}, as spandrel carries it; its README names the paper. "
        "https://github.com/chaiNNer-org/spandrel",
        source="https://github.com/chaiNNer-org/spandrel",
        licence="MIT, Apache-2.0 or public domain, as all of spandrel's main package",
        stride=(_STRIDE, _STRIDE),
        noise_map=False,
        bytes_per_pixel=16_000,
        settings=_arguments(cls),
        small_settings={},
        recipe={"epochs": 30, "batch": 4, "crop": 64, "lr": 1e-4, "decay_factor": 0.8, "decay_epochs": 3},
    )
    return NETWORKS[name]


def _architectures() -> dict[str, Any]:
    """Return spandrel's architectures by their names."""
    try:
        library = import_module("spandrel")
    except ImportError:
        raise ValueError('spandrel is not installed: pip install "bmz-fmd[spandrel]"') from None
    return {support.architecture.id: support.architecture for support in library.MAIN_REGISTRY}


def _architecture(name: str) -> Any:  # noqa: ANN401
    return _architectures()[name]


def _class(name: str) -> Any:  # noqa: ANN401
    """Return the class of an architecture: the first public name of its module that is no reader of weights."""
    module = import_module(type(_architecture(name)).__module__)
    return getattr(module, next(each for each in module.__all__ if not each.endswith("Arch")))


def _arguments(cls: type) -> dict[str, Any]:
    """Return the keyword arguments of a class that a file can hold and what they are by default; None: has none."""
    parameters = inspect.signature(cls).parameters.values()
    defaults = {each.name: None if each.default is each.empty else each.default for each in parameters}
    return {key: value for key, value in defaults.items() if (value is None or isinstance(value, _PLAIN))}


def _of_one_channel(network: nn.Module) -> nn.Module:
    """Let a network of three colours take and give one channel; the names of its weights stay the published ones."""

    class OneChannel(type(network)):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image.repeat(1, 3, 1, 1)).mean(1, keepdim=True)  # type: ignore[no-any-return]

    network.__class__ = OneChannel
    return network


def _try(name: str, network: nn.Module) -> None:
    """Refuse a network that is no function from an image to one of the same size."""
    import torch

    image = torch.zeros(1, 1, _STRIDE, _STRIDE)
    training = network.training
    try:
        with torch.no_grad():
            result = network.eval()(image)
    except Exception as error:  # noqa: BLE001 - it may want a second input, or a noise level
        raise ValueError(f"{name} does not run on an image alone: {error}") from None
    if not isinstance(result, torch.Tensor) or result.shape != image.shape:
        raise ValueError(f"{name} does not give one image of the size of its input")
    network.train(training)
