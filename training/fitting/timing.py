"""How long a training takes, before it begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from training.data.patches import patch_size, views
from training.inference.backends import convolve_channels_last
from training.networks import NETWORKS, create
from training.util.devices import quick_in_half
from training.util.text import counted, duration

if TYPE_CHECKING:
    from training.data import ImageDataset
    from training.runs.settings import Settings

VALIDATION, VALIDATION_GPU = 0.2, 0.05
"""Parts of an epoch's pixels that validation takes at most a tenth of its time for: a pass without gradients is a third
of a step; on a GPU the scores, which stay on the CPU, take longer than that."""

TIMED = 128
"""Pixels a side that a step is timed on, on a CPU: of patches that are smaller as many as fill that, or a batch is."""

_SMALLEST, _SOON = 16, 2.0  # pixels a side, seconds: the first estimate takes larger patches while these are quick


def seconds_per_pixel(loss: Callable[[], torch.Tensor], model: nn.Module, pixels: int, device: str) -> float:
    """Return what a step costs a pixel: the quickest of three after a first to warm up; no weight is changed.

    Parameters
    ----------
    loss : callable
        Computes the loss of a batch.
    model : torch.nn.Module
        What learns by it.
    pixels : int
        In the batch.
    device : str
        Where the model is.
    """
    quickest, started = math.inf, time.perf_counter()
    for step in range(4):
        began = time.perf_counter()
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=quick_in_half(device)):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        float(value.detach())  # waits for the device
        model.zero_grad(set_to_none=True)
        ended = time.perf_counter()
        quickest = min(quickest, ended - began) if step else quickest  # other work on the machine slows single steps
        if step and ended - started > _SOON:
            break
    return quickest / pixels


def timed_together(batch: int, pixels: int) -> int:
    """Return how many patches of so many pixels a step is timed on, on a CPU: a small one alone costs more a pixel."""
    return max(1, min(batch, TIMED**2 // pixels))


def training_seconds(pixel: float, pixels: int, device: str, count: int) -> float:
    """Return how long steps over so many pixels take, validation included, on ``count`` devices."""
    share = VALIDATION if device == "cpu" else VALIDATION_GPU
    return pixel * pixels * (1 + share / 3) / count


def first_estimate(settings: Settings, dataset: ImageDataset, epochs: int, device: str, count: int) -> str:
    """Return in words how long so many epochs will take, from a step on random pixels: no image is read."""
    recipe, network = settings.recipe, NETWORKS[settings.network]
    smallest = dataset.train[0].shape
    sides = patch_size(recipe.crop, smallest) or smallest
    patches = len(dataset.train) * len(views(recipe.augment))
    model = create(settings.network, **settings.network_settings).to(device)
    convolve_channels_last(model)
    began, longest = time.perf_counter(), _SMALLEST
    while True:
        timed = [-(-min(side, longest) // stride) * stride for side, stride in zip(sides, network.stride, strict=False)]
        together = timed_together(recipe.batch, math.prod(timed))
        noise = torch.rand(together, 1 + network.noise_map, *timed, device=device)
        pixel = seconds_per_pixel(partial(_mean, model, noise), model, together * math.prod(timed), device)
        if longest >= TIMED or time.perf_counter() - began > _SOON:
            break
        longest *= 2
    seconds = training_seconds(pixel, epochs * patches * math.prod(sides), device, count)
    return (
        f"first estimate: about {duration(seconds)} on {device} for {counted(epochs, 'epoch')} of "
        f"{counted(patches, 'patch', 'patches')}"
    )


def _mean(model: nn.Module, noise: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(model(noise).mean())
