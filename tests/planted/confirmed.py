"""What the clean image says of an alarm: each figure that a verdict states, taken anew without the noise.

An alarm on a result that no fault was planted on is *confirmed* where the clean image bears out at least ``HALF`` of
what it states; else it is false. Of measures that are not here nothing is confirmed.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from planted.results import Scene
from training.calibration.noise import fit_noise
from training.evaluation.trust.frequency import contrast
from training.evaluation.trust.intensity import by_intensity
from training.evaluation.trust.measures import Measures
from training.evaluation.trust.structure import SMOOTHINGS, neighbour_correlation
from training.evaluation.trust.verdict import worst_ring

HALF = 0.5


def confirmed(measures: Measures, scene: Scene) -> dict[str, bool]:
    """Return of each measure of a scene's result whether the clean image confirms it."""
    noisy, denoised, clean = (np.asarray(image, np.float64) for image in (scene.noisy, scene.denoised, scene.clean))
    missing = (clean - denoised) / scene.noise
    fine = missing - gaussian_filter(missing, 16)  # as in the smoothed residual
    smoothed = {width: _units(fine, width / 2) for width in (2 * each for each in SMOOTHINGS)}
    structure, table = measures.structure, measures.intensity
    truth = by_intensity(clean, denoised, fit_noise(noisy, clean))
    worst = int(np.abs(table.bias).argmax())
    most = int(np.argmax(table.variance))
    found = {
        "structure": _half(smoothed[structure.width][structure.at], structure.largest),
        "spread": _half(max(np.sqrt(1 + np.mean(each**2)) for each in smoothed.values()) - 1, structure.spread - 1),
        "bias": _half(_near(truth.intensity, truth.bias, table.intensity[worst]), table.bias[worst]),
        "much": _half(_near(truth.intensity, truth.variance, table.intensity[most]), table.variance[most] - 1),
    }
    along = max(measures.camera.correlation.values(), key=abs)
    found["correlation"] = _half(max(neighbour_correlation((noisy - clean) / scene.noise), key=abs), along)
    ring = None if measures.contrast is None else worst_ring(measures.contrast)
    if ring is not None:
        _, kept, frequency = ring
        true = contrast(clean, denoised, clean)
        found["contrast"] = _half(_near(true.frequency, true.kept, frequency) - 1, kept - 1)
    return {name: bool(value) for name, value in found.items()}


def _units(image, smoothing):
    """Smooth, in standard deviations of smoothed white noise."""
    return gaussian_filter(image, smoothing) * 2 * smoothing * np.sqrt(np.pi)


def _half(true, stated):
    return true * np.sign(stated) >= HALF * abs(stated)


def _near(positions, values, at):
    return values[int(np.abs(np.subtract(positions, at)).argmin())]
