"""A camera's profile from one frame each, in a Markdown table, beside what the mean of many frames says of it.

    python benchmarks/camera.py shared/data/raw_counts/*.tif [--w2s shared/data/w2s]

With `--w2s`, frame `w2s_N.tif` is set against the mean of 400 frames of the same field (`fov_00N+1`, fitted to it by
least squares): the variance of the same differences, in 48 bins of the mean image's intensity, and the line through
them. So the intensity has no noise of its own there.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import tifffile

from training.calibration import measure_camera
from training.calibration.noise import fit_line
from training.calibration.transfer import differences
from training.images import open_image

BINS = 48


def by_mean_image(plane, clean):
    """Return gain and zero level by the intensity of the mean image."""
    slope, offset = np.polyfit(clean.ravel(), plane.ravel(), 1)
    noise, _, _ = differences(plane)
    _, intensity, _ = differences(slope * clean + offset)
    parts = np.array_split(np.argsort(intensity.ravel()), BINS)
    means, variances = (np.array([values.ravel()[part].mean() for part in parts]) for values in (intensity, noise**2))
    gain, intercept = fit_line(means, variances, floor=float(variances.min()))
    return gain, -intercept / gain


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="+", type=Path)
    parser.add_argument("--w2s", type=Path)
    words = parser.parse_args()
    print("| frame | gain | zero level | along Y | along X | gain, zero level by the mean of 400 frames | s |")
    print("|---|---|---|---|---|---|---|")
    for path in words.frames:
        image = tifffile.imread(path).astype(np.float64)
        for number, plane in enumerate(image.reshape(-1, *image.shape[-2:])):
            began = time.perf_counter()
            found = measure_camera([plane])
            seconds = time.perf_counter() - began
            mean = ""
            if words.w2s is not None and path.stem.startswith("w2s_"):
                high = words.w2s / f"channel{number}" / "high" / f"fov_{int(path.stem[4:]) + 1:03d}.tif"
                clean = np.asarray(open_image(high)).squeeze().astype(np.float64)
                mean = "{:.2f}, {:.1f}".format(*by_mean_image(plane, clean))
            along = " | ".join(f"{value:.2f}" for value in found.correlation.values())
            print(f"| {path.stem}, {number} | {found.gain} | {found.zero_level} | {along} | {mean} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
