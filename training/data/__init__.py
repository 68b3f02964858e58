"""Data sets: each gives noisy and clean planes, split for training, validation and test.

A new data set is a file with a class that is an ``ImageDataset``, and its line in ``DATASETS``.
"""

import difflib
from collections.abc import Callable

from training.data.sample import ImageDataset, Sample
from training.data.sets.hagen import NAMES as HAGEN
from training.data.sets.hagen import HagenStacks
from training.data.sets.own import OwnPairs
from training.data.sets.simulated import Simulated
from training.data.settings import DataSettings
from training.errors import DataError

__all__ = ["DATASETS", "DataSettings", "ImageDataset", "Sample", "open_dataset"]

DATASETS: dict[str, Callable[..., ImageDataset]] = {
    "simulated": Simulated,
    **dict.fromkeys(HAGEN, HagenStacks),
}
"""What ```dataset``` may say; each is called as ``(settings, test_fraction=..., seed=...)``."""


def open_dataset(settings: DataSettings, *, test_fraction: float, seed: int) -> ImageDataset:
    """Open the data set that the settings name, and split it.

    Parameters
    ----------
    settings
        Where the pairs come from.
    test_fraction
        Share of the fields of view that tests, above 0 and below 1; 0.1 is the published split of the Hagen stacks.
    seed
        Of the draw of the validation images.

    Raises
    ------
    UserError
        Where the settings contradict each other, or the files do not make pairs.
    """
    if settings.dataset is None:
        if settings.noisy is not None or settings.clean is not None:
            return OwnPairs(settings, test_fraction=test_fraction, seed=seed)
        raise DataError("nothing to train on: give `dataset` NAME, or `noisy` DIR and `clean` DIR")
    if settings.dataset not in DATASETS:
        near = difflib.get_close_matches(settings.dataset, DATASETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise DataError(f"`dataset` {settings.dataset} is unknown: {hint}the names are {', '.join(DATASETS)}")
    return DATASETS[settings.dataset](settings, test_fraction=test_fraction, seed=seed)
