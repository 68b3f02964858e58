"""What is cut from each image before anything else: the whole, its quarters, or the quarters of its middle."""

from collections.abc import Iterator

from training.data.sample import Sample
from training.errors import DataError

PREPARATIONS = {"whole": None, "quarter": 1024, "c-quarter": 2048}
"""Name to the height and width that it takes; ``quarter`` and ``c-quarter`` give four images of 512 x 512."""

_SIDE = 512


def prepare(sample: Sample, preparation: str, where: str) -> Iterator[Sample]:
    """Yield what is cut from a sample; the parts stay in its field of view.

    Parameters
    ----------
    sample
        Of whole planes.
    preparation
        A name of ``PREPARATIONS``.
    where
        What an error calls the images.

    Raises
    ------
    UserError
        Where the name is unknown, or the planes have not the size that it takes.
    """
    if preparation not in PREPARATIONS:
        raise DataError(f"`preparation` {preparation} is unknown: the names are {', '.join(PREPARATIONS)}")
    size = PREPARATIONS[preparation]
    if size is None:
        yield sample
        return
    if sample.shape != (size, size):
        held = " x ".join(map(str, sample.shape))
        raise DataError(f"`preparation` {preparation} takes images of {size} x {size}, {where} holds {held}: use whole")
    border = (size - 2 * _SIDE) // 2
    for number, corner in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), start=1):
        starts = [border + place * _SIDE for place in corner]
        yield sample.crop(f"{sample.name}_q{number}", tuple(slice(start, start + _SIDE) for start in starts))
