"""What training makes small: mean absolute error, mean square error, or the first with structural similarity."""

from collections.abc import Callable
from typing import Literal

import torch
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From denoised and clean images, (B, 1, H, W) in units of the data range, to a tensor of no dimension."""


def choose(name: Literal["mae", "mse", "l1ssim"], alpha: float = 100.0) -> Loss:
    """Return a loss by name.

    Parameters
    ----------
    name : {"mae", "mse", "l1ssim"}
        ``l1ssim`` is ``mae + alpha * (1 - SSIM)``.
    alpha : float
        Weight of the structural part; 100 was tried in the thesis.
    """

    def l1ssim(denoised: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return l1_loss(denoised, clean) + alpha * (1 - structural_similarity(denoised, clean))

    losses: dict[str, Loss] = {"mae": l1_loss, "mse": mse_loss, "l1ssim": l1ssim}
    return losses[name]


def structural_similarity(image: torch.Tensor, clean: torch.Tensor, window: int = 7) -> torch.Tensor:
    """Return the mean structural similarity with a data range of 1, differentiable.

    The same numbers as scikit-image's defaults: a flat window of 7 x 7, sample variances, no value where the window
    would leave the image.

    Parameters
    ----------
    image, clean : torch.Tensor, shape (B, 1, H, W)
        In units of the data range, at least ``window`` pixels on a side.
    window : int
        Side of the window in pixels.

    References
    ----------
    Wang et al., Image quality assessment, IEEE TIP 13(4), 2004, https://doi.org/10.1109/TIP.2003.819861
    """

    def mean(values: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(values, window, stride=1)

    # Variances are differences of squares: taken around the image's middle, and never in half precision.
    with torch.autocast(image.device.type, enabled=False):
        middle = clean.float().mean(dim=(1, 2, 3), keepdim=True)
        x, y = image.float() - middle, clean.float() - middle
        mean_x, mean_y = mean(x), mean(y)
        sample = window**2 / (window**2 - 1)
        variance_x = sample * (mean(x * x) - mean_x**2)
        variance_y = sample * (mean(y * y) - mean_y**2)
        covariance = sample * (mean(x * y) - mean_x * mean_y)
        mean_x, mean_y = mean_x + middle, mean_y + middle
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        structure = (2 * covariance + 0.03**2) / (variance_x + variance_y + 0.03**2)
        return (luminance * structure).mean()
