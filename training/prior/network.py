"""The network of the deep image prior: an hourglass with narrow skips, written to be fitted quickly on a CPU.

Ulyanov, Vedaldi, Lempitsky: Deep image prior. IJCV 2020, doi:10.1007/s11263-020-01303-4.

The formulation is the paper's; what is computed otherwise changes nothing beyond rounding. Tensors lie channels last;
a 1 x 1 convolution is a matrix product over pixels; the gradient of the upsampling is a sum of slices; and a bias in
front of a batch norm, which subtracts it again, is a parameter that is not added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_CHANNELS = 32
_SLOPE = 0.2


class SkipNetwork(nn.Module):
    """From a fixed random tensor (1, 32, Y, X) to an image (1, 1, Y, X) in [0, 1].

    Parameters
    ----------
    widths : sequence of int
        Channels of each scale, the finest first.
    skip : int
        Channels that each scale hands on beside the deeper ones; 0: none.
    """

    def __init__(self, widths: Sequence[int], skip: int) -> None:
        super().__init__()
        self.scales = Scale(INPUT_CHANNELS, widths, skip)
        self.last = nn.Conv2d(widths[0], 1, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, noise: Tensor) -> Tensor:
        """Return the image that these weights make of the random tensor."""
        features = self.scales(noise)
        return torch.sigmoid(_over_pixels(features, self.last.weight, self.last.bias))


class Scale(nn.Module):
    """One scale and all that are coarser.

    Parameters
    ----------
    channels : int
        Of the input.
    widths : sequence of int
        Channels of this scale, of the next coarser one, and so on.
    skip : int
        As of ``SkipNetwork``.
    """

    def __init__(self, channels: int, widths: Sequence[int], skip: int) -> None:
        super().__init__()
        width, *deeper = widths
        self.skip = Layer(channels, skip, 1) if skip else None
        self.down = nn.Sequential(Layer(channels, width, 3, stride=2), Layer(width, width, 3))
        self.deeper = Scale(width, deeper, skip) if deeper else None
        joined = skip + (deeper[0] if deeper else width)
        self.norm = nn.BatchNorm2d(joined)
        self.up = nn.Sequential(Layer(joined, width, 3), Layer(width, width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return features (1, width, Y, X) of the input's size."""
        below = self.down(features)
        joined = double_size(below if self.deeper is None else self.deeper(below))
        joined = joined[:, :, : features.shape[2], : features.shape[3]]  # an odd length comes back one longer
        if self.skip is not None:
            joined = torch.cat([self.skip(features), joined], 1)
        return cast(Tensor, self.up(self.norm(joined)))


class Layer(nn.Module):
    """Convolution with mirrored edges, batch norm, leaky ReLU."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, kernel, stride)  # its bias is not added: the norm subtracts it
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return (1, width, Y, X), both divided by the stride and rounded up."""
        weight = self.convolution.weight
        if weight.shape[-1] == 1:
            convolved = _over_pixels(features, weight, None)
        else:
            padded = functional.pad(features, (1, 1, 1, 1), mode="reflect")
            convolved = functional.conv2d(padded, weight, stride=self.convolution.stride)
        return functional.leaky_relu_(self.norm(convolved), _SLOPE)


class _DoubleSize(torch.autograd.Function):
    """Bilinear upsampling whose gradient, which torch takes ten times as long for, is a sum of slices."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:  # noqa: ANN401 torch's own type is private
        """Return the upsampled features."""
        return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        """Return the gradient of the input: along each axis a pixel went into four, with 1, 3, 3 and 1 quarters."""
        for axis in (2, 3):
            even, odd = (gradient[(slice(None),) * axis + (slice(start, None, 2),)] for start in (0, 1))
            length = even.shape[axis]
            summed = (even + odd).mul_(0.75)
            summed.narrow(axis, 0, length - 1).add_(even.narrow(axis, 1, length - 1), alpha=0.25)
            summed.narrow(axis, 1, length - 1).add_(odd.narrow(axis, 0, length - 1), alpha=0.25)
            summed.narrow(axis, 0, 1).add_(even.narrow(axis, 0, 1), alpha=0.25)
            summed.narrow(axis, length - 1, 1).add_(odd.narrow(axis, length - 1, 1), alpha=0.25)
            gradient = summed
        return gradient


def double_size(features: Tensor) -> Tensor:
    """Return features (B, C, Y, X) upsampled to (B, C, 2 Y, 2 X), bilinearly and without aligned corners."""
    return cast(Tensor, _DoubleSize.apply(features))


def _over_pixels(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a 1 x 1 convolution as the matrix product that it is where channels lie last."""
    return functional.linear(features.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
