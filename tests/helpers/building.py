"""Small calibrated networks with random weights, an image for them, and packages built of both."""

import numpy as np
import torch

from bmz_export.package.builder import build
from bmz_export.tools import scripts
from training.calibration.layer import Calibrated, Constants
from training.networks import NETWORKS, create


def random_model(network="dncnn", settings=None, **calibration):
    """Return a calibrated network with random weights that do something, in eval mode."""
    torch.manual_seed(0)
    entry = NETWORKS[network]
    constants = {
        "offset": 100.0,
        "scale": 50.0,
        "sigma": 0.1,
        "noise_map": entry.noise_map,
        "multiple": entry.stride,
    }
    denoiser = create(network, **(entry.small_settings if settings is None else settings))
    for weights in denoiser.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.2)
    return Calibrated(denoiser, Constants(**(constants | calibration))).eval()


def noisy_image(height=96, width=80, dtype=np.uint16):
    """Return stripes under Poisson noise."""
    rows, columns = np.mgrid[:height, :width]
    clean = 120 + 60 * np.sin(rows / 7) * np.cos(columns / 11)
    return np.random.default_rng(0).poisson(clean).astype(dtype)


def built_package(folder, network="dncnn", *, example=None, calibration=None, **words):
    """Build the package of a small network into a folder; ``words`` go to ``build``."""
    return build(
        folder,
        random_model(network, **(calibration or {})),
        network=network,
        settings=NETWORKS[network].small_settings,
        example=noisy_image() if example is None else example,
        scripts=scripts(),
        **words,
    )
