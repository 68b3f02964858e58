"""U-Net: convolutions on ever coarser images and back, what was finer joined in, added to the image.

The form in which CARE uses it on planes: two levels below the finest, 5 x 5 convolutions, largest values pooled, no
batch normalisation (922,977 parameters). It wants images of mean 0 and standard deviation 1. Only torch is imported:
this file travels inside packages.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

DESCRIPTION = {
    "class": "UNet",
    "title": "U-Net",
    "paper": "M. Weigert, U. Schmidt, T. Boothe, A. Müller, A. Dibrov, A. Jain, et al.: Content-aware image "
    "restoration: pushing the limits of fluorescence microscopy. Nature Methods 15, 2018. "
    "doi:10.1038/s41592-018-0216-7",
    "source": "https://github.com/CSBDeep/CSBDeep",
    "licence": "BSD-3-Clause",
    "axes": "YX",
    "stride": 4,
    "noise_map": False,
    "standardised": True,
    "bytes_per_pixel": 900,
    "settings": {"width": 32, "levels": 2, "kernel": 5},
    "small_settings": {"width": 4, "levels": 2, "kernel": 3},
    # On a CPU: some sixty images of 512 x 512 take five minutes on two cores without matrix units.
    "recipe": {"epochs": 180, "batch": 4, "crop": 64, "lr": 1e-3, "decay_factor": 0.8, "decay_epochs": 18},
}


def receptive_radius(width: int, levels: int, kernel: int) -> int:
    """Follow the interval of pixels that one output pixel needs down to the coarsest level and up again.

    The farther end depends on where the pixel lies on the grid of the pooling, hence the maximum over all phases.
    """
    block = 2 * (kernel // 2)  # two convolutions
    radius = 0
    for pixel in range(2**levels):
        first = last = pixel
        for _ in range(levels):
            first, last = (first - block) // 2, (last + block) // 2
        first, last = first - block, last + block
        for _ in range(levels):
            first, last = 2 * first - block, 2 * last + 1 + block
        radius = max(radius, pixel - first, last - pixel)
    return radius


class UNet(nn.Module):
    """A U-Net whose skip connections are concatenated and whose result joins the image.

    Parameters
    ----------
    width : int
        Channels at the finest level; they double at each level.
    levels : int
        Levels below the finest.
    kernel : int
        Side of the convolutions, odd.

    Notes
    -----
    Shape: (B, 1, H, W) to (B, 1, H, W), H and W multiples of 2**levels, which is 4 as published and at most that here;
    intensities of mean 0 and standard deviation 1.
    """

    def __init__(self, width: int, levels: int, kernel: int) -> None:
        super().__init__()
        if width < 1 or levels not in (1, 2) or kernel < 3 or kernel % 2 == 0:
            raise ValueError(
                "UNet needs width >= 1, levels 1 or 2 and an odd kernel >= 3, "
                f"not width {width}, levels {levels} and kernel {kernel}"
            )
        widths = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            _block(inside, each, each, kernel) for inside, each in zip([1, *widths], widths[:-1], strict=False)
        )
        self.middle = _block(widths[-2], widths[-1], widths[-2], kernel)
        self.up = nn.ModuleList(
            _block(2 * each, each, coarser, kernel)
            for each, coarser in zip(widths[-2::-1], [*widths[-3::-1], width], strict=True)
        )
        self.last = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.last.weight)  # a new network returns the image: training can only gain from there
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        features, skips = image, []
        for block in self.down:
            skips.append(block(features))
            features = F.max_pool2d(skips[-1], 2)
        features = self.middle(features)
        for block in self.up:
            finer = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([finer, skips.pop()], 1))
        change: torch.Tensor = self.last(features)
        return image + change


def _block(inside: int, between: int, outside: int, kernel: int) -> nn.Sequential:
    """Return two convolutions, each with a ReLU behind it."""
    layers: list[nn.Module] = []
    for before, after in ((inside, between), (between, outside)):
        convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers)
