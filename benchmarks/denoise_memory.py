"""Time and peak memory of denoising a plane, in a Markdown table: `denoise`, bioimageio.core in blocks, the network.

    python benchmarks/denoise_memory.py packages/my-cells.zip [--run runs/my-cells] [--sizes 512 2048] [--repeats 3]

Each takes the same package (`denoise` a run too) and the same plane, in a process of its own, and they alternate. What
is measured begins when libraries and weights are loaded: seconds on the wall, seconds of the processors (in the kernel
too), both the median over the repeats; and the most memory that the process held, loading included. The bare network
is the package's TorchScript over the whole plane, as torch runs it by itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

BLOCK = 512  # pixels a side of bioimageio.core's blocks, at most


def ours(model):
    """Return `bmz_fmd`'s own way from a plane to a plane."""
    from bmz_fmd import load

    return load(model)


def core_in_blocks(package):
    """Return bioimageio.core's prediction in blocks of about 512 pixels."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    model = load_model_description(package, perform_io_checks=False)
    pipeline = create_prediction_pipeline(model, weights_format="torchscript", devices=["cpu"])
    pipeline.load()
    (least, step), *_ = [(axis.size.min, axis.size.step) for axis in model.inputs[0].axes if axis.type == "space"]

    def denoise(plane):
        sample = create_sample_for_model(model, inputs={model.inputs[0].id: plane[None, None]})
        result = pipeline.predict_sample_with_blocking(sample, ns=(min(BLOCK, *plane.shape) - least) // step)
        ((_, tensor),) = result.members.items()
        return np.asarray(tensor.data.data)[0, 0]

    return denoise


def bare_network(package):
    """Return torch's own way: the TorchScript over the whole plane."""
    import torch

    from bmz_export.package.archive import open_package

    with open_package(Path(package)) as opened:
        file = opened.file(opened.description.weights["torchscript"].source)
        module = torch.jit.load(str(file), map_location="cpu").eval()

    def denoise(plane):
        with torch.inference_mode():
            return module(torch.from_numpy(plane[None, None])).numpy()[0, 0]

    return denoise


WAYS = {
    "denoise, run": ours,
    "denoise, package": ours,
    "bioimageio.core, blocks": core_in_blocks,
    "bare network": bare_network,
}


def measure(way, model, size):
    """Denoise a plane here and print what it took."""
    import psutil

    plane = np.random.default_rng(0).poisson(np.linspace(50, 400, size), (size, size)).astype(np.float32)
    denoise = WAYS[way](model)
    denoise(plane[:128, :128].copy())
    before, start = os.times(), time.perf_counter()
    denoised = denoise(plane)
    wall, after = time.perf_counter() - start, os.times()
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", 0)
    if not peak:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        json.dumps(
            {
                "wall": wall,
                "processor": after.user - before.user + after.system - before.system,
                "kernel": after.system - before.system,
                "peak": peak,
                "sample": denoised[:: size // 16, :: size // 16].tolist(),
            }
        )
    )


def compare(models, sizes, repeats):
    """Return the measurements, {(size, way): [one a repeat]}."""
    found = {}
    for size in sizes:
        for _ in range(repeats):
            for way, model in models.items():
                command = [sys.executable, __file__, str(model), "--only", way, "--sizes", str(size)]
                ended = subprocess.run(command, capture_output=True, text=True, check=False)
                if ended.returncode:
                    sys.exit(f"{way} at {size}: {ended.stderr.strip().splitlines()[-1]}")
                found.setdefault((size, way), []).append(json.loads(ended.stdout.splitlines()[-1]))
    return found


def table(found):
    """Print the medians, and how far each result lies from the bare network's."""
    print("| image | way | wall, s | processors, s | of it kernel, s | peak memory, GB | differs from the network |")
    print("|---|---|---|---|---|---|---|")
    for (size, way), rows in found.items():
        wall, processor, kernel = (
            statistics.median(row[key] for row in rows) for key in ("wall", "processor", "kernel")
        )
        reference = np.asarray(found[size, "bare network"][0]["sample"])
        apart = np.abs(np.asarray(rows[0]["sample"]) - reference).max() / np.ptp(reference)
        print(
            f"| {size} x {size} | {way} | {wall:.1f} | {processor:.1f} | {kernel:.1f} | "
            f"{max(row['peak'] for row in rows) / 1e9:.2f} | {apart:.0e} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="package folder or zip, with TorchScript")
    parser.add_argument("--run", type=Path, help="the run that it was exported from, measured beside it")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048], help="height and width of the plane")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=WAYS, help="run one way in this process")
    given = parser.parse_args()
    if given.only:
        measure(given.only, given.package, given.sizes[0])
        return
    models = dict.fromkeys(WAYS, given.package) | {"denoise, run": given.run}
    table(compare({way: model for way, model in models.items() if model is not None}, given.sizes, given.repeats))


if __name__ == "__main__":
    main()
