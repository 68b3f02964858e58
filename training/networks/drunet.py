"""DRUNet: a U-Net of residual blocks that is told the noise level.

K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool, R. Timofte: Plug-and-Play Image Restoration with Deep Denoiser Prior.
IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022. doi:10.1109/TPAMI.2021.3088914

No convolution has a bias, so the output scales with the input (image and noise map together). Only torch is imported:
this file travels inside packages.
"""

from collections.abc import Sequence

import torch
from torch import nn


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

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), blocks: int = 4) -> None:
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
