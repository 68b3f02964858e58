"""The registry of networks: what each is, where it comes from, and ``create``; readable without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """What is known of a network before any weights.

    Attributes
    ----------
    name : str
        Name in the registry and of the file (``training/networks/<name>.py``).
    class_name : str
        The class in that file.
    title : str
        The name in the paper.
    paper : str
        Citation with DOI or address.
    source : str
        Address of the published code.
    code_licence : str
        Licence of the published code (SPDX where one exists).
    stride : int
        Total stride: sizes that the bare network takes are multiples of it.
    noise_map : bool
        Whether it wants a second channel that holds the noise level.
    bytes_per_pixel : int
        Working memory that a pixel of the image takes at the published size, in float32 (measured on 512 x 512).
    settings : Mapping
        Constructor settings as published (gray, Gaussian denoising).
    radius : Callable
        From settings (those left out are the published ones) to the receptive radius in pixels: the farthest, along
        an axis, that an input pixel lies from an output pixel which it changes. None where a global operation sees
        the whole image.
    """

    name: str
    class_name: str
    title: str
    paper: str
    source: str
    code_licence: str
    stride: int
    noise_map: bool
    bytes_per_pixel: int
    settings: Mapping[str, Any]
    radius: Callable[[Mapping[str, Any]], int | None]


_DNCNN = {"depth": 17, "width": 64}
_DRUNET = {"widths": (64, 128, 256, 512), "blocks": 4}
_RESTORMER = {
    "width": 48,
    "blocks": (4, 6, 6, 8),
    "refinement_blocks": 4,
    "heads": (1, 2, 4, 8),
    "expansion": 2.66,
}
_KBNET = {"width": 64, "encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)}


def _dncnn_radius(settings: Mapping[str, Any]) -> int:
    """One pixel for each 3 x 3 convolution."""
    return int({**_DNCNN, **settings}["depth"])


def _drunet_radius(settings: Mapping[str, Any]) -> int:
    """Follow the interval of pixels that one output pixel needs down to the lowest level and up again.

    The farther end depends on where the pixel lies on the grid of the strides, hence the maximum over all phases.
    """
    chosen = {**_DRUNET, **settings}
    strided, block = 3, 2 * int(chosen["blocks"])
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


def _sees_everything(settings: Mapping[str, Any]) -> None:
    """Return None: an average over the whole image reaches every pixel, whatever the settings."""


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            name="dncnn",
            class_name="DnCNN",
            title="DnCNN",
            paper="K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser: Residual Learning of Deep "
            "CNN for Image Denoising. IEEE Transactions on Image Processing 26(7), 2017. doi:10.1109/TIP.2017.2662206",
            source="https://github.com/cszn/KAIR",
            code_licence="MIT",
            stride=1,
            noise_map=False,
            bytes_per_pixel=900,
            settings=MappingProxyType(_DNCNN),
            radius=_dncnn_radius,
        ),
        Network(
            name="drunet",
            class_name="DRUNet",
            title="DRUNet",
            paper="K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool, R. Timofte: Plug-and-Play Image Restoration with "
            "Deep Denoiser Prior. IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022. "
            "doi:10.1109/TPAMI.2021.3088914",
            source="https://github.com/cszn/DPIR",
            code_licence="MIT",
            stride=8,
            noise_map=True,
            bytes_per_pixel=2_800,
            settings=MappingProxyType(_DRUNET),
            radius=_drunet_radius,
        ),
        Network(
            name="restormer",
            class_name="Restormer",
            title="Restormer",
            paper="S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan, M.-H. Yang: Restormer: Efficient Transformer "
            "for High-Resolution Image Restoration. CVPR 2022. doi:10.1109/CVPR52688.2022.00564",
            source="https://github.com/swz30/Restormer",
            code_licence="Academic Public License (non-commercial)",
            stride=8,
            noise_map=False,
            bytes_per_pixel=16_000,
            settings=MappingProxyType(_RESTORMER),
            radius=_sees_everything,
        ),
        Network(
            name="kbnet",
            class_name="KBNet",
            title="KBNet",
            paper="Y. Zhang, D. Li, X. Shi, D. He, K. Song, X. Wang, H. Qin, H. Li: KBNet: Kernel Basis Network for "
            "Image Restoration. arXiv:2303.02881, 2023. https://arxiv.org/abs/2303.02881",
            source="https://github.com/zhangyi-3/KBNet",
            code_licence="MIT",
            stride=16,
            noise_map=False,
            bytes_per_pixel=8_200,
            settings=MappingProxyType(_KBNET),
            radius=_sees_everything,
        ),
    )
}


def create(name: str, **settings: object) -> nn.Module:
    """Return a network with untrained weights, ready to be trained from scratch or to take a checkpoint.

    Parameters
    ----------
    name : str
        A key of ``NETWORKS``.
    **settings
        Constructor settings; the published ones (``NETWORKS[name].settings``) where none are given.

    Returns
    -------
    torch.nn.Module
        Takes (B, 1, H, W) float32 (DRUNet (B, 2, H, W): image, noise map), with the noise-free image in about
        [0, 1] and H, W multiples of ``NETWORKS[name].stride``, and returns (B, 1, H, W). The start is drawn from
        torch's global random generator.

    Raises
    ------
    ValueError
        For a name or a setting that is not known, or a setting's value that makes no network.
    """
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown; choose one of {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    unknown = sorted(set(settings) - set(network.settings))
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(network.settings)}")
    for key, value in settings.items():
        _check(f"{name}: {key}", value, network.settings[key])
    build = getattr(import_module(f"{__name__}.{name}"), network.class_name)
    module: nn.Module = build(**{**network.settings, **settings})
    return module


def _check(what: str, value: object, published: object) -> None:
    """Refuse a setting that is not of the kind of the published one: a number above 0, or a list of such numbers."""
    if isinstance(published, tuple):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{what} is a list such as {list(published)}, not {value!r}")
        for each in value:
            _check(what, each, published[0])
        return
    kind = "number" if isinstance(published, float) else "whole number"
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not right or (kind == "whole number" and not isinstance(value, int)):
        raise ValueError(f"{what} is a {kind} above 0 such as {published}, not {value!r}")
