"""Part of a data set's fields of view to learn from, or all of them, those for validation included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.sample import DataSource, ImageDataset, Sample
from training.errors import SettingError


@dataclass
class _Chosen:
    """An ``ImageDataset`` with other training images."""

    whole: ImageDataset
    train: Sequence[Sample]
    validation: Sequence[Sample]
    test: Sequence[Sample]
    name: str
    source: DataSource

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file of the whole data set."""
        return self.whole.hashes()

    def warnings(self) -> list[str]:
        """Return those of the whole data set."""
        return self.whole.warnings()


def choose(dataset: ImageDataset, *, pairs: int | None, validation: bool, seed: int) -> ImageDataset:
    """Return a data set with ``pairs`` of its training fields, or without ``validation`` with all that do not test.

    Fields are drawn by the seed, and the first n of more are the same n. Without ``validation`` the validation images
    stay what losses are written down of, though they are learned from.

    Raises
    ------
    UserError
        Where there are fewer fields than are asked for.
    """
    if pairs is None and validation:
        return dataset
    train = list(dataset.train) if validation else [*dataset.train, *dataset.validation]
    if pairs is not None:
        fields = list(dict.fromkeys(sample.field for sample in train))
        if pairs > len(fields):
            raise SettingError(f"`pairs`={pairs}: {dataset.name} has {len(fields)} fields to learn from; ask for fewer")
        drawn = {fields[int(number)] for number in np.random.default_rng([seed, 6]).permutation(len(fields))[:pairs]}
        train = [sample for sample in train if sample.field in drawn]
    return _Chosen(dataset, train, dataset.validation, dataset.test, dataset.name, dataset.source)
