"""Simulated images with an oracle in a denoiser's place: the truth, a little smoothed, with a little noise left."""

from functools import lru_cache

import numpy as np
from planted.results import Scene
from scipy.ndimage import gaussian_filter

from training.data.sets.simulated import Simulated, Simulation

SIZE = 160


@lru_cache(maxsize=4)
def samples(images=2, seed=7):
    """Return simulated samples, nuclei and filaments in turn."""
    dataset = Simulated("s", Simulation(images=max(images, 3), size=SIZE, seed=seed), test_fraction=0.3, seed=0)
    return sorted([*dataset.train, *dataset.validation, *dataset.test], key=lambda sample: sample.name)[:images]


def scene(number=0, seed=7):
    """Return a simulated image of nuclei (0) or filaments (1) with a sound result of it."""
    noisy, clean = samples(2, seed)[number].pair()
    clean = ((clean - 100) / 100 + 100).astype(np.float32)  # exposures of 1000 and 10 ms
    noise = np.sqrt(np.maximum(2 * (clean - 100) + (2 * 1.5) ** 2, 1))

    def denoise(image):
        """Give the truth for any turn of the image, in the units that it is shown in."""
        level = gaussian_filter(np.asarray(image, float), 2)
        turns = [(np.rot90(each, turn), turn) for each in (clean, clean[:, ::-1]) for turn in range(4)]
        truth = max((each for each, _ in turns), key=lambda each: np.corrcoef(each.ravel(), level.ravel())[0, 1])
        return np.asarray(0.95 * gaussian_filter(truth, 0.4) + 0.05 * image, np.float32)

    return Scene(noisy, denoise(noisy), noise, 100 - (2 * 1.5) ** 2 / 2, denoise, clean)
