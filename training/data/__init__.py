"""Data sets: each gives samples, split for training, validation and test. A new one is a file in ``sets``."""

from training.data.options import FOLDERS, check_options
from training.data.sample import ImageDataset, Sample
from training.data.sets import DATASETS, register
from training.data.settings import DataSettings
from training.errors import DataError
from training.util.text import unknown

__all__ = ["DATASETS", "DataSettings", "ImageDataset", "Sample", "open_dataset", "register"]


def open_dataset(settings: DataSettings, *, test_fraction: float, seed: int) -> ImageDataset:
    """Open the data set that the settings name, and split it.

    Parameters
    ----------
    test_fraction
        Share of the fields of view that tests, above 0 and below 1; 0.1 is the published split of the Hagen stacks.
    seed
        Of the draw of the validation images.

    Raises
    ------
    UserError
        Where no data set has that name, it cannot have these options, or its files do not fit together.
    """
    name = settings.dataset or FOLDERS
    if name not in DATASETS:
        raise DataError(f"`dataset` {name}: {unknown(name, list(DATASETS))}")
    if settings.dataset is None and not {"noisy", "clean"} & settings.options.keys():
        raise DataError(
            "nothing to train on: give `dataset` NAME, or `noisy` DIR, and `clean` DIR if there are clean images"
        )
    dataset = DATASETS[name]
    options = check_options(dataset.options, settings.options, settings.dataset)
    return dataset(name, options, test_fraction=test_fraction, seed=seed)
