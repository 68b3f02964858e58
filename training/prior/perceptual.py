"""LPIPS, how different two images look, where its weights lie on this machine.

Zhang et al.: The unreasonable effectiveness of deep features as a perceptual metric. CVPR 2018,
doi:10.1109/CVPR.2018.00068. As AUTO-DIP has it: AlexNet, images from 0 to 1 handed over as they are, three times the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 31  # pixels a side, for AlexNet's last features
_WEIGHTS = "alexnet-owt-7be5be79.pth"

MISSING = (
    f"LPIPS cannot be computed here: it needs torchvision and AlexNet's weights ({_WEIGHTS} in torch's hub folder, "
    'where torchvision.models.alexnet(weights="DEFAULT") in Python puts them)'
)
"""What is said where ``lpips`` returns None."""


@cache
def lpips() -> Callable[[NDArray[Any], NDArray[Any]], float] | None:
    """Return LPIPS as a function of two images (Y, X) from 0 to 1, smaller is more alike; None where it cannot be had.

    Nothing is fetched. The function raises a ``UserError`` for images below 31 pixels a side.
    """
    if find_spec("torchmetrics") is None or find_spec("torchvision") is None:
        return None
    import torch

    if not Path(torch.hub.get_dir(), "checkpoints", _WEIGHTS).is_file():
        return None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    network = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=False).eval()

    def distance(first: NDArray[Any], second: NDArray[Any]) -> float:
        if min(first.shape) < _LEAST:
            size = " x ".join(map(str, first.shape))
            raise DataError(f"{size} pixels are too few for LPIPS, which needs {_LEAST} a side: leave it out")
        images = [torch.as_tensor(image, dtype=torch.float32).expand(1, 3, *image.shape) for image in (first, second)]
        with torch.inference_mode():
            return float(network(*images))

    return distance
