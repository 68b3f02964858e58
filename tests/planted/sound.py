"""Sound packages: what the faults are planted in, and what must raise no alarm."""

import shutil
from pathlib import Path

import numpy as np
import torch

from bmz_export.checking import certificate as certificates
from bmz_export.checking.check import CheckOptions, check
from bmz_export.package.about import About
from bmz_export.package.builder import Addition, build
from bmz_export.tools import scripts
from training.calibration.layer import Calibrated, Constants
from training.networks import NETWORKS, create

NARROW = {
    "dncnn": {"depth": 4, "width": 8},
    "drunet": {"widths": (4, 6, 8, 10), "blocks": 1},
    "restormer": {"width": 4, "blocks": (1, 1, 1, 1), "refinement_blocks": 1},
    "kbnet": {"width": 8, "encoder_blocks": (1, 1, 1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1, 1, 1)},
}
GAIN = {"dncnn": 1.0, "kbnet": 1.0}
"""Deviation of the weights times the root of what each sums over: a network must change its image and stay finite."""
SHORT_HALO = 16
"""Pixels, for networks that see the whole image: no halo covers that, and a short one keeps the tests short."""
ABOUT = About(
    title="A narrow network",
    authors=({"name": "Ada Lovelace"},),
    cite=({"text": "Notes", "url": "https://example.org/notes"},),
    license="CC-BY-4.0",
)
SHAPE = (96, 120)


def model_of(network, *, seed=0, **calibration):
    """A narrow network with random weights of a trained one's size, calibrated for ``example``."""
    torch.manual_seed(seed)
    entry = NETWORKS[network]
    denoiser = create(network, **NARROW[network])
    for parameter in denoiser.requires_grad_(False).parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=GAIN.get(network, 0.7) / parameter[0].numel() ** 0.5)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    settings = {"noise_map": entry.noise_map, "multiple": entry.stride, "margin": 4, **calibration}
    if settings.get("statistics") == "instance":
        settings |= {"offset": 0.0, "scale": 1.0}
    elif settings.get("transform") == "anscombe":
        settings |= {"offset": 20.0, "scale": 5.0, "pedestal": 20.0, "gain": 1.5, "read_noise": 3.0}
    else:
        settings |= {"offset": 130.0, "scale": 60.0}
    if entry.noise_map:
        settings |= {"sigma": 0.2}
    return Calibrated(denoiser, Constants(**settings)).eval().requires_grad_(False)


def example(shape=SHAPE, seed=0):
    """Photon counts of a few blobs above a background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 90.0)
    for _ in range(12):
        top, left, width = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 12)
        image += rng.uniform(60, 250) * np.exp(-((y - top) ** 2 + (x - left) ** 2) / (2 * width**2))
    return rng.poisson(image).astype(np.uint16)


def sees_all(network, statistics="dataset", **calibration):
    """Whether a network sees its whole input, so that a seam remains whatever the halo."""
    return statistics == "instance" or NETWORKS[network].radius(NARROW[network]) is None


def build_unstated(folder, network, **calibration):
    """Write a sound package of a narrow network into a folder, but for its seam, and return its model and the rest."""
    model = model_of(network, **calibration)
    halo = (SHORT_HALO, SHORT_HALO) if sees_all(network, **calibration) else None
    words = {"about": ABOUT, "halo": halo, "scripts": scripts()}
    return model, build(folder, model, network=network, settings=NARROW[network], example=example(), **words)


def build_sound(folder, network, **calibration):
    """Write a sound package of a narrow network into a folder, its seam stated, and return its model."""
    model, built = build_unstated(folder, network, **calibration)
    if sees_all(network, **calibration):
        certificate = check(folder, CheckOptions(engines=("torch",), certify=True))
        (folder / certificates.NAME).write_text(certificate.to_json())
        built.attach(Addition((certificates.NAME,)))
    return model


class Sound:
    """Sound packages below a folder, each built once, when it is first asked for.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._models = {}

    def copy(self, network, target):
        """Copy the package of a network to ``target`` (which does not exist) and return its model."""
        if network not in self._models:
            self._models[network] = build_sound(self.folder / network, network)
        shutil.copytree(self.folder / network, target)
        return self._models[network]
