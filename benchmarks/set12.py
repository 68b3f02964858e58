"""The twelve photographs that Gaussian denoisers are compared on: PSNR of a run, a package or a classical denoiser.

    python benchmarks/set12.py --data set12 --sigma 25 --model runs/narrow
    python benchmarks/set12.py --data set12 --sigma 25 --baseline bm3d

Noise is drawn by NumPy from seed 0 for each image and is not clipped; results are, to 0 to 255, which is the peak. A
model is given the photographs as they are: a run on photographs is calibrated for them and for one level of noise.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import bmz_fmd
from training.evaluation.metrics import psnr


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--sigma", type=float, default=25.0)
    chosen = arguments.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--model", type=Path)
    chosen.add_argument("--baseline")
    given = arguments.parse_args()
    denoise = bmz_fmd.load(given.model) if given.model else bmz_fmd.baseline(given.baseline)
    found = []
    for path in sorted(given.data.glob("*.png")):
        clean = np.asarray(Image.open(path).convert("L"), np.float32)
        noisy = clean + np.random.default_rng(0).normal(0, given.sigma, clean.shape).astype(np.float32)
        found.append(psnr(clean, np.clip(denoise(noisy), 0, 255), data_range=255))
        print(f"{path.name}: {found[-1]:.2f} dB", flush=True)
    print(f"mean of {len(found)}: {np.mean(found):.2f} dB")


if __name__ == "__main__":
    main()
