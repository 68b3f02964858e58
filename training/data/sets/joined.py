"""Several data sets as one: learned from together, and tested on another that nothing was learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from training.data.options import FOLDERS, DatasetOptions, check_options
from training.data.sample import ImageDataset, Sample
from training.errors import DataError


class JoinedOptions(DatasetOptions):
    """Which data sets: each as the options of its own, with its name as ``dataset``."""

    sets: list[dict[str, Any]] = Field(min_length=1)
    """They teach, and their validation images choose."""

    test: dict[str, Any]
    """Its test images test; none of its others are used."""


class Joined:
    """An ``ImageDataset`` of others; images of different cameras want ``statistics`` instance in the recipe."""

    options = JoinedOptions

    def __init__(self, name: str, options: JoinedOptions, *, test_fraction: float, seed: int) -> None:
        def opened(chosen: dict[str, Any]) -> tuple[str, ImageDataset]:
            from training.data.sets import DATASETS  # which this file is found by
            from training.util.text import unknown

            given = dict(chosen)
            called = given.pop("dataset", None) or FOLDERS
            if called not in DATASETS or called == name:
                known = [each for each in DATASETS if each != name]
                raise DataError(f"`dataset` {name}: {called}: {unknown(called, known)}")
            found = DATASETS[called]
            checked = check_options(found.options, given, called)
            return called, found(called, checked, test_fraction=test_fraction, seed=seed)

        self.name = name
        self._parts = [opened(chosen) for chosen in options.sets]
        self._tested = opened(options.test)
        self.source = self._parts[0][1].source
        numbered = list(enumerate(self._parts))
        self.train: Sequence[Sample] = [
            _called(number, called, sample) for number, (called, part) in numbered for sample in part.train
        ]
        self.validation: Sequence[Sample] = [
            _called(number, called, sample) for number, (called, part) in numbered for sample in part.validation
        ]
        self.test: Sequence[Sample] = self._tested[1].test

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that is read, those of each data set below its number and name."""
        return {
            f"{number}-{called}/{path}": digest
            for number, (called, part) in enumerate([*self._parts, self._tested])
            for path, digest in part.hashes().items()
        }

    def warnings(self) -> list[str]:
        """Return those of each data set."""
        return [f"{called}: {line}" for called, part in (*self._parts, self._tested) for line in part.warnings()]


def _called(number: int, dataset: str, sample: Sample) -> Sample:
    """Return a sample whose name and field are its own among those of several data sets."""
    first = f"{number}-{dataset}"
    return replace(sample, name=f"{first}_{sample.name}", field=f"{first}/{sample.field}")


DATASETS = {"joined": Joined}
