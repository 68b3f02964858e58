"""How many of the images that are scored the model was made with: scores of those say nothing about new images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from training.data.sample import Crop
from training.images import FileSource
from training.util.hashing import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from training.data import Sample


class Overlap(BaseModel):
    """Of the images that are scored, those whose noisy file is one of the model's own data set, by sha256."""

    model_config = ConfigDict(frozen=True)

    images: int
    """All that are scored."""

    train: int = 0
    validation: int = 0
    """Those that chose the model's best epoch."""

    test: int = 0
    unknown: int = 0
    """Those in its files under other names, so that it cannot be told which of the three."""

    def sentence(self) -> str:
        """Return in words what was found."""
        parts = {
            "trained the model": self.train,
            "chose its best epoch": self.validation,
            "are its test images": self.test,
            "are from its files under other names, so they may have trained it": self.unknown,
        }
        found = [f"{count} {what}" for what, count in parts.items() if count]
        if not found:
            return f"None of the {self.images} images is of the files that the model was made with (by sha256)"
        warning = "; scores of images from training say nothing about new ones"
        return (
            f"Of the {self.images} images {', '.join(found)} (by sha256){warning if self.train + self.unknown else ''}"
        )


def overlap(samples: Iterable[Sample], hashes: Mapping[str, str], splits: Mapping[str, Sequence[str]]) -> Overlap:
    """Compare the files of samples with those that a model was made with, its ``DataUsed``.

    ``hashes`` are by path, ``splits`` the names by part. Samples of no file count as new.
    """
    known = set(hashes.values())
    part_of = {name: part for part, names in splits.items() for name in names}
    read: dict[Path, bool] = {}
    found: Counter[str] = Counter()
    for sample in samples:
        found["images"] += 1
        source = sample.noisy[0]
        while isinstance(source, Crop):
            source = source.source
        if isinstance(source, FileSource):
            file = source.image.file
            if file not in read:
                read[file] = sha256(file) in known
            if read[file]:
                found[part_of.get(sample.name, "unknown")] += 1
    return Overlap(**{part: found[part] for part in Overlap.model_fields})
