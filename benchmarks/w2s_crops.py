"""Models, and classical denoisers that need none, on the same two crops of a channel of W2S.

    python benchmarks/w2s_crops.py --data w2s --channel 0 --models runs/zero-shot runs/noisy runs/w2s-0

Each denoises the whole fields of view 65 and 70; the centres of 128 x 128 pixels are scored: PSNR in dB, affine
convention, range 255. The noise of the classical ones is measured on each image; what else they are set to is searched
on the pair of field 60.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import bmz_fmd
from training.data import Sample
from training.evaluation.baselines import BASELINES, best_of_pairs, denoised
from training.evaluation.metrics import psnr
from training.images import open_image, planes

FIELDS, SEARCHED, SIDE = (65, 70), 60, 128


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--channel", type=int, required=True)
    arguments.add_argument("--models", nargs="*", default=[])
    arguments.add_argument("--baselines", nargs="*", default=["bm3d", "sparse-variational"])
    given = arguments.parse_args()
    torch.set_num_threads(1)
    folder = given.data / f"channel{given.channel}"
    pairs = [pair(folder, field) for field in FIELDS]
    tell("noisy", "", pairs, lambda noisy: noisy)
    for path in given.models:
        tell(path, "", pairs, bmz_fmd.load(path))
    for name in given.baselines:
        samples = [Sample.of_arrays("searched", *pair(folder, SEARCHED))]
        setting = best_of_pairs(BASELINES[name], samples, convention="affine", data_range=255)
        tell(name, setting, pairs, lambda noisy, name=name, setting=setting: denoised(
            BASELINES[name], noisy, setting=setting)[0])  # fmt: skip


def pair(folder, field):
    """Return the noisy and the clean image of a field of view, float32 (H, W)."""
    images = (next(planes(open_image(folder / kind / f"fov_{field:03}.tif")))[1] for kind in ("low", "high"))
    return tuple(np.asarray(image, np.float32) for image in images)


def tell(name, setting, pairs, denoise):
    """Print the scores of the crops and the seconds of an image."""
    began, scores = time.process_time(), []
    for noisy, clean in pairs:
        top, left = ((side - SIDE) // 2 for side in noisy.shape)
        crop = slice(top, top + SIDE), slice(left, left + SIDE)
        scores.append(psnr(clean[crop], denoise(noisy)[crop], data_range=255, convention="affine"))
    seconds = (time.process_time() - began) / len(pairs)
    print(f"{name} {setting or ''}: {', '.join(f'{score:.2f}' for score in scores)} dB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
