"""Does Fiji make a user wait at the second and third image of a new size, as old libtorch does with a careless trace?

    python benchmarks/fiji_wait.py PACKAGE [PACKAGE ...]

Each package's TorchScript runs in deepImageJ's own versions of libtorch, one at a time: its test image twice, then
another size several times. The second and third of those calls are told in seconds and as parts of the steady time.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from bmz_export.checking.trials import fit
from bmz_export.engines import ENGINES, Job
from bmz_export.package.archive import open_package

CALLS = 5
VERSIONS = ("libtorch-1.13.1", "libtorch-2.0.0")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE")
    for path in arguments.parse_args().packages:
        with open_package(path) as package:
            for version in VERSIONS:
                print(f"{path.stem:12} {version:16} {told(package, version)}", flush=True)


def told(package, version) -> str:
    """Run one version; return a line with its times."""
    tensor = package.description.inputs[0]
    test = np.load(package.file(tensor.test.source)).astype(np.float32)
    other = fit(tensor, test, tensor.shape(1))
    weights = package.file(package.description.weights["torchscript"].source)
    images = (test, test, *[other] * CALLS)
    job = Job(package.folder, "torchscript", weights, images, timeout=1800, threads=os.cpu_count() or 1)
    outcome = ENGINES[version].run(job)
    if len(outcome.outputs) < len(images):
        return outcome.error or outcome.skipped or "no result"
    times = outcome.seconds[2:]
    steady = min(times[3:])
    parts = ", ".join(f"call {n + 1}: {times[n]:.2f} s ({times[n] / steady:.2f})" for n in (1, 2))
    return f"{'x'.join(map(str, other.shape[2:]))} steady {steady:.2f} s; {parts}"


if __name__ == "__main__":
    main()
