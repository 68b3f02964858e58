"""KBNet: a U-Net whose convolution kernels are mixed anew at each pixel from a learned basis.

The form that the paper calls KBNet_s, for gray images (141,964,353 parameters). Each block weights its channels by an
average over the whole image. Only torch is imported: this file travels inside packages.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

DESCRIPTION = {
    "class": "KBNet",
    "title": "KBNet",
    "paper": "Y. Zhang, D. Li, X. Shi, D. He, K. Song, X. Wang, H. Qin, H. Li: KBNet: Kernel Basis Network for Image "
    "Restoration. arXiv:2303.02881, 2023. https://arxiv.org/abs/2303.02881",
    "source": "https://github.com/zhangyi-3/KBNet",
    "licence": "MIT",
    "axes": "YX",
    "stride": 16,
    "noise_map": False,
    "bytes_per_pixel": 8_200,
    "settings": {"width": 64, "encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)},
    "small_settings": {"width": 4, "encoder_blocks": (1, 1, 1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1, 1, 1)},
    # As in the master thesis on fine-tuning (table 4.3), on a GPU.
    "recipe": {"epochs": 120, "batch": 1, "crop": 512, "lr": 2e-4, "decay_factor": 0.9, "decay_epochs": 8},
    "checkpoints": {
        "default": "kbnet_gray_25",
        "addresses": [],  # no program may fetch them
        "source": "https://mycuhk-my.sharepoint.com/:f:/g/personal/1155135732_link_cuhk_edu_hk/"
        "EofsV3eVcAxNlrW72JXqzRUBhkM1Mzw50pJ3BHlAyMYnVw",
        "licence": "MIT for the code; none stated for the weights",
        "files": {
            "kbnet_gray_15": {"file": "gau_gray_15.pth", "noise": "of 15/255"},
            "kbnet_gray_25": {"file": "gau_gray_25.pth", "noise": "of 25/255"},
            "kbnet_gray_50": {"file": "gau_gray_50.pth", "noise": "of 50/255"},
        },
    },
}

_BASES = 32  # kernels in the basis
_GROUP = 4  # channels that a mixed kernel joins
_SLICES = 16  # steps of the kernel attention


def receptive_radius(**settings: object) -> None:
    """Return None: an average over the whole image reaches every pixel, whatever the settings."""


class KBNet(nn.Module):
    """Blocks of kernel attention on five levels, with skip connections that are added; the result joins the image.

    Parameters
    ----------
    width : int
        Channels at the finest level, a multiple of 4; they double at each level.
    encoder_blocks, decoder_blocks : sequence of int
        Blocks at each of the four upper levels, in the order in which the image passes them: the encoder's finest
        first, the decoder's finest last.
    middle_blocks : int
        Blocks at the lowest level.

    Notes
    -----
    Shape: (B, 1, H, W) to (B, 1, H, W), the noise-free image in [0, 1]. The image is padded with zeros on the right and
    at the bottom to multiples of 16, as published.
    """

    def __init__(
        self,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        if width < _GROUP or width % _GROUP or len(encoder_blocks) != 4 or len(decoder_blocks) != 4:
            raise ValueError(
                f"KBNet needs a width that is a multiple of {_GROUP} and four encoder_blocks and decoder_blocks, not "
                f"width {width}, encoder_blocks {list(encoder_blocks)} and decoder_blocks {list(decoder_blocks)}"
            )
        widths = [width * 2**level for level in range(5)]
        self.intro = nn.Conv2d(1, width, 3, padding=1)
        self.encoders = nn.ModuleList(map(_blocks, widths[:4], encoder_blocks))
        self.middle_blks = _blocks(widths[4], middle_blocks)
        self.decoders = nn.ModuleList(map(_blocks, widths[3::-1], decoder_blocks))
        self.ending = nn.Conv2d(width, 1, 3, padding=1)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 2 * coarse, 1, bias=False), nn.PixelShuffle(2)) for coarse in widths[:0:-1]
        )
        self.downs = nn.ModuleList(nn.Conv2d(fine, 2 * fine, 2, 2) for fine in widths[:4])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        height, width = image.shape[2:]
        padded = F.pad(image, (0, -width % 16, 0, -height % 16))
        features = self.intro(padded)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(features))
            features = down(skips[-1])
        features = self.middle_blks(features)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            features = decoder(up(features) + skips.pop())
        denoised: torch.Tensor = self.ending(features) + padded
        return denoised[:, :, :height, :width]


class _KernelBasisBlock(nn.Module):
    """Kernel attention times a wider fixed convolution times channel weights; then a gated feed-forward network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.groups = width // _GROUP
        kernel = _GROUP * 9  # numbers that a kernel of the basis joins into one
        self.w = nn.Parameter(torch.empty(1, _BASES, width * kernel).uniform_(-(kernel**-0.5), kernel**-0.5))
        self.b = nn.Parameter(torch.zeros(1, _BASES, width))
        # The zeros make a new block hand on its input unchanged: deep chains of blocks then train from the start.
        self.ga1 = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.attgamma = nn.Parameter(torch.zeros(1, _BASES, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.norm1 = _ChannelNorm(width)
        self.norm2 = _ChannelNorm(width)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.conv11 = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 5, padding=2, groups=self.groups)
        )
        self.conv1 = nn.Conv2d(width, width, 1)
        self.conv21 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        narrow = min(width, _BASES)
        self.conv2 = nn.Sequential(
            nn.Conv2d(width, narrow, 3, padding=1, groups=narrow), _Gate(), nn.Conv2d(narrow // 2, _BASES, 1)
        )
        self.conv211 = nn.Conv2d(width, _BASES, 1)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.gate = _Gate()
        self.conv5 = nn.Conv2d(width, width, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        normal = self.norm1(features)
        attention = self.conv2(normal) * self.attgamma + self.conv211(normal)
        content = self.conv21(self.conv1(normal))
        mixed = _kernel_attention(content, attention, self.w, self.b, self.groups) * self.ga1 + content
        mixed = mixed * self.conv11(normal) * self.sca(normal)
        features = features + self.conv3(mixed) * self.beta
        forwarded = self.conv5(self.gate(self.conv4(self.norm2(features))))
        joined: torch.Tensor = features + forwarded * self.gamma
        return joined


def _kernel_attention(
    content: torch.Tensor, attention: torch.Tensor, basis: torch.Tensor, bias: torch.Tensor, groups: int
) -> torch.Tensor:
    """Convolve each pixel with its own kernel, the sum of the basis kernels weighted by its attention.

    Parameters
    ----------
    content : torch.Tensor
        (B, C, H, W).
    attention : torch.Tensor
        (B, N, H, W), a weight for each of the N = 32 kernels of the basis.
    basis : torch.Tensor
        (1, N, C / 4 * 4 * 4 * 3 * 3): for each group of 4 channels, output channel, input channel, row, column.
    bias : torch.Tensor
        (1, N, C).
    groups : int
        C / 4.

    Returns
    -------
    torch.Tensor
        (B, C, H, W).

    Notes
    -----
    Written out, the kernels are 36 C numbers a pixel. Convolution is linear, so the weighted sum of kernels may be
    taken after the convolution with each of them: 32 C numbers, and only one slice of channel groups at a time.
    """
    batch, _, height, width = content.shape
    kernels = basis.view(_BASES, groups, _GROUP, _GROUP, 3, 3).transpose(0, 1)
    weights = attention.unsqueeze(2).unsqueeze(1)
    step = -(-groups // _SLICES)
    mixed = []
    for first in range(0, groups, step):
        last = min(first + step, groups)
        answers = F.conv2d(
            content[:, first * _GROUP : last * _GROUP],
            kernels[first:last].reshape(-1, _GROUP, 3, 3),
            padding=1,
            groups=last - first,
        )
        answers = answers.reshape(batch, last - first, _BASES, _GROUP, height, width)
        mixed.append((answers * weights).sum(2).reshape(batch, -1, height, width))
    return torch.cat(mixed, 1) + F.conv2d(attention, bias.permute(2, 1, 0).unsqueeze(3))


class _ChannelNorm(nn.Module):
    """Mean 0 and variance 1 over the channels of each pixel, then a weight and a bias a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        centred = features - features.mean(1, keepdim=True)
        normal = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        return normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class _Gate(nn.Module):
    """One half of the channels times the other."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        left, right = features.chunk(2, 1)
        return left * right


def _blocks(width: int, number: int) -> nn.Sequential:
    return nn.Sequential(*[_KernelBasisBlock(width) for _ in range(number)])
