"""The data sets, a file each with its own options: found by looking into this folder, others are registered.

A file holds ``DATASETS``, which are its classes by the names that open them; see ``DatasetClass``.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

from training.data.options import DatasetOptions
from training.data.sample import ImageDataset


class DatasetClass(Protocol):
    """What opens a data set of one or several names."""

    options: type[DatasetOptions]
    """The class of its options."""

    def __call__(self, name: str, options: Any, *, test_fraction: float, seed: int) -> ImageDataset:  # noqa: ANN401
        """Open it under a name, with ``options`` of its own class, and split it as ``splits.split`` does."""


DATASETS: dict[str, DatasetClass] = {}
"""What ``dataset`` may say."""


def register(name: str, dataset: DatasetClass) -> None:
    """Add a data set that lies elsewhere; a name that is taken raises ``ValueError``.

    Examples
    --------
    >>> from training.data.sets.simulated import Simulated
    >>> register("mine", Simulated)
    >>> DATASETS.pop("mine").options.__name__
    'Simulation'
    """
    if name in DATASETS:
        raise ValueError(f"there is a data set {name} already")
    DATASETS[name] = dataset


for _found in iter_modules(__path__):
    for _name, _dataset in import_module(f"{__name__}.{_found.name}").DATASETS.items():
        register(_name, _dataset)
