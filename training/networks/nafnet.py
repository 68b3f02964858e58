"""NAFNet: a U-Net of gated convolutions without any nonlinear activation.

The form that was published for noise of cameras, width 32, for gray images (29,158,561 parameters). Each block weights
its channels by an average over the whole image. Only torch is imported: this file travels inside packages.
"""

from collections.abc import Sequence

import torch
from torch import nn

DESCRIPTION = {
    "class": "NAFNet",
    "title": "NAFNet",
    "paper": "L. Chen, X. Chu, X. Zhang, J. Sun: Simple Baselines for Image Restoration. European Conference on "
    "Computer Vision, 2022. doi:10.1007/978-3-031-20071-7_2",
    "source": "https://github.com/megvii-research/NAFNet",
    "licence": "MIT",
    "axes": "YX",
    "stride": 16,
    "noise_map": False,
    "bytes_per_pixel": 1_700,
    "settings": {"width": 32, "encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)},
    "small_settings": {"width": 4, "encoder_blocks": (1, 1, 1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1, 1, 1)},
    # On a CPU: some sixty images of 512 x 512 take five minutes on two cores without matrix units.
    "recipe": {"epochs": 30, "batch": 4, "crop": 64, "lr": 5e-4, "decay_factor": 0.8, "decay_epochs": 3},
}


def receptive_radius(**settings: object) -> None:
    """Return None: an average over the whole image reaches every pixel, whatever the settings."""


class NAFNet(nn.Module):
    """Blocks of gated convolutions on five levels, with skip connections that are added; the result joins the image.

    Parameters
    ----------
    width : int
        Channels at the finest level; they double at each level.
    encoder_blocks, decoder_blocks : sequence of int
        Blocks at each of the four upper levels, in the order in which the image passes them: the encoder's finest
        first, the decoder's finest last.
    middle_blocks : int
        Blocks at the lowest level.

    Notes
    -----
    Shape: (B, 1, H, W) to (B, 1, H, W), H and W multiples of 16; the noise-free image in [0, 1].
    """

    def __init__(
        self,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        if width < 1 or len(encoder_blocks) != 4 or len(decoder_blocks) != 4:
            raise ValueError(
                f"NAFNet needs width >= 1 and four encoder_blocks and decoder_blocks, not width {width}, "
                f"encoder_blocks {list(encoder_blocks)} and decoder_blocks {list(decoder_blocks)}"
            )
        widths = [width * 2**level for level in range(5)]
        self.intro = nn.Conv2d(1, width, 3, padding=1)
        self.encoders = nn.ModuleList(map(_chain, widths[:4], encoder_blocks))
        self.downs = nn.ModuleList(nn.Conv2d(fine, 2 * fine, 2, 2) for fine in widths[:4])
        self.middle_blks = _chain(widths[4], middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 2 * coarse, 1, bias=False), nn.PixelShuffle(2)) for coarse in widths[:0:-1]
        )
        self.decoders = nn.ModuleList(map(_chain, widths[3::-1], decoder_blocks))
        self.ending = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        features, skips = self.intro(image), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(features))
            features = down(skips[-1])
        features = self.middle_blks(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        change: torch.Tensor = self.ending(features)
        return image + change


class _GatedBlock(nn.Module):
    """A gated wide convolution times channel weights, then a gated feed-forward network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.norm1 = _PixelNorm(width)
        self.norm2 = _PixelNorm(width)
        # The zeros make a new block hand on its input unchanged: deep chains of blocks then train from the start.
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        mixed = _gated(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.conv3(mixed * self.sca(mixed)) * self.beta
        forwarded = self.conv5(_gated(self.conv4(self.norm2(features))))
        joined: torch.Tensor = features + forwarded * self.gamma
        return joined


class _PixelNorm(nn.Module):
    """Mean 0 and variance 1 over the channels of each pixel, then a weight and a bias a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        centred = features - features.mean(1, keepdim=True)
        normal = centred / torch.sqrt(centred.square().mean(1, keepdim=True) + 1e-6)
        return normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def _gated(features: torch.Tensor) -> torch.Tensor:
    """Return one half of the channels times the other."""
    left, right = features.chunk(2, 1)
    return left * right


def _chain(width: int, number: int) -> nn.Sequential:
    return nn.Sequential(*[_GatedBlock(width) for _ in range(number)])
