"""What methods without clean images reach on a channel of W2S in so many seconds of one processor.

    python benchmarks/without_clean.py --checkpoint dncnn_25.pth --data w2s --methods noise2void n2v2 --seconds 60
    python benchmarks/without_clean.py --checkpoint dncnn_25.pth --methods noise2noise noise2void --seconds 60

Each fine-tunes DnCNN from the calibrated start on the noisy files of a channel alone. PSNR in dB, affine convention,
range 255, over crops of eight of the fields of view 65 to 80, or with --whole over all of these. The learning rate
falls along a cosine. Without --data, on simulated images, two noisy frames of each field: of 40 fields eight test, the
peak is the range of their clean images, and BM3D stands beside.
"""

import argparse
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from training.calibration.intensity import Range
from training.calibration.layer import Calibrated
from training.calibration.search import find_constants
from training.calibration.statistics import measure
from training.checkpoints import load_weights
from training.data import DataSettings, open_dataset
from training.data.patches import Images, Patches, validation_patches
from training.evaluation.baselines import BASELINES, denoised
from training.evaluation.metrics import psnr
from training.fitting.state import learnt_from, line_of_noise
from training.inference.backends import convolve_channels_last
from training.methods import METHODS
from training.networks import NETWORKS, create
from training.util.devices import quick_in_half

CROP, SIDE = 64, 160  # pixels a side that are learned from, and judged
LEAST = 0.05  # of the learning rate, at the end


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--checkpoint", required=True)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--channel", type=int, default=1)
    arguments.add_argument("--methods", nargs="+", default=["noise2void"])
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--lr", type=float, default=3e-5)
    arguments.add_argument("--whole", action="store_true")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    if given.data:
        folder = given.data / f"channel{given.channel}"
        data = DataSettings(noisy=folder / "low", clean=folder / "high")
    else:
        data = DataSettings(dataset="simulated", options={"frames": 2})
    dataset = open_dataset(data, test_fraction=0.2, seed=0)
    learnt = learnt_from(dataset.train, METHODS["noise2void"])
    measured = measure(learnt, "none", 0)
    network = NETWORKS["dncnn"]
    denoiser = create("dncnn")
    load_weights(given.checkpoint, denoiser)
    constants = find_constants(
        measured, learnt, denoiser, network=network, radius=network.radius(network.settings), pretrained=True,
        quick=quick_in_half("cpu"),
    )  # fmt: skip
    judged = list(pairs(dataset.test, whole=given.whole or not given.data))
    peak = 255.0 if given.data else float(np.ptp([clean for _, clean in judged]))
    if not given.data:
        print(f"noisy: {mean_psnr(judged, [noisy for noisy, _ in judged], peak):.2f} dB", flush=True)
        bm3d = [denoised(BASELINES["bm3d"], noisy)[0] for noisy, _ in judged]
        print(f"bm3d: {mean_psnr(judged, bm3d, peak):.2f} dB", flush=True)
    for name in given.methods:
        learnt = learnt_from(dataset.train, METHODS[name])
        measured = measure(learnt, "dataset" if METHODS[name].needs.clean else "none", 0)
        method = METHODS[name]("mse", 0.0, Range(measured.low, measured.high - measured.low), measured.camera)
        load_weights(given.checkpoint, denoiser)
        model = Calibrated(denoiser, replace(constants, margin=0))
        convolve_channels_last(model)
        line = partial(line_of_noise, measured.camera) if method.needs.noise_model else None
        parts = (learnt, learnt_from(dataset.validation, method))
        images, held = (Images(part, measured.intensity.scaling, method.needs.frames, line) for part in parts)
        patches = Patches(images, (CROP, CROP), "none", 0)
        held = validation_patches(held, (2 * CROP, 2 * CROP), 24 * CROP**2, 0)
        print(f"{name}: start {score(model, judged, peak):.2f} dB, risk {risk(method, model, held):.4f}", flush=True)
        spent, epochs = fit(model, method, patches, given.seconds, given.lr)
        found = f"{score(model, judged, peak):.2f} dB, risk {risk(method, model, held):.4f}"
        print(f"{name}: {found} after {epochs} epochs, {spent:.0f} s of one processor", flush=True)


def pairs(samples, *, whole):
    """Yield noisy and clean test images, or a crop of every other one."""
    rng = np.random.default_rng(7)
    for sample in samples if whole else samples[::2]:
        noisy, clean = sample.pair()
        top, left = rng.integers(0, np.subtract(noisy.shape, SIDE), 2)
        place = (slice(None),) * 2 if whole else (slice(top, top + SIDE), slice(left, left + SIDE))
        yield noisy[place], clean[place]


def fit(model, method, patches, seconds, lr):
    """Train for so many seconds of the processor; return these and the epochs."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    began, epoch = time.process_time(), 0
    while (spent := time.process_time() - began) < seconds:
        epoch += 1
        patches.set_epoch(epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr * (LEAST + (1 - LEAST) * (1 + math.cos(math.pi * spent / seconds)) / 2)
        for first in range(0, len(patches), 4):
            read = [patches[number] for number in range(first, min(first + 4, len(patches)))]
            stacked = tuple(map(torch.stack, zip(*read, strict=True)))
            batch = method.batch(stacked, np.random.default_rng([epoch, first]))
            with half():
                loss = method.loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return spent, epoch


def score(model, judged, peak):
    """Return the mean PSNR of what a model makes of pairs."""
    with torch.inference_mode(), half():
        results = [model(torch.from_numpy(noisy.copy())[None, None])[0, 0].numpy() for noisy, _ in judged]
    return mean_psnr(judged, results, peak)


def mean_psnr(judged, results, peak):
    """Return the mean PSNR of results over pairs."""
    both = zip(judged, results, strict=True)
    return float(np.mean([psnr(pair[1], image, data_range=peak, convention="affine") for pair, image in both]))


def risk(method, model, patches):
    """Return the method's own loss over validation patches."""
    with torch.inference_mode(), half():
        return float(np.mean([method.score(model, each)["validation_loss"] for each in patches]))


def half():
    return torch.autocast("cpu", torch.bfloat16, enabled=quick_in_half("cpu"))


if __name__ == "__main__":
    main()
