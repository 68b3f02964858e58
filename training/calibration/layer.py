"""The layer between an image's own units and a denoiser: intensities, noise level and borders.

Every tool then runs a model package alike, for the package needs no pre- or post-processing operation and no padding
of its own. Only torch is imported: this file travels inside packages.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

_TRANSFORMS = ("affine", "anscombe", "spline")
_STATISTICS = ("dataset", "instance")
_NUMBERS = ("offset", "scale", "pedestal", "gain", "read_noise", "sigma")
_CURVE = ("knots", "values")

SEGMENTS = 128
"""Of a spline: a power of two, so that a value's segment is found in as many steps as that has bits."""


@dataclass(frozen=True)
class Constants:
    """What the calibration of one denoiser is: the structure of its computation, and numbers.

    Attributes
    ----------
    transform : {"affine", "anscombe", "spline"}
        ``affine``: the denoiser sees ``u = (x - offset) / scale``. ``anscombe``: ``u = (f - offset) / scale`` with
        ``f = stabilise(x, pedestal, gain, read_noise)``, whose noise has a standard deviation of about one wherever the
        variance of x is ``gain * (x - pedestal) + read_noise**2``. ``spline``: f is led through a line that rises from
        knot to knot, ``f = follow(stabilise(x, ...), knots, values)``.
    statistics : {"dataset", "instance"}
        ``instance``: x (or f) is first brought to mean 0 and standard deviation 1 in each image of the batch; a
        result that is computed in tiles then differs from the whole image's.
    noise_map : bool
        Whether the denoiser wants a second channel; it is filled with `sigma`.
    multiple : int or tuple of int
        The denoiser is given sizes that are a multiple of it. One number a space axis, or one for all.
    margin : int or tuple of int
        Pixels by which the image is extended on each side before the denoiser and cropped after it. One number a space
        axis, or one for all.
    offset, scale : float
        In units of x, of f, or of standard deviations, see above; `scale` is positive.
    pedestal, gain, read_noise : float
        In units of x: the camera's value in the dark, the value of one photo-electron (positive), the standard
        deviation of the noise in the dark. Unused by the affine transform.
    sigma : float
        Noise level for the noise map, in units of u.
    knots, values : tuple of float
        Of the spline, ``SEGMENTS + 1`` each, increasing: Anscombe-transformed intensities, and what becomes of them. A
        spline without any changes nothing; other transforms have none.

    Raises
    ------
    ValueError
        For a name that is not known, or a number that is not possible.
    """

    transform: str = "affine"
    statistics: str = "dataset"
    noise_map: bool = False
    multiple: int | Sequence[int] = 1
    margin: int | Sequence[int] = 0
    offset: float = 0.0
    scale: float = 1.0
    pedestal: float = 0.0
    gain: float = 1.0
    read_noise: float = 0.0
    sigma: float = 0.0
    knots: Sequence[float] = ()
    values: Sequence[float] = ()

    def __post_init__(self) -> None:
        for name, known in (("transform", _TRANSFORMS), ("statistics", _STATISTICS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name, least in (("multiple", 1), ("margin", 0)):
            given = getattr(self, name)
            each = tuple(map(int, given if isinstance(given, Sequence) else (given,)))
            if not each or min(each) < least:
                raise ValueError(f"{name} is at least {least} along each axis, not {given}")
            object.__setattr__(self, name, each if len(set(each)) > 1 else each[0])
        for name in _NUMBERS:
            value = float(getattr(self, name))
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}, which is not a finite number")
            if name in {"scale", "gain"} and value <= 0:
                raise ValueError(f"{name} is {value}, but must be positive")
            object.__setattr__(self, name, value)
        for name in _CURVE:
            points = tuple(map(float, getattr(self, name)))
            if self.transform == "spline":
                points = points or tuple(map(float, range(SEGMENTS + 1)))
            if len(points) != (SEGMENTS + 1) * (self.transform == "spline"):
                raise ValueError(f"{name} are {SEGMENTS + 1} of a spline and none of another transform")
            if not all(low < high for low, high in itertools.pairwise(points)) or not all(map(math.isfinite, points)):
                raise ValueError(f"{name} are finite numbers, each greater than the one before")
            object.__setattr__(self, name, points)

    @property
    def structure(self) -> dict[str, Any]:
        """Those that shape the computation; the others are numbers and travel with the weights."""
        return {name: value for name, value in asdict(self).items() if name not in _NUMBERS + _CURVE}


class Calibrated(nn.Module):
    """A denoiser that takes images in their own units and returns the same units.

    Parameters
    ----------
    denoiser : torch.nn.Module
        Takes (B, 1, *space), or with a noise map (B, 2, *space), and returns (B, 1, *space).
    constants : Constants
        Of the calibration.

    Notes
    -----
    The space axes are (Y, X) or (Z, Y, X). The numbers of `constants` are float32 buffers, so they travel in the state
    dict. The borders are extended by mirroring with the edge pixel repeated, which is defined for any size down to one
    pixel.
    """

    _one: torch.Tensor

    def __init__(self, denoiser: nn.Module, constants: Constants) -> None:
        super().__init__()
        for name in _NUMBERS:
            self.register_buffer(name, torch.tensor(getattr(constants, name)))
        if constants.transform == "spline":
            for name in _CURVE:
                self.register_buffer(name, torch.tensor(getattr(constants, name)))
        self.denoiser = denoiser
        self._constants = constants
        # Positions are counted from it: a tensor made in forward would tie a trace to the device it was traced on.
        self.register_buffer("_one", torch.ones(1, dtype=torch.int64), persistent=False)

    @property
    def constants(self) -> Constants:
        """The constants, numbers as they are in the buffers now."""
        numbers: dict[str, Any] = {name: float(self.get_buffer(name)) for name in _NUMBERS}
        if self._constants.transform == "spline":
            numbers |= {name: tuple(self.get_buffer(name).tolist()) for name in _CURVE}
        return replace(self._constants, **numbers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Denoise a batch.

        Parameters
        ----------
        image : torch.Tensor
            (B, 1, *space), float32, in the image's own units.

        Returns
        -------
        torch.Tensor
            The same shape and units.
        """
        form = self._constants
        offset, scale, pedestal, gain, read_noise, sigma = (self.get_buffer(name) for name in _NUMBERS)
        multiples, margins = (_along(each, image.dim() - 2) for each in (form.multiple, form.margin))
        values = image
        if form.transform != "affine":
            values = stabilise(values, pedestal, gain, read_noise)
        if form.transform == "spline":
            values = follow(values, self.get_buffer("knots"), self.get_buffer("values"))
        if form.statistics == "instance":
            mean, deviation = _moments(values)
            values = (values - mean) / deviation
        values = (values - offset) / scale
        for axis, (multiple, margin) in enumerate(zip(multiples, margins, strict=True), start=2):
            if multiple > 1 or margin > 0:
                positions = self._mirrored(self._one.expand(values.shape[axis]), multiple, margin)
                values = values.index_select(axis, positions)
        if form.noise_map:
            values = torch.cat([values, sigma.expand_as(values)], dim=1)
        values = self.denoiser(values)
        values = values[(slice(None), slice(None), *(slice(margin, None) for margin in margins))]
        values = values[(slice(None), slice(None), *(slice(size) for size in image.shape[2:]))]
        # Under autocast the denoiser answers in half precision, too coarse for 16-bit images.
        values = values.to(image.dtype) * scale + offset
        if form.statistics == "instance":
            values = values * deviation + mean
        if form.transform == "spline":
            values = follow(values, self.get_buffer("values"), self.get_buffer("knots"))
        if form.transform != "affine":
            values = restore(values, pedestal, gain, read_noise)
        return values

    def _mirrored(self, ones: torch.Tensor, multiple: int, margin: int) -> torch.Tensor:
        """Return, from as many ones as there are pixels, which pixel stands at each position of the extended axis.

        Sizes are never computed with, only the lengths of tensors: a trace then holds for every size and device.
        """
        # hstack, not cat: libtorch 1.13 and 2.0 would compile the axes' cat anew for every image size.
        tiles = torch.hstack([ones, self._one.expand(2 * margin)])[::multiple]
        extended = tiles.unsqueeze(1).expand(-1, multiple).flatten()
        period = 2 * ones.sum()
        position = torch.remainder(extended.cumsum(0) - (1 + margin), period)
        return torch.minimum(position, period - 1 - position)


def stabilise(
    image: torch.Tensor,
    pedestal: torch.Tensor | float,
    gain: torch.Tensor | float,
    read_noise: torch.Tensor | float,
) -> torch.Tensor:
    """Return the generalised Anscombe transform of an image.

    It is ``f = 2 / gain * sqrt(gain * (x - pedestal) + 3 / 8 * gain**2 + read_noise**2)``; its noise has a standard
    deviation of about one wherever the variance of x is ``gain * (x - pedestal) + read_noise**2``.
    """
    electrons = (image - pedestal) / gain + (read_noise / gain) ** 2 + 3 / 8
    return 2 * torch.sqrt(electrons.clamp(min=1e-12))  # not 0, where the slope of the root is infinite


def restore(
    stable: torch.Tensor,
    pedestal: torch.Tensor | float,
    gain: torch.Tensor | float,
    read_noise: torch.Tensor | float,
) -> torch.Tensor:
    """Return the unbiased inverse of ``stabilise`` for what a denoiser returns, the mean of f.

    Notes
    -----
    The closed form of the exact unbiased inverse (M. Makitalo, A. Foi: Optimal Inversion of the Generalized Anscombe
    Transformation for Poisson-Gaussian Noise. IEEE Transactions on Image Processing 22(1), 2013.
    doi:10.1109/TIP.2012.2202675): the mean of x is not the algebraic inverse of the mean of f, the difference is a
    quarter of a photo-electron. Its terms in 1/f are held constant below the f of a dark pixel without read noise, and
    f**2 becomes f * abs(f), so that the inverse is finite, continuous and increasing over all numbers.
    """
    inverse = 1 / stable.clamp(min=math.sqrt(3 / 2))
    # The published polynomial in 1 / f.
    bias = inverse * (math.sqrt(3 / 2) / 4 + inverse * (-11 / 8 + inverse * (math.sqrt(3 / 2) * 5 / 8)))
    electrons = stable * stable.abs() / 4 + bias - 1 / 8 - (read_noise / gain) ** 2
    return electrons * gain + pedestal


def follow(values: torch.Tensor, knots: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
    """Return the heights of a piecewise straight line at values; its first and last segment go on beyond the knots.

    With `knots` and `heights` exchanged it is the inverse. A value's segment is found by halving: no tool needs to know
    an operator for it.
    """
    segment = (values >= knots[SEGMENTS // 2]).to(torch.int64) * (SEGMENTS // 2)
    step = SEGMENTS // 4
    while step:
        segment = segment + (values >= knots[segment + step]).to(torch.int64) * step
        step //= 2
    low, height = knots[segment], heights[segment]
    slope = (heights[segment + 1] - height) / (knots[segment + 1] - low)
    return height + (values - low) * slope


def _moments(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each image; 1 for that of an image which is the same everywhere."""
    axes = tuple(range(1, values.dim()))
    mean = values.mean(axes, keepdim=True)
    deviation = torch.sqrt(((values - mean) ** 2).mean(axes, keepdim=True))
    return mean, deviation + (deviation == 0).to(deviation.dtype)


def _along(each: int | Sequence[int], axes: int) -> Sequence[int]:
    """Return one number an axis."""
    return (each,) * axes if isinstance(each, int) else each
