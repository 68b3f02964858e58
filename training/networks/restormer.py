"""Restormer: a U-Net of transformer blocks whose attention runs between channels.

Written from the paper, in the form that it uses for Gaussian denoising of gray images (no bias anywhere, 26,109,076
parameters). Attention compares whole channels, so every pixel depends on the whole image. Only torch is imported:
this file travels inside packages.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

DESCRIPTION = {
    "class": "Restormer",
    "title": "Restormer",
    "paper": "S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan, M.-H. Yang: Restormer: Efficient Transformer for "
    "High-Resolution Image Restoration. CVPR 2022. doi:10.1109/CVPR52688.2022.00564",
    "source": "https://github.com/swz30/Restormer",
    "licence": "Academic Public License (non-commercial)",
    "axes": "YX",
    "stride": 8,
    "noise_map": False,
    "bytes_per_pixel": 16_000,
    "settings": {"width": 48, "blocks": (4, 6, 6, 8), "refinement_blocks": 4, "heads": (1, 2, 4, 8), "expansion": 2.66},
    "small_settings": {"width": 8, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 1, 2, 2)},
    # As in the master thesis on fine-tuning (table 4.3), on a GPU.
    "recipe": {"epochs": 120, "batch": 1, "crop": 512, "lr": 1e-4, "decay_factor": 0.9, "decay_epochs": 20},
    "checkpoints": {
        "default": "restormer_gray_sigma25",
        "addresses": [
            "https://github.com/swz30/Restormer/releases/download/v1.0",
            "https://huggingface.co/deepinv/Restormer/resolve/main",
        ],
        "source": "https://github.com/swz30/Restormer",
        "licence": "Academic Public License, non-commercial, modified copies under the same licence: "
        "https://github.com/swz30/Restormer/blob/main/LICENSE.md",
        "files": {
            "restormer_gray_sigma15": {
                "file": "gaussian_gray_denoising_sigma15.pth",
                "noise": "of 15/255",
                "megabytes": 105,
            },
            "restormer_gray_sigma25": {
                "file": "gaussian_gray_denoising_sigma25.pth",
                "noise": "of 25/255",
                "megabytes": 105,
            },
            "restormer_gray_sigma50": {
                "file": "gaussian_gray_denoising_sigma50.pth",
                "noise": "of 50/255",
                "megabytes": 105,
            },
            "restormer_gray_blind": {
                "file": "gaussian_gray_denoising_blind.pth",
                "noise": "of 0 to 50/255",
                "megabytes": 105,
            },
        },
    },
}


def receptive_radius(**settings: object) -> None:
    """Return None: attention compares whole channels, so every pixel reaches every other, whatever the settings."""


class Restormer(nn.Module):
    """Four levels of transformer blocks, refined at the finest, and added to the image.

    Parameters
    ----------
    width : int
        Channels at the finest level, an even number; they double at each level.
    blocks : sequence of int
        Transformer blocks at each of the four levels, the finest first; the same going down and going up.
    refinement_blocks : int
        Blocks at the finest level after the decoder.
    heads : sequence of int
        Heads of the attention at each of the four levels.
    expansion : float
        Width of the feed-forward network, in multiples of the block's width.

    Notes
    -----
    Shape: (B, 1, H, W) to (B, 1, H, W), H and W multiples of 8; the noise-free image in [0, 1].
    """

    def __init__(
        self,
        width: int,
        blocks: Sequence[int],
        refinement_blocks: int,
        heads: Sequence[int],
        expansion: float,
    ) -> None:
        super().__init__()
        divided = not any(width * 2**depth % number for depth, number in enumerate(heads))
        if width < 2 or width % 2 or len(blocks) != 4 or len(heads) != 4 or not divided:
            raise ValueError(
                "Restormer needs an even width, four blocks and four heads, and at each level channels that its heads "
                f"divide, not width {width}, blocks {list(blocks)} and heads {list(heads)}"
            )

        def level(depth: int, channels: int, number: int) -> nn.Sequential:
            return nn.Sequential(*[_TransformerBlock(channels, heads[depth], expansion) for _ in range(number)])

        self.patch_embed = nn.Sequential(OrderedDict(proj=_wide(1, width)))
        self.encoder_level1 = level(0, width, blocks[0])
        self.down1_2 = _Downsample(width)
        self.encoder_level2 = level(1, 2 * width, blocks[1])
        self.down2_3 = _Downsample(2 * width)
        self.encoder_level3 = level(2, 4 * width, blocks[2])
        self.down3_4 = _Downsample(4 * width)
        self.latent = level(3, 8 * width, blocks[3])
        self.up4_3 = _Upsample(8 * width)
        self.reduce_chan_level3 = _pointwise(8 * width, 4 * width)
        self.decoder_level3 = level(2, 4 * width, blocks[2])
        self.up3_2 = _Upsample(4 * width)
        self.reduce_chan_level2 = _pointwise(4 * width, 2 * width)
        self.decoder_level2 = level(1, 2 * width, blocks[1])
        self.up2_1 = _Upsample(2 * width)
        # Nothing reduces the channels at the finest level: it keeps both the decoder's and the encoder's.
        self.decoder_level1 = level(0, 2 * width, blocks[0])
        self.refinement = level(0, 2 * width, refinement_blocks)
        self.output = _wide(2 * width, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        first = self.encoder_level1(self.patch_embed(image))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        deep = self.latent(self.down3_4(third))
        deep = self.reduce_chan_level3(torch.cat([self.up4_3(deep), third], 1))
        deep = self.decoder_level3(deep)
        deep = self.reduce_chan_level2(torch.cat([self.up3_2(deep), second], 1))
        deep = self.decoder_level2(deep)
        deep = self.decoder_level1(torch.cat([self.up2_1(deep), first], 1))
        change: torch.Tensor = self.output(self.refinement(deep))
        return change + image


class _TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = _ChannelNorm(width)
        self.attn = _ChannelAttention(width, heads)
        self.norm2 = _ChannelNorm(width)
        self.ffn = _GatedFeedForward(width, expansion)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = features + self.attn(self.norm1(features))
        features = features + self.ffn(self.norm2(features))
        return features


class _ChannelNorm(nn.Module):
    """Divides by the standard deviation over channels, without taking the mean away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Module()
        self.body.weight = nn.Parameter(torch.ones(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        variance = features.var(1, unbiased=False, keepdim=True)
        weight: torch.Tensor = self.body.get_parameter("weight")
        return features / torch.sqrt(variance + 1e-5) * weight.view(1, -1, 1, 1)


class _ChannelAttention(nn.Module):
    """Attention between channels: its matrix is channels x channels, so the cost grows as the image does."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = width
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _pointwise(width, 3 * width)
        self.qkv_dwconv = _wide(3 * width, 3 * width, groups=3 * width)
        self.project_out = _pointwise(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = features.shape
        parts = self.qkv_dwconv(self.qkv(features)).reshape(batch, 3, self.heads, self.width // self.heads, -1)
        query, key, value = parts[:, 0], parts[:, 1], parts[:, 2]
        likeness = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1) * self.temperature
        mixed = likeness.softmax(-1) @ value
        projected: torch.Tensor = self.project_out(mixed.reshape(batch, self.width, height, width))
        return projected


class _GatedFeedForward(nn.Module):
    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.project_in = _pointwise(width, 2 * hidden)
        self.dwconv = _wide(2 * hidden, 2 * hidden, groups=2 * hidden)
        self.project_out = _pointwise(hidden, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        gate, content = self.dwconv(self.project_in(features)).chunk(2, 1)
        projected: torch.Tensor = self.project_out(F.gelu(gate) * content)
        return projected


class _Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_wide(width, width // 2), nn.PixelUnshuffle(2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        coarse: torch.Tensor = self.body(features)
        return coarse


class _Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_wide(width, 2 * width), nn.PixelShuffle(2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        fine: torch.Tensor = self.body(features)
        return fine


def _wide(inside: int, outside: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, groups=groups, bias=False)


def _pointwise(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 1, bias=False)
