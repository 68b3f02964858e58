"""A network with what tools do differently moved inside: operations, order of axes, sizes, one tensor of float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bmz_export.repair.operations import CANONICAL, Place, layers
from training.calibration.layer import Calibrated, Constants


class Ordered(nn.Module):
    """Gives a network its own order of axes and type, and takes its first tensor back to (batch, channel, y, x)."""

    def __init__(self, network: nn.Module, takes: str, gives: str, dtype: str) -> None:
        super().__init__()
        self.network = network
        self._takes, self._gives, self._dtype = takes, gives, getattr(torch, dtype)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Run the network on an image (batch, channel, y, x)."""
        for axis in reversed(range(2)):
            if CANONICAL[axis] not in self._takes:
                image = image.squeeze(axis)
        kept = [letter for letter in CANONICAL if letter in self._takes]
        image = image.permute([kept.index(letter) for letter in self._takes]).to(self._dtype)
        result = self.network(image)
        while not isinstance(result, torch.Tensor):
            result = result[0]
        kept = [letter for letter in CANONICAL if letter in self._gives]
        result = result.permute([self._gives.index(letter) for letter in kept])
        for axis in range(2):
            if CANONICAL[axis] not in self._gives:
                result = result.unsqueeze(axis)
        return result.to(torch.float32)


class WithProcessing(nn.Module):
    """From an image (batch, channel, y, x) as it is to the result, all that was described around the network inside.

    Parameters
    ----------
    network : torch.nn.Module
        From (batch, channel, y, x) to the same.
    before, after : sequence of (str, mapping)
        Operations before and after it, their ids and arguments.
    input : str
        The name of the input tensor, to which operations refer.
    multiple : int
        The network is given sizes that are a multiple of it: images are mirrored up to that, and results cropped.
    """

    def __init__(
        self,
        network: nn.Module,
        before: Sequence[tuple[str, Mapping[str, Any]]] = (),
        after: Sequence[tuple[str, Mapping[str, Any]]] = (),
        input: str = "input",
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.network = Calibrated(network, Constants(multiple=multiple)) if multiple > 1 else network
        self._before = layers(before, Place(self, True, input))
        self._after = layers(after, Place(self, False, input))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Run it."""
        values = image
        for layer in self._before:
            values = layer(values, image)
        values = self.network(values)
        for layer in self._after:
            values = layer(values, image)
        return values
