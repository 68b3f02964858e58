"""DRUNet: a U-Net of residual blocks that is given the noise level.

No convolution has a bias, so the output scales with the input (image and noise map together). Only torch is imported:
this file travels inside packages.
"""

from collections.abc import Sequence

import torch
from torch import nn

DESCRIPTION = {
    "class": "DRUNet",
    "title": "DRUNet",
    "paper": "K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool, R. Timofte: Plug-and-Play Image Restoration with Deep "
    "Denoiser Prior. IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022. "
    "doi:10.1109/TPAMI.2021.3088914",
    "source": "https://github.com/cszn/DPIR",
    "licence": "MIT",
    "axes": "YX",
    "stride": 8,
    "noise_map": True,
    "bytes_per_pixel": 2_800,
    "settings": {"widths": (64, 128, 256, 512), "blocks": 4},
    "small_settings": {"widths": (4, 6, 8, 10), "blocks": 1},
    # As in the master thesis on fine-tuning (table 4.3), on a GPU.
    "recipe": {"epochs": 500, "batch": 16, "crop": 512, "lr": 5e-5, "decay_factor": 0.9, "decay_epochs": 30},
    "checkpoints": {
        "default": "drunet_gray",
        "addresses": [
            "https://github.com/cszn/KAIR/releases/download/v1.0",
            "https://huggingface.co/deepinv/drunet/resolve/main",
        ],
        "source": "https://github.com/cszn/KAIR",
        "licence": "MIT",
        "spdx": "MIT",
        "files": {
            "drunet_gray": {
                "file": "drunet_gray.pth",
                "noise": "of 0 to 50/255, given by the noise map",
                "megabytes": 131,
                "sha256": "e27fb29456732c604c8ee3ac3e92ecadd2a7a4e36a8be675e92ebbf93a240de4",
            },
        },
    },
}


def receptive_radius(widths: Sequence[int], blocks: int) -> int:
    """Follow the interval of pixels that one output pixel needs down to the lowest level and up again.

    The farther end depends on where the pixel lies on the grid of the strides, hence the maximum over all phases.
    """
    strided, block = len(widths) - 1, 2 * blocks
    radius = 0
    for pixel in range(2**strided):
        first, last = pixel - 1, pixel + 1  # the last convolution
        for _ in range(strided):
            first, last = (first - block) // 2, (last + block) // 2  # 2 x 2 transposed convolution, stride 2
        first, last = first - block, last + block
        for _ in range(strided):
            first, last = 2 * first - block, 2 * last + 1 + block  # 2 x 2 convolution, stride 2
        radius = max(radius, pixel - (first - 1), last + 1 - pixel)  # the first convolution
    return radius


class DRUNet(nn.Module):
    """A U-Net whose skip connections are added.

    Parameters
    ----------
    widths : sequence of int
        Channels at each level, the finest first; four of them as published.
    blocks : int
        Residual blocks at each level, going down and going up.

    Notes
    -----
    Shape: (B, 2, H, W) to (B, 1, H, W), H and W multiples of 8. Channel 0 is the image, the noise-free one in [0, 1];
    channel 1 holds the standard deviation of the noise in the same unit, the same number everywhere.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        if len(widths) != 4 or min(widths) < 1 or blocks < 1:
            raise ValueError(f"DRUNet needs four widths and blocks >= 1, not widths {list(widths)} and blocks {blocks}")
        fine, second, third, deep = widths
        self.m_head = _convolution(2, fine)
        self.m_down1 = _down(fine, second, blocks)
        self.m_down2 = _down(second, third, blocks)
        self.m_down3 = _down(third, deep, blocks)
        self.m_body = nn.Sequential(*[_ResidualBlock(deep) for _ in range(blocks)])
        self.m_up3 = _up(deep, third, blocks)
        self.m_up2 = _up(third, second, blocks)
        self.m_up1 = _up(second, fine, blocks)
        self.m_tail = _convolution(fine, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        first = self.m_head(image)
        second = self.m_down1(first)
        third = self.m_down2(second)
        fourth = self.m_down3(third)
        deep = self.m_body(fourth)
        deep = self.m_up3(deep + fourth)
        deep = self.m_up2(deep + third)
        deep = self.m_up1(deep + second)
        denoised: torch.Tensor = self.m_tail(deep + first)
        return denoised


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_convolution(width, width), nn.ReLU(), _convolution(width, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.res(features)
        return features + change


def _convolution(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)


def _down(fine: int, coarse: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[_ResidualBlock(fine) for _ in range(blocks)], nn.Conv2d(fine, coarse, 2, 2, bias=False))


def _up(coarse: int, fine: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False), *[_ResidualBlock(fine) for _ in range(blocks)]
    )
