"""DnCNN: a plain chain of 3 x 3 convolutions that predicts the noise.

K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image
Denoising. IEEE Transactions on Image Processing 26(7), 2017. doi:10.1109/TIP.2017.2662206

The form published later in KAIR: batch normalisation folded into the convolutions. The published settings are 17
convolutions of 64 channels (555,137 parameters). Only torch is imported: this file travels inside packages.
"""

from itertools import pairwise

import torch
from torch import nn


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

    def __init__(self, depth: int = 17, width: int = 64) -> None:
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
