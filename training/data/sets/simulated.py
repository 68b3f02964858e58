"""An embedded data set: nuclei and filaments under a wide-field microscope, drawn from a seed.

The objects are blurred by the Airy pattern of a circular pupil, ``(2 J1(v) / v)**2`` with
``v = 2 pi NA r / wavelength`` (Born and Wolf, Principles of Optics, section 8.5.2). Photons arrive by Poisson's law;
the camera adds Gaussian read noise, a gain and an offset. The clean image is a longer exposure of the same field, in
camera counts of its own scale.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.data.dataset import SplitDataset
from training.data.options import DatasetOptions
from training.data.sample import DataSource, Region, Sample


class Simulation(DatasetOptions):
    """What the simulated microscope is."""

    images: int = Field(default=40, ge=2, le=10_000)
    size: int = Field(default=256, ge=16, le=8192)
    """Height and width, pixels."""

    seed: int = Field(default=0, ge=0)
    wavelength: float = Field(default=0.52, gt=0)
    """Of the emitted light, micrometres."""

    numerical_aperture: float = Field(default=1.2, gt=0, le=1.7)
    pixel_size: float = Field(default=0.1, gt=0)
    """In the object, micrometres."""

    photon_rate: float = Field(default=2.0, gt=0)
    """Photons a pixel and millisecond where an object is brightest."""

    background: float = Field(default=0.1, ge=0)
    """Photons a pixel and millisecond where nothing is."""

    noisy_exposure: float = Field(default=10.0, gt=0)
    """Milliseconds."""

    clean_exposure: float = Field(default=1000.0, gt=0)
    """Milliseconds."""

    gain: float = Field(default=2.0, gt=0)
    """Camera counts a photon."""

    read_noise: float = Field(default=1.5, ge=0)
    """Standard deviation, photons."""

    offset: float = Field(default=100.0, ge=0)
    """Camera counts without light."""

    frames: int = Field(default=1, ge=1)
    """Noisy images of each field."""


class Simulated(SplitDataset):
    """``Simulation.images`` fields of view, nuclei and filaments in turn, each drawn when it is read.

    The images depend on ``Simulation.seed`` alone, not on that of the split.
    """

    options = Simulation

    def __init__(self, name: str, options: Simulation, *, test_fraction: float, seed: int) -> None:
        shape = (options.size, options.size)
        samples = []
        for number in range(options.images):
            field = f"field_{number:03d}_{('nuclei', 'filaments')[number % 2]}"
            streams = (1, *range(3, 2 + options.frames))
            noisy = tuple(_Drawn(shape, options, number, options.noisy_exposure, stream) for stream in streams)
            clean = _Drawn(shape, options, number, options.clean_exposure, stream=2)
            samples.append(Sample(field, field, "YX", shape, noisy, clean))
        source = DataSource(
            dtype="uint16",
            pixel_size=(options.pixel_size, options.pixel_size, "µm"),
            title="Simulated nuclei and filaments",
            licence="CC0-1.0",
        )
        super().__init__(name, source, samples, test_fraction=test_fraction, seed=seed)


def airy(simulation: Simulation) -> NDArray[np.float64]:
    """Return the Airy pattern on the pixel grid out to its fifth dark ring: odd, square, of sum 1."""
    from scipy.special import j1

    fifth_zero = 16.4706  # of the Bessel function J1
    wavenumber = 2 * np.pi * simulation.numerical_aperture / simulation.wavelength
    radius = int(np.clip(np.ceil(fifth_zero / wavenumber / simulation.pixel_size), 1, simulation.size // 2))
    along = np.arange(-radius, radius + 1) * simulation.pixel_size
    v = wavenumber * np.hypot(along[:, None], along[None, :])
    v[radius, radius] = 1.0  # the limit there is set below
    pattern = (2 * j1(v) / v) ** 2
    pattern[radius, radius] = 1.0
    return np.asarray(pattern / pattern.sum())


@lru_cache(maxsize=64)
def _light(simulation: Simulation, number: int) -> NDArray[np.float64]:
    """Photons a pixel and millisecond behind the objective."""
    from scipy.signal import fftconvolve

    kernel = airy(simulation)
    margin = kernel.shape[0] // 2
    rng = np.random.default_rng([simulation.seed, number, 0])
    draw = (_nuclei, _filaments)[number % 2]
    blurred = np.maximum(fftconvolve(draw(rng, simulation.size + 2 * margin), kernel, mode="valid"), 0)
    light: NDArray[np.float64] = blurred * (simulation.photon_rate / max(float(blurred.max()), 1e-9))
    return light + simulation.background


@dataclass(frozen=True)
class _Drawn:
    """What the camera takes of one field of view; see ``training.data.sample.Source``."""

    shape: tuple[int, ...]
    simulation: Simulation
    number: int
    exposure: float
    stream: int
    """Of the random numbers: each image of a field has its own."""

    dtype = np.dtype(np.uint16)

    def read(self, region: Region | None = None) -> NDArray[np.uint16]:
        """Return the counts."""
        counts = _counts(self)
        return counts if region is None else counts[region]


@lru_cache(maxsize=128)
def _counts(drawn: _Drawn) -> NDArray[np.uint16]:
    simulation = drawn.simulation
    rng = np.random.default_rng([simulation.seed, drawn.number, drawn.stream])
    light = _light(simulation, drawn.number)
    photons = rng.poisson(light * drawn.exposure) + rng.normal(0, simulation.read_noise, light.shape)
    counts = np.rint(simulation.offset + simulation.gain * photons)
    return np.clip(counts, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _nuclei(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Ellipses with granular chromatin and darker nucleoli."""
    from scipy.ndimage import gaussian_filter

    canvas = np.zeros((size, size))
    rows, columns = np.mgrid[:size, :size].astype(float)
    grains = gaussian_filter(rng.normal(size=(size, size)), 2)
    texture = np.clip(1 + 0.35 * grains / grains.std(), 0.2, None)
    for _ in range(max(2, round(size**2 / 4500))):
        centre, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        axes = rng.uniform(14, 26, 2)
        along = (rows - centre[0]) * np.cos(angle) + (columns - centre[1]) * np.sin(angle)
        across = (columns - centre[1]) * np.cos(angle) - (rows - centre[0]) * np.sin(angle)
        inside = np.hypot(along / axes[0], across / axes[1])
        body = rng.uniform(0.4, 1.0) / (1 + np.exp(np.clip((inside - 1) * 20, -50, 50))) * texture
        for _ in range(rng.integers(1, 4)):
            spot = rng.uniform(-0.5, 0.5, 2) * axes
            hole = np.hypot(along - spot[0], across - spot[1]) / rng.uniform(2, 4)
            body *= 1 - 0.7 * np.exp(-(hole**2))
        canvas = np.maximum(canvas, body)
    return canvas


def _filaments(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Curves of slowly turning direction, laid down in half-pixel steps with bilinear weights."""
    canvas = np.zeros((size + 2, size + 2))
    steps = 4 * size
    for _ in range(max(4, size // 7)):
        turns = np.cumsum(rng.normal(0, 0.012, steps)) + rng.uniform(0, 2 * np.pi)
        path = rng.uniform(0, size, 2)[:, None] + 0.5 * np.cumsum([np.sin(turns), np.cos(turns)], axis=1)
        path = path[:, ((path >= 0) & (path < size)).all(axis=0)]
        corner = path.astype(int)
        rest = path - corner
        brightness = rng.uniform(0.3, 1.0)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = np.abs(1 - down - rest[0]) * np.abs(1 - right - rest[1])
            np.add.at(canvas, (corner[0] + down, corner[1] + right), brightness * weight)
    return np.minimum(canvas[:size, :size], 4.0)


DATASETS = {"simulated": Simulated}
