"""How much memory deepImageJ takes for a package, measured at growing sizes in the engine that Fiji has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import inf, isqrt

import numpy as np
import psutil

from bmz_export.checking.runner import Runner
from bmz_export.engines import ENGINES
from bmz_export.package.fiji_memory import Memory
from bmz_export.package.tensors import fitted

ENGINE = "libtorch-1.13.1"
SIDES = (256, 512, 1024)
"""Pixels, measured first."""
LARGER = (2048, 2896)
"""Pixels, for networks whose memory the first ones do not tell."""
MEASURED = (4, 8)
"""Gigabytes whose largest image is measured itself, as far as the time and the memory of this machine allow."""
MARGIN = 1.05
"""Times the pixels that are expected to take so much, so that the image which is stated is no larger than measured."""
TIME = 0.3
"""Part of a check's limit of time that all may take, all processors at work: a minute and a half of the usual five."""
WORKER = 1.1
"""Times the slope of the line that is stated, since deepImageJ's worker holds its image besides. Seen of it: 7.3 GB for
DnCNN and 3000 x 3000, stated 8.3; 2.0 GB for DRUNet and 1000 x 1000, stated 2.4; over 12.6 for 3000 x 3000, 13.6."""
FREE = 0.5
"""Part of the machine's free memory that they may take."""
GROWTH = 2e8
"""Bytes by which the last image must take more: below, what it takes hides in what Java and libtorch hold anyway."""


def memory_in_fiji(runner: Runner) -> Memory | None:
    """Measure what images of growing size take; None where the engine is not here, or too little was measured."""
    engine, tensors = ENGINES[ENGINE], runner.inspection.description.inputs
    test = runner.array(tensors)
    if test is None or tensors[0].order != "bcyx" or test.shape[1] != 1:
        return None
    if not (engine.installed() and runner.wants(ENGINE) and runner.inspection.weights("torchscript")):
        return None
    if runner.unsafe("torchscript", processing=engine.processing):
        return None
    left = runner.options.timeout * TIME
    free = min(runner.options.memory, psutil.virtual_memory().available * FREE)

    def measure(sides: Sequence[int]) -> tuple[list[tuple[int, int]], float]:
        """Return (pixels, bytes) of each image that came through, and the seconds that a pixel of the last took."""
        runner.log(f"{engine.title}: memory for {', '.join(f'{side} x {side}' for side in sides)}")
        images = [fitted(np.asarray(test[:1], np.float32), (1, 1, side, side)) for side in sides]
        threads = os.cpu_count() or 1  # as many as deepImageJ's worker takes
        outcome = runner.run(engine, "torchscript", images, patience=TIME, threads=threads, memory=free)
        found = [(image.size, peak) for image, peak in zip(images, outcome.peaks, strict=False)]
        return found, outcome.seconds[-1] / found[-1][0] if found else inf

    found, pace = measure(SIDES)
    memory = line(found)
    larger = [isqrt(int(MARGIN * memory.pixels(gigabytes))) for gigabytes in MEASURED] if memory else LARGER
    allowed = []
    for side in larger:
        left -= pace * side**2
        needed = memory.fixed + memory.per_pixel * side**2 if memory else 0
        if left > 0 and needed < free:
            allowed.append(side)
    if allowed:
        found += measure(allowed)[0]
    return line(found)


def line(found: Sequence[tuple[int, int]]) -> Memory | None:
    """Return deepImageJ's memory by the two largest of (pixels, bytes), in order; None where they do not tell it."""
    if len(found) < 2:
        return None
    (before, less), (pixels, most) = found[-2:]
    if most - less < GROWTH:
        return None
    each = (most - less) / (pixels - before)
    return Memory(max(int(most - each * pixels), 0), WORKER * each, pixels)
