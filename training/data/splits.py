"""Which samples train, which choose the best epoch, which only test: whole fields of view, always the same ones."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from training.data.sample import Sample
from training.errors import DataError

_MARKER = re.compile(
    r"(?<![a-z])(?:timestamp|timepoint|time|frame|slice|plane|depth|channel|ch|capture|repeat|rep|number|avg|[tzc])"
    r"[ _-]?\d+",
    re.IGNORECASE,
)
_REPEAT = re.compile(r"(?<![a-z])(?:timestamp|timepoint|time|frame|capture|repeat|rep|t)[ _-]?\d+", re.IGNORECASE)
VALIDATION_FRACTION = 0.1
_SHORTEST = 32  # pixels of a single image that choose the best epoch


@dataclass(frozen=True)
class Split:
    """Samples by their use, and what the user should know about the split (a line or none)."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    warning: str | None = None


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key by which numbers sort by value.

    Examples
    --------
    >>> sorted(["fov_10", "fov_9"], key=natural)
    ['fov_9', 'fov_10']
    """
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def field_of(stem: str) -> str:
    """Return the field of view of a file name: the name without its time, depth, channel and repeat.

    Examples
    --------
    >>> field_of("fov_007_t03_z2"), field_of("pos1t2"), field_of("cell_12")
    ('fov_007', 'pos1', 'cell_12')
    """
    return _without(_MARKER, stem)


def place_of(stem: str) -> str:
    """Return what the names of several frames of one place share: the name without its time and repeat.

    Examples
    --------
    >>> place_of("fov_007_t03_z2"), place_of("rep2_cell_12")
    ('fov_007_z2', 'cell_12')
    """
    return _without(_REPEAT, stem)


def _without(marker: re.Pattern[str], stem: str) -> str:
    return re.sub(r"[ _.-]{2,}", "_", marker.sub("", stem)).strip(" _.-")


def split(
    samples: Sequence[Sample], *, where: str, test_fraction: float, seed: int, tests: Collection[str] = ()
) -> Split:
    """Split samples by field of view.

    Of n fields, in natural order of their names, those from ``int((1 - test_fraction) * n)`` on test; a tenth of the
    others, drawn with ``seed``, validates. Each part gets at least one image. Where there are fewer than three fields,
    the planes are split instead, in blocks, since neighbours in time or depth are alike.

    ``tests`` are the fields that test as published, instead of a fraction, where some are there and others too.

    Where some fields have a clean image and others have none, those judge and these train: the first half of the former
    validates, the second half tests. A single one validates, and of the others, split as above, some test.

    The samples are in the order in which they were taken; ``where`` is what they are of, for the ``UserError`` where
    there is but one. One without a clean image is cut instead: a fifth of it validates and tests.
    """
    if len(samples) == 1 and samples[0].clean is None:
        return _of_one(samples[0])
    if len(samples) < 2:
        raise DataError(f"{where}: one image only: training, validation and test need three pairs or more; add images")
    fields: dict[str, list[Sample]] = {}
    for sample in samples:
        fields.setdefault(sample.field, []).append(sample)
    judging = [name for name in sorted(fields, key=natural) if any(sample.clean for sample in fields[name])]
    if judging and any(sample.clean is None for sample in samples):
        others = [sample for sample in samples if sample.field not in judging]
        if others:
            return _judged([fields[name] for name in judging], others, test_fraction)
    held = tuple(sample for sample in samples if sample.field in tests)
    if len(held) == len(samples):
        held = ()
    names = [name for name in sorted(fields, key=natural) if not held or name not in tests]
    by_field = len(names) + bool(held) >= 3
    units = [fields[name] for name in names] if by_field else [[one] for one in samples if one.field in names]
    if held:
        rest, test = units, held
    else:
        start = int((1 - test_fraction) * len(units) + 1e-9)  # 0.7 * 10 is 6.999...
        start = min(max(start, min(2, len(units) - 1)), len(units) - 1)
        rest, test = units[:start], tuple(chain(*units[start:]))
    if len(rest) == 1:
        one = tuple(rest[0])
        return Split(one, one, test, "two images only: the one that trains also chooses the best epoch")
    drawn = max(1, round(VALIDATION_FRACTION * len(rest)))
    if by_field:
        chosen, warning = set(np.random.default_rng(seed).choice(len(rest), drawn, replace=False).tolist()), None
    else:
        known, chosen = "one field" if len(names) == 1 else "two fields", set(range(len(rest) - drawn, len(rest)))
        warning = f"names and axes show {known} of view: {len(units)} planes in blocks make the split, tests tell less"
    train = chain(*(unit for number, unit in enumerate(rest) if number not in chosen))
    return Split(tuple(train), tuple(chain(*(rest[number] for number in sorted(chosen)))), test, warning)


def _of_one(sample: Sample) -> Split:
    """Return the split of a single noisy image: along its longest axis, or of a short one all of it for each part."""
    along = int(np.argmax(sample.shape))
    length = sample.shape[along]
    start = length * 4 // 5
    if length - start < _SHORTEST:
        return Split((sample,), (sample,), (sample,), "one small image only: it also chooses the best epoch")
    whole = [slice(0, side) for side in sample.shape]
    learnt, judged = (
        sample.crop(f"{sample.name}_{part}", (*whole[:along], slice(first, last), *whole[along + 1 :]))
        for part, first, last in (("learnt", 0, start), ("judged", start, length))
    )
    told = "one image only: four fifths of it train, a patch an epoch, the rest chooses the best; give more `epochs`"
    return Split((learnt,), (judged,), (judged,), told)


def _judged(judges: Sequence[Sequence[Sample]], others: Sequence[Sample], test_fraction: float) -> Split:
    """Return the split in which the fields with a clean image judge what the others train."""
    half = -(-len(judges) // 2)
    validation, test = (tuple(sample for field in part for sample in field if sample.clean is not None)
                        for part in (judges[:half], judges[half:]))  # fmt: skip
    if test or len(others) == 1:
        return Split(tuple(others), validation, test or validation)
    kept = max(1, len(others) - max(1, round(test_fraction * len(others))))
    return Split(tuple(others[:kept]), validation, tuple(others[kept:]))
