"""Faults of denoised images: each changes a sound result, or what the network is shown, at a strength.

A strength is in standard deviations of the noise where nothing else is said. ``change`` tells how large a fault came
out: the root mean square of the change over the noise, where the change is at least a tenth of its largest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Scene:
    """A noisy image, a sound result of it, and what made it."""

    noisy: np.ndarray
    denoised: np.ndarray
    noise: np.ndarray
    """Standard deviation of the noise at each pixel."""

    zero: float
    """Intensity without light."""

    denoise: Callable[[np.ndarray], np.ndarray]
    clean: np.ndarray
    """On the scale of the noisy image."""


@dataclass(frozen=True)
class ResultFault:
    """A way to go wrong: ``plant(scene, strength, rng)`` returns what is shown, what came out, and what should have."""

    name: str
    title: str
    strengths: tuple[float, ...]
    plant: Callable[[Scene, float, np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]]


def change(got: np.ndarray, sound: np.ndarray, noise: np.ndarray) -> float:
    """Return the size of a fault in standard deviations of the noise, where it is."""
    size = np.abs(got - sound) / noise
    largest = float(size.max())
    return float(np.sqrt(np.mean(size[size >= 0.1 * largest] ** 2))) if largest > 0 else 0.0


def _on_result(alter):
    def plant(scene, strength, rng):
        got = np.asarray(alter(scene, strength, rng), np.float32)
        return scene.noisy, got, scene.denoised

    return plant


def _smoothed(scene, strength, rng):
    return ndimage.gaussian_filter(scene.denoised, strength)


def _left(scene, strength, rng):
    return strength * scene.noisy + (1 - strength) * scene.denoised


def _spots(scene, strength, rng):
    shape = scene.noisy.shape
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    added = np.zeros(shape)
    for _ in range(rng.integers(1, 7)):
        y, x = (rng.uniform(12, size - 12) for size in shape)
        sigma = rng.uniform(1.2, 4)
        added = np.maximum(added, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))
    return scene.denoised + strength * added * scene.noise


def _lines(scene, strength, rng):
    shape = scene.noisy.shape
    canvas = np.zeros(shape)
    for _ in range(rng.integers(1, 4)):
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(20, 60)
        steps = np.arange(0, length, 0.5)
        start = [rng.uniform(12, size - 12) for size in shape]
        y = (start[0] + np.sin(angle) * steps).astype(int)
        x = (start[1] + np.cos(angle) * steps).astype(int)
        inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        canvas[y[inside], x[inside]] = 1
    blurred = ndimage.gaussian_filter(canvas, 1.5)
    return scene.denoised + strength * blurred / blurred.max() * scene.noise


def _texture(scene, strength, rng):
    grains = ndimage.gaussian_filter(rng.normal(size=scene.noisy.shape), 1.5)
    return scene.denoised + strength * grains / grains.std() * scene.noise


def _removed(scene, strength, rng):
    """Take away that part of the structure in one to eight discs where there is most of it."""
    background = ndimage.minimum_filter(ndimage.gaussian_filter(scene.denoised, 2), 25)
    structure = scene.denoised - ndimage.gaussian_filter(background, 12)
    left = ndimage.gaussian_filter(structure / scene.noise, 3)
    rows, columns = np.mgrid[: left.shape[0], : left.shape[1]]
    weight = np.zeros(left.shape)
    for _ in range(rng.integers(1, 9)):
        y, x = np.unravel_index(rng.choice(np.argsort(left.ravel())[-200:]), left.shape)
        radius = rng.uniform(3, 8)
        disc = 1 / (1 + np.exp(2 * (np.hypot(rows - y, columns - x) - radius)))
        weight = np.maximum(weight, disc)
        left = np.where(np.hypot(rows - y, columns - x) < 16, left.min(), left)
    return scene.denoised - strength * weight * np.maximum(structure, 0)


def _scaled(scene, strength, rng):
    return scene.zero + strength * (scene.denoised - scene.zero)


def _shifted(scene, strength, rng):
    return scene.denoised + strength * float(np.median(scene.noise))


def _tiles(scene, strength, rng, each):
    result = scene.denoised.astype(float).copy()
    side = int(rng.integers(40, 80))
    for y in range(0, result.shape[0], side):
        for x in range(0, result.shape[1], side):
            part = (slice(y, y + side), slice(x, x + side))
            result[part] = each(result[part], scene.noise[part], scene.zero, strength, rng)
    return result


def _steps(scene, strength, rng):
    return _tiles(scene, strength, rng, lambda d, noise, zero, k, rng: d + rng.normal(0, k) * np.median(noise))


def _gains(scene, strength, rng):
    return _tiles(scene, strength, rng, lambda d, noise, zero, k, rng: zero + np.exp(rng.normal(0, k)) * (d - zero))


def _rims(scene, strength, rng):
    def each(d, noise, zero, k, rng):
        y, x = (np.minimum(np.arange(size), np.arange(size)[::-1]) for size in d.shape)
        return d - k * noise * np.exp(-np.minimum(y[:, None], x[None]) / 1.5)

    return _tiles(scene, strength, rng, each)


def _correlated(scene, strength, rng):
    """Show noise of the same strength whose neighbours along rows are correlated by that much."""
    noise = scene.noisy - scene.clean
    along = (1 - np.sqrt(1 - min(4 * strength**2, 1))) / (2 * strength)
    shown = scene.clean + (noise + along * np.roll(noise, 1, axis=1)) / np.sqrt(1 + along**2)
    shown = shown.astype(np.float32)
    return shown, scene.denoise(shown), scene.denoised


def _other_camera(scene, strength, rng):
    """Show the image as a camera of that many times the gain writes it."""
    shown = (scene.zero + strength * (scene.noisy - scene.zero)).astype(np.float32)
    return shown, scene.denoise(shown), scene.zero + strength * (scene.denoised - scene.zero)


def _other_offset(scene, strength, rng):
    """Show the image as a camera of another offset writes it."""
    by = strength * float(np.median(scene.noise))
    return scene.noisy + np.float32(by), scene.denoise((scene.noisy + by).astype(np.float32)), scene.denoised + by


RESULT_FAULTS = (
    ResultFault(
        "over-smoothing", "smoothed by a Gaussian of so many pixels", (0.7, 1, 1.5, 2, 3, 5), _on_result(_smoothed)
    ),
    ResultFault("noise left", "so much of the noise left in", (0.2, 0.35, 0.5, 0.75, 1), _on_result(_left)),
    ResultFault("invented spots", "one to six spots as bright as", (1, 1.5, 2, 3, 5), _on_result(_spots)),
    ResultFault(
        "invented filaments", "one to three filaments as bright as", (0.75, 1, 1.5, 2, 3, 5), _on_result(_lines)
    ),
    ResultFault("invented texture", "grains all over of", (0.25, 0.5, 1, 1.5), _on_result(_texture)),
    ResultFault(
        "removed structure",
        "one to eight discs without such a part of their structure",
        (0.3, 0.5, 0.75, 1),
        _on_result(_removed),
    ),
    ResultFault("wrong gain", "intensities times", (0.5, 0.7, 0.85, 1.15, 1.4, 2), _on_result(_scaled)),
    ResultFault("wrong offset", "shifted by", (-2, -1, -0.5, -0.25, 0.25, 0.5, 1, 2), _on_result(_shifted)),
    ResultFault("correlated noise", "neighbours along rows correlated by", (0.1, 0.2, 0.3, 0.45), _correlated),
    ResultFault("another camera's gain", "shown an image of so many times the gain", (0.25, 0.5, 2, 4), _other_camera),
    ResultFault("another camera's offset", "shown an image shifted by", (-2, -1, 1, 2), _other_offset),
    ResultFault("seams: offsets of tiles", "each tile shifted by about", (0.1, 0.25, 0.5, 1, 2), _on_result(_steps)),
    ResultFault("seams: gains of tiles", "each tile scaled, the log by about", (0.1, 0.25, 0.5, 1), _on_result(_gains)),
    ResultFault("seams: rims of tiles", "rims of tiles darker by", (0.5, 1, 1.5, 2, 3), _on_result(_rims)),
)
