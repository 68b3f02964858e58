"""The layer between an image's own units and a denoiser: intensities, noise level and borders.

Every tool then runs a model package alike, for the package needs no pre- or post-processing operation and no padding
of its own. Only torch is imported: this file travels inside packages.
"""

import math
from typing import Any

import torch
from torch import nn

_TRANSFORMS = ("affine", "anscombe")
_STATISTICS = ("dataset", "instance")


class Calibrated(nn.Module):
    """A denoiser that takes images in their own units and returns the same units.

    Parameters
    ----------
    denoiser : torch.nn.Module
        Takes (B, 1, H, W), or with `noise_map` (B, 2, H, W), and returns (B, 1, H, W).
    transform : {"affine", "anscombe"}
        ``affine``: the denoiser sees ``u = (x - offset) / scale``. ``anscombe``: ``u = (f - offset) / scale`` with
        ``f = 2 / gain * sqrt(gain * (x - pedestal) + 3 / 8 * gain**2 + read_noise**2)``, whose noise has a standard
        deviation of about one wherever the variance of x is ``gain * (x - pedestal) + read_noise**2``.
    statistics : {"dataset", "instance"}
        ``instance``: x (or f) is first brought to mean 0 and standard deviation 1 in each image of the batch; a
        result that is computed in tiles then differs from the whole image's.
    noise_map : bool
        Whether the denoiser wants a second channel; it is filled with `sigma`.
    multiple : int
        The denoiser is given sizes that are a multiple of it.
    margin : int
        Pixels by which the image is extended on each side before the denoiser and cropped after it.
    offset, scale : float
        In units of x, of f, or of standard deviations, see above; `scale` is positive.
    pedestal, gain, read_noise : float
        In units of x: the camera's value in the dark, the value of one photo-electron (positive), the standard
        deviation of the noise in the dark. Unused by the affine transform.
    sigma : float
        Noise level for the noise map, in units of u.

    Raises
    ------
    ValueError
        For a name that is not known, or a constant that cannot be.

    Notes
    -----
    Constants are float32 buffers, so they travel in the state dict; the structure is in `structure`. The borders are
    extended by mirroring with the edge pixel repeated, which is defined for any size down to 1 x 1.

    The inverse of the Anscombe transform is the closed form of the exact unbiased one (M. Makitalo, A. Foi: Optimal
    Inversion of the Generalized Anscombe Transformation for Poisson-Gaussian Noise. IEEE Transactions on Image
    Processing 22(1), 2013. doi:10.1109/TIP.2012.2202675), because a denoiser returns the mean of f, and the mean
    of x is not the algebraic inverse of the mean of f: the difference is a quarter of a photo-electron. Its terms in
    1/f are held constant below the f of a dark pixel without read noise, and f**2 becomes f * abs(f), so that the
    inverse is finite, continuous and increasing over all numbers.
    """

    offset: torch.Tensor
    scale: torch.Tensor
    pedestal: torch.Tensor
    gain: torch.Tensor
    read_noise: torch.Tensor
    sigma: torch.Tensor
    _one: torch.Tensor

    def __init__(
        self,
        denoiser: nn.Module,
        *,
        transform: str = "affine",
        statistics: str = "dataset",
        noise_map: bool = False,
        multiple: int = 1,
        margin: int = 0,
        offset: float = 0.0,
        scale: float = 1.0,
        pedestal: float = 0.0,
        gain: float = 1.0,
        read_noise: float = 0.0,
        sigma: float = 0.0,
    ) -> None:
        super().__init__()
        if transform not in _TRANSFORMS:
            raise ValueError(f"transform is one of {', '.join(_TRANSFORMS)}, not {transform!r}")
        if statistics not in _STATISTICS:
            raise ValueError(f"statistics is one of {', '.join(_STATISTICS)}, not {statistics!r}")
        if multiple < 1 or margin < 0:
            raise ValueError(f"multiple is at least 1 and margin at least 0, not {multiple} and {margin}")
        constants = {
            "offset": offset,
            "scale": scale,
            "pedestal": pedestal,
            "gain": gain,
            "read_noise": read_noise,
            "sigma": sigma,
        }
        for name, value in constants.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}, which is no number to calibrate with")
            if name in {"scale", "gain"} and value <= 0:
                raise ValueError(f"{name} is {value}, but must be positive")
            self.register_buffer(name, torch.tensor(float(value)))
        self.denoiser = denoiser
        self.transform = transform
        self.statistics = statistics
        self.noise_map = bool(noise_map)
        self.multiple = int(multiple)
        self.margin = int(margin)
        # Positions are counted from it: a tensor made in forward would tie a trace to the device it was traced on.
        self.register_buffer("_one", torch.ones(1, dtype=torch.int64), persistent=False)

    @property
    def structure(self) -> dict[str, Any]:
        """Keyword arguments that shape the computation; with `constants` they rebuild this module."""
        return {
            "transform": self.transform,
            "statistics": self.statistics,
            "noise_map": self.noise_map,
            "multiple": self.multiple,
            "margin": self.margin,
        }

    @property
    def constants(self) -> dict[str, float]:
        """Keyword arguments that are kept as buffers, in their present values."""
        names = ("offset", "scale", "pedestal", "gain", "read_noise", "sigma")
        return {name: float(getattr(self, name)) for name in names}

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Denoise a batch.

        Parameters
        ----------
        image : torch.Tensor
            (B, 1, H, W), float32, in the image's own units.

        Returns
        -------
        torch.Tensor
            The same shape and units.
        """
        values = image
        if self.transform == "anscombe":
            values = self._stabilise(values)
        if self.statistics == "instance":
            mean, deviation = self._moments(values)
            values = (values - mean) / deviation
        values = self._extend((values - self.offset) / self.scale)
        if self.noise_map:
            values = torch.cat([values, self.sigma.expand_as(values)], dim=1)
        # Under autocast the denoiser answers in half precision, too coarse for 16-bit images.
        values = self._crop(self.denoiser(values), image).to(image.dtype)
        values = values * self.scale + self.offset
        if self.statistics == "instance":
            values = values * deviation + mean
        if self.transform == "anscombe":
            values = self._restore(values)
        return values

    def _stabilise(self, image: torch.Tensor) -> torch.Tensor:
        electrons = (image - self.pedestal) / self.gain + (self.read_noise / self.gain) ** 2 + 3 / 8
        return 2 * torch.sqrt(electrons.clamp(min=1e-12))  # not 0, where the slope of the root is infinite

    def _restore(self, stable: torch.Tensor) -> torch.Tensor:
        inverse = 1 / stable.clamp(min=math.sqrt(3 / 2))
        # The published polynomial in 1 / f.
        bias = inverse * (math.sqrt(3 / 2) / 4 + inverse * (-11 / 8 + inverse * (math.sqrt(3 / 2) * 5 / 8)))
        electrons = stable * stable.abs() / 4 + bias - 1 / 8 - (self.read_noise / self.gain) ** 2
        return electrons * self.gain + self.pedestal

    def _moments(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each image; 1 for that of an image which is the same everywhere."""
        mean = values.mean((1, 2, 3), keepdim=True)
        deviation = torch.sqrt(((values - mean) ** 2).mean((1, 2, 3), keepdim=True))
        return mean, deviation + (deviation == 0).to(deviation.dtype)

    def _extend(self, values: torch.Tensor) -> torch.Tensor:
        if self.margin == 0 and self.multiple == 1:
            return values
        rows = self._mirrored(self._one.expand(values.shape[2]))
        columns = self._mirrored(self._one.expand(values.shape[3]))
        return values.index_select(2, rows).index_select(3, columns)

    def _mirrored(self, ones: torch.Tensor) -> torch.Tensor:
        """Return, from as many ones as there are pixels, which pixel stands at each position of the extended axis.

        Sizes are never computed with, only the lengths of tensors: a trace then holds for every size and device.
        """
        # hstack, not cat: libtorch 1.13 and 2.0 would compile the two axes' cat anew for every image size.
        tiles = torch.hstack([ones, self._one.expand(2 * self.margin)])[:: self.multiple]
        whole = tiles.unsqueeze(1).expand(-1, self.multiple).flatten()
        period = 2 * ones.sum()
        position = torch.remainder(whole.cumsum(0) - (1 + self.margin), period)
        return torch.minimum(position, period - 1 - position)

    def _crop(self, values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        inside = values[:, :, self.margin :, self.margin :]
        return inside[:, :, : like.shape[2], : like.shape[3]]
