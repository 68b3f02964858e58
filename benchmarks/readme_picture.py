"""The picture of the README: a frame is cut into 16 tiles, DnCNN fine-tuned on most and shown on one of the others.

Data: Hagen et al. 2021, CC0 (https://doi.org/10.5524/100888); weights: the published DnCNN of sigma 25.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import tifffile

import bmz_fmd
from training.evaluation.metrics import psnr
from training.evaluation.pictures import Shown, panel

NAMES = ("actin-confocal", "mito-60x-noise2")


def tiles(data: Path, name: str, folder: Path) -> None:
    """Write each frame as sixteen tiles below noisy/ and clean/."""
    for part, side in (("noisy", "low"), ("clean", "high")):
        frame = np.squeeze(tifffile.imread(data / f"{name}-{side}snr.tif"))
        size = frame.shape[0] // 4
        (folder / part).mkdir(parents=True)
        for number, (y, x) in enumerate(np.ndindex(4, 4)):
            tile = frame[y * size : (y + 1) * size, x * size : (x + 1) * size]
            tifffile.imwrite(folder / part / f"tile_{chr(97 + number)}.tif", tile)


def shown(data: Path, name: str, checkpoint: Path) -> Shown:
    """Train, and return the test tile with most structure."""
    tiles(data, name, Path(name))
    run = bmz_fmd.train(
        f"{name}/noisy", f"{name}/clean", name=f"readme-{name}", network="dncnn", checkpoint=checkpoint, epochs=60
    )
    model = bmz_fmd.load(run)
    sample = max(run.dataset().test, key=lambda test: float(test.pair()[1].std()))
    noisy, clean = sample.pair()
    denoised = model(noisy)
    scores = (psnr(clean, image, data_range=255, convention="affine") for image in (noisy, denoised))
    slope, offset = np.polyfit(clean.ravel(), noisy.ravel(), 1)
    return Shown(name, noisy, denoised, (slope * clean + offset).astype(np.float32), *scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with NAME-lowsnr.tif and NAME-highsnr.tif")
    parser.add_argument("--checkpoint", type=Path, required=True, help="dncnn_25.pth")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.png"))
    words = parser.parse_args()
    data, checkpoint, out = words.data.absolute(), words.checkpoint.absolute(), words.out.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        panel([shown(data, name, checkpoint) for name in NAMES], out, unit="grey values")


if __name__ == "__main__":
    main()
