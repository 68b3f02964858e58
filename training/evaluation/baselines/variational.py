"""Denoising by a sparse second derivative: the variational method of sparse deconvolution, without the deconvolution.

Zhao et al.: Sparse deconvolution improves the resolution of live-cell super-resolution fluorescence microscopy. Nature
Biotechnology 2022, doi:10.1038/s41587-021-01092-2. Minimised over g, of a noisy image f and its background b:

    fidelity / 2 |f - b - g|^2 + |g_xx| + |g_yy| + 2 |g_xy| + sparsity |g|

by split Bregman iterations (Goldstein and Osher 2009, doi:10.1137/080725891), whose linear step is solved by the
Fourier transform. The background is what a wavelet transform leaves at its coarsest scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.evaluation.baselines.baseline import Baseline

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 16  # pixels that are mirrored at the edges: the Fourier transform takes opposite ones for neighbours
_SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_LEVELS = 7  # of the background's wavelet transform, in an image that is large enough
_BACKGROUND_ROUNDS = 3


@dataclass(frozen=True)
class Weights:
    """What the method is set to; of an image from 0 to 1."""

    fidelity: float = 150.0
    sparsity: float = 10.0
    iterations: int = 100


def denoise_plane(noisy: NDArray[np.float32], weights: Weights | None = None) -> NDArray[np.float32]:
    """Return an image (Y, X) denoised, background included, in its own units; a constant one as it is."""
    weights = weights or Weights()
    low, extent = float(noisy.min()), float(np.ptp(noisy))
    if extent == 0:
        return noisy
    image = torch.from_numpy(np.ascontiguousarray((noisy - low) / extent, np.float32))
    background = coarsest(image)
    margins = [min(_MARGIN, length - 1) for length in image.shape]
    padding = (margins[1], margins[1], margins[0], margins[0])
    wide = functional.pad((image - background)[None, None], padding, mode="reflect")[0, 0]
    found = split_bregman(wide, weights)
    inside = tuple(slice(margin, margin + length) for margin, length in zip(margins, image.shape, strict=True))
    return np.asarray(((found[inside] + background) * extent + low).numpy(), np.float32)


def split_bregman(image: Tensor, weights: Weights) -> Tensor:
    """Return the minimiser over g for a periodic image (Y, X) whose background was taken away."""
    operators = _operators(image.shape, weights.sparsity)
    normal = weights.fidelity + sum(operator.abs() ** 2 for operator in operators)
    data = weights.fidelity * torch.fft.rfft2(image)
    splits = [torch.zeros_like(image) for _ in operators]
    errors = [torch.zeros_like(image) for _ in operators]
    found = image
    for _ in range(weights.iterations):
        pulled = (
            operator.conj() * torch.fft.rfft2(split - error)
            for operator, split, error in zip(operators, splits, errors, strict=True)
        )
        spectrum = (data + sum(pulled)) / normal
        found = torch.fft.irfft2(spectrum, s=image.shape)
        for number, operator in enumerate(operators):
            wanted = torch.fft.irfft2(operator * spectrum, s=image.shape) + errors[number]
            splits[number] = functional.softshrink(wanted, 1.0)
            errors[number] = wanted - splits[number]
    return found


def coarsest(image: Tensor) -> Tensor:
    """Return the background of an image (Y, X): the coarsest scale of its B-spline wavelets, bright objects cut off.

    Starck, Fadili, Murtagh: The undecimated wavelet decomposition. 2007, doi:10.1109/TIP.2006.887733.
    """
    levels = max(min(_LEVELS, (min(image.shape) - 1).bit_length() - 2), 0)
    rest = background = image
    for _ in range(_BACKGROUND_ROUNDS):
        background = rest
        for level in range(levels):
            background = _smoothed(background, 2**level)
        rest = torch.minimum(rest, background)
    return background


def _operators(shape: Sequence[int], sparsity: float) -> list[Tensor]:
    """Return the second derivatives xx, yy and twice xy, and the weighted identity, by spatial frequency."""
    rows = torch.fft.fftfreq(shape[0])[:, None] * 2 * torch.pi
    columns = torch.fft.rfftfreq(shape[1])[None] * 2 * torch.pi
    ones = torch.ones(shape[0], columns.shape[1], dtype=torch.complex64)
    along, across = (1 - torch.exp(-1j * axis) for axis in (columns, rows))
    second = [ones * (2 * torch.cos(axis) - 2) for axis in (columns, rows)]
    return [*second, 2 * across * along, sparsity * ones]


def _smoothed(image: Tensor, step: int) -> Tensor:
    """Return an image filtered by the B-spline with so many pixels between its taps, mirrored at the edges."""
    found = image[None, None]
    kernel = torch.tensor(_SPLINE)
    reach = 2 * step
    for axis in (0, 1):
        padding = (0, 0, reach, reach) if axis == 0 else (reach, reach, 0, 0)
        wide = functional.pad(found, padding, mode="reflect")
        dilation = (step, 1) if axis == 0 else (1, step)
        found = functional.conv2d(wide, kernel.view((1, 1, 5, 1) if axis == 0 else (1, 1, 1, 5)), dilation=dilation)
    return found[0, 0]


def _set(plane: NDArray[np.float32], *, fidelity: float, sparsity: float) -> NDArray[np.float32]:
    return denoise_plane(plane, Weights(fidelity, sparsity))


BASELINE = Baseline(
    "sparse-variational",
    "the sparse variational method",
    _set,
    stabilised=False,
    grid={"fidelity": (2, 5, 15, 50, 150), "sparsity": (0, 1, 3)},
)
