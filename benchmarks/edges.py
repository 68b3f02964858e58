"""What each tool shows at an image's edges, by how the network extends its input: the measurement behind ``margin``.

    python benchmarks/edges.py --checkpoint dncnn_25.pth --image IMAGE.tif

deepImageJ mirrors an image with the edge pixel repeated before the network sees it, ilastik reflects it without, QuPath
cuts 512 tiles and adds nothing. The rivals: no extension inside the network (zeros, as the convolutions pad), mirroring
by ``margin`` pixels (what packages ship), and reflection by as many.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from training.calibration.layer import Calibrated, Constants
from training.checkpoints import load_weights
from training.images import open_image, planes
from training.networks import NETWORKS, create

SIDE = 256


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--network", default="dncnn")
    arguments.add_argument("--checkpoint", required=True)
    arguments.add_argument("--image", type=Path, required=True)
    arguments.add_argument("--scale", type=float, default=450.0, help="grey values that the network takes for 1")
    given = arguments.parse_args()

    denoiser = create(given.network)
    load_weights(given.checkpoint, denoiser)
    network = NETWORKS[given.network]
    radius = max(network.radius(network.settings) or (32,))
    _, plane = next(planes(open_image(given.image)))
    image = np.asarray(plane, np.float32)[:SIDE, :SIDE]

    print(f"{'inside':10} {'margin':>6} {'deepImageJ':>20} {'ilastik':>20} {'QuPath, no halo':>20}")
    for mode in ("symmetric", "reflect"):
        for margin in sorted({0, 4, 8, 12, radius}):
            report(mode, margin, predictor(denoiser, given.scale, mode, margin), image, radius)


def predictor(denoiser, scale, mode, margin):
    """Return a function from (H, W) to (H, W); the reflection is added outside, for no package ships it."""
    model = Calibrated(denoiser, Constants(scale=scale, margin=margin if mode == "symmetric" else 0)).eval()

    def predict(image):
        outside = margin if mode == "reflect" else 0
        with torch.inference_mode():
            extended = np.pad(image, outside, mode="reflect")
            result = model(torch.from_numpy(extended)[None, None])[0, 0].numpy()
        return result[outside : outside + image.shape[0], outside : outside + image.shape[1]]

    return predict


def report(mode, margin, predict, image, halo):
    """Print the largest and the mean difference to the whole image, within 8 pixels of edges or of the seam."""
    whole = predict(image)
    extent = np.ptp(whole)
    inside = slice(halo, -halo)
    half = image.shape[1] // 2
    edge = np.ones(image.shape, bool)
    edge[8:-8, 8:-8] = False
    seam = np.zeros(image.shape, bool)
    seam[:, half - 8 : half + 8] = True
    shown = (
        (predict(np.pad(image, halo, mode="symmetric"))[inside, inside], edge),
        (predict(np.pad(image, halo, mode="reflect"))[inside, inside], edge),
        (np.concatenate([predict(image[:, :half].copy()), predict(image[:, half:].copy())], axis=1), seam),
    )
    gaps = [np.abs(found - whole)[region] / extent for found, region in shown]
    print(f"{mode:10} {margin:6}", *(f"{gap.max():11.4f} {gap.mean():8.5f}" for gap in gaps))


if __name__ == "__main__":
    main()
