"""What a baseline is set to: by pairs where there are clean images, else by Stein's risk on the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.calibration.camera import CameraProfile, camera_of
from training.calibration.risk import NoisyCrop
from training.errors import DataError
from training.evaluation.baselines.baseline import Baseline, Floats, Setting
from training.evaluation.metrics import Convention, Fit, psnr

if TYPE_CHECKING:
    from training.calibration.noise import NoiseModel
    from training.data import Sample

_SIDE = 192  # pixels of a crop that settings are tried on
_PAIRS = 6


def denoised(
    baseline: Baseline, image: Floats, camera: CameraProfile | None = None, setting: Setting | None = None
) -> tuple[Floats, Setting]:
    """Return an image denoised by a baseline, and what it was set to.

    Parameters
    ----------
    baseline : Baseline
    image : ndarray, float32, (Y, X) or (Z, Y, X)
        In its own units; its noise is measured on the image itself.
    camera : CameraProfile, optional
        Counts the noise instead, where it fits the image or that is too small to be measured.
    setting : mapping, optional
        By default that of the least expected error by Stein's risk, over the middle of the image.

    Raises
    ------
    UserError
        If the image is too small, or no noise can be measured on it.
    """
    if np.ptp(image) == 0:
        return image, setting or {}
    own = camera_of(image, camera)
    if setting is None:
        setting = baseline.trials[0] if len(baseline.trials) == 1 else _of_least_risk(baseline, image, own)
    return baseline(image, own.model, setting), setting


def best_of_pairs(
    baseline: Baseline,
    samples: Sequence[Sample],
    camera: CameraProfile | None = None,
    *,
    convention: Convention,
    data_range: float,
) -> Setting:
    """Return the setting of the highest mean PSNR over the middles of up to six samples that have clean images.

    Their noise is counted as ``denoised`` does.

    Raises
    ------
    UserError
        If there is no sample, or one has no clean image.
    """
    if not samples:
        raise DataError("there is no pair of a noisy and a clean image to search on")
    if len(baseline.trials) == 1:
        return baseline.trials[0]
    chosen = np.unique(np.linspace(0, len(samples) - 1, _PAIRS).astype(int)).tolist()
    crops = []
    for sample in (samples[number] for number in chosen):
        noisy, clean = sample.pair()
        middle = _middle(noisy)
        crops.append((noisy[middle], clean[middle], camera_of(noisy, camera).model))

    fitted: Fit = "affine" if convention in ("affine", "percentile") else "raw"  # the peak moves no maximum

    def score(setting: Setting) -> float:
        return float(np.nanmean([
            psnr(clean, baseline(noisy, noise, setting), data_range=data_range, convention=fitted)
            for noisy, clean, noise in crops
        ]))  # fmt: skip

    return max(baseline.trials, key=score)


def _of_least_risk(baseline: Baseline, image: Floats, camera: CameraProfile) -> Setting:
    noise: NoiseModel = camera.model
    crop = NoisyCrop.of(image[_middle(image)], noise, tuple(camera.correlation.values()), np.random.default_rng(0))

    def risk(setting: Setting) -> float:
        return float(
            crop.risk(lambda noisy: torch.from_numpy(baseline(noisy[0, 0].numpy(), noise, setting))[None, None])
        )

    return min(baseline.trials, key=risk)


def _middle(image: Floats) -> tuple[slice, ...]:
    """Return the place of the middle of an image (..., Y, X), in a volume of its middle plane, which stays a volume."""
    sides = (1,) * (image.ndim - 2) + (_SIDE, _SIDE)
    starts = (max((length - side) // 2, 0) for length, side in zip(image.shape, sides, strict=True))
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
