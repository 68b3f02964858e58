"""DnCNN: a plain chain of 3 x 3 convolutions that predicts the noise.

The form published later in KAIR: batch normalisation folded into the convolutions. The published settings are 17
convolutions of 64 channels (555,137 parameters). Only torch is imported: this file travels inside packages.
"""

from itertools import pairwise

import torch
from torch import nn

DESCRIPTION = {
    "class": "DnCNN",
    "title": "DnCNN",
    "paper": "K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN "
    "for Image Denoising. IEEE Transactions on Image Processing 26(7), 2017. doi:10.1109/TIP.2017.2662206",
    "source": "https://github.com/cszn/KAIR",
    "licence": "MIT",
    "axes": "YX",
    "stride": 1,
    "noise_map": False,
    "bytes_per_pixel": 900,
    "settings": {"depth": 17, "width": 64},
    "small_settings": {"depth": 3, "width": 4},
    # On a CPU: some sixty images of 512 x 512 take two minutes on two cores with matrix units, ten without.
    "recipe": {"epochs": 100, "batch": 4, "crop": 64, "lr": 1e-4, "decay_factor": 0.8, "decay_epochs": 15},
    "checkpoints": {
        "default": "dncnn_25",
        "addresses": ["https://github.com/cszn/KAIR/releases/download/v1.0"],
        "source": "https://github.com/cszn/KAIR",
        "licence": "MIT",
        "spdx": "MIT",
        "files": {
            "dncnn_15": {"file": "dncnn_15.pth", "noise": "of 15/255", "megabytes": 2},
            "dncnn_25": {
                "file": "dncnn_25.pth",
                "noise": "of 25/255",
                "megabytes": 2,
                "sha256": "0451a70de9b672ae037270498fbb1c17a1c1c4403785df586ff65df5b858e5b0",
            },
            "dncnn_50": {"file": "dncnn_50.pth", "noise": "of 50/255", "megabytes": 2},
        },
    },
}


def receptive_radius(depth: int, width: int) -> int:
    """Return how far a pixel reaches: one pixel for each 3 x 3 convolution."""
    return depth


class DnCNN(nn.Module):
    """Convolutions with ReLU between them, subtracted from the image.

    Parameters
    ----------
    depth : int
        Number of convolutions, at least 2; also the receptive radius in pixels.
    width : int
        Channels between convolutions.

    Notes
    -----
    Shape: (B, 1, H, W) to (B, 1, H, W), any H and W; the noise-free image in [0, 1].
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        if depth < 2 or width < 1:
            raise ValueError(f"DnCNN needs depth >= 2 and width >= 1, not depth {depth} and width {width}")
        channels = [1, *[width] * (depth - 1), 1]
        layers: list[nn.Module] = []
        for inside, outside in pairwise(channels):
            convolution = nn.Conv2d(inside, outside, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU()]
        nn.init.zeros_(convolution.weight)  # a new network returns the image: training can only gain from there
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the denoised image."""
        noise: torch.Tensor = self.model(image)
        return image - noise
