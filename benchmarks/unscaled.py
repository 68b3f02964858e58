"""What a published checkpoint makes of W2S when nobody scales the images for it: 8 bits over 255, as photographs are.

    python benchmarks/unscaled.py --checkpoint dncnn_25.pth --data w2s

PSNR in dB over the fields of view 65 to 80 of each channel, affine convention, range 255: the baseline that the
calibration and the fine-tuning are compared with.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from training.checkpoints import load_weights
from training.evaluation.metrics import psnr
from training.images import open_image, planes
from training.networks import create

FIELDS = range(65, 81)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--checkpoint", required=True)
    arguments.add_argument("--data", type=Path, required=True)
    given = arguments.parse_args()
    network = create("dncnn").eval()
    load_weights(given.checkpoint, network)
    for channel in range(3):
        found = []
        for field in FIELDS:
            noisy, clean = (
                read(given.data / f"channel{channel}" / kind / f"fov_{field:03}.tif") for kind in ("low", "high")
            )
            with torch.inference_mode():
                denoised = network(torch.from_numpy(noisy / 255)[None, None])[0, 0].numpy() * 255
            found.append(psnr(clean, denoised, data_range=255, convention="affine"))
        print(f"channel {channel}: {np.mean(found):.2f} ± {np.std(found):.2f} dB", flush=True)


def read(path):
    """Return the one plane of a file, float32 (H, W)."""
    _, plane = next(planes(open_image(path)))
    return np.asarray(plane, np.float32)


if __name__ == "__main__":
    main()
