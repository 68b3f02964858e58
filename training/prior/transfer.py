"""Which configuration an image gets: by its group, by the calibration image that is most like it, or both.

AUTO-DIP's rule: microscope and specimen known, the group's configuration; the microscope alone, that of the nearest
image of that microscope by LPIPS; the specimen alone, of the nearest by mean gradient; neither, of the nearest in an
embedding. The nearest image is looked for in a table of ``calibrate``; without one, the group as far as it is known
decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import SettingError
from training.prior import perceptual
from training.prior.configuration import Configuration
from training.prior.published import BestFor, microscope_group, published, specimen_group
from training.prior.similarity import Metric, distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.prior.tables import CalibrationTable

_BY_KNOWN: dict[tuple[bool, bool], Metric] = {
    (True, False): "lpips",
    (False, True): "gradient",
    (False, False): "embedding",
}


@dataclass(frozen=True)
class Choice:
    """A configuration, and in words why it was chosen."""

    configuration: Configuration
    reason: str

    def __str__(self) -> str:
        return f"{self.configuration}: {self.reason}"


def choose(
    image: NDArray[Any],
    *,
    microscope: str | None = None,
    specimen: str | None = None,
    metric: Metric | None = None,
    table: CalibrationTable | None = None,
    best_for: BestFor = "lpips_psnr",
) -> Choice:
    """Return the configuration for a noisy image.

    Parameters
    ----------
    image : ndarray, (Y, X)
        In any units.
    microscope, specimen : str, optional
        confocal, two-photon or widefield; actin, mito, nucleus. With a table, whatever its images are called.
    metric : str, optional
        Take the configuration of the nearest calibration image by it, within the group that is known.
    table : CalibrationTable, optional
        What ``calibrate`` wrote; without it the published groups.
    best_for : str
        Which of the published configurations.

    Raises
    ------
    UserError
        For a microscope that is not known, a metric without a table, or LPIPS without its weights.
    """
    if table is None:
        if metric is not None:
            raise SettingError(
                f"`metric` {metric} compares with calibration images, and AUTO-DIP's are not published as files: give "
                "the `calibration` that calibrate wrote, or leave it out"
            )
        return _published(microscope, specimen, best_for)
    groups = [name.lower() if name else "" for name in (microscope, specimen)]
    names = table.names(*groups)
    if not names:
        raise SettingError(
            f"`calibration`: the table has no image of {_words(*groups)}; calibrate such images too, or leave "
            "`calibration` out"
        )
    if metric is None and all(groups):
        return Choice(table.best(names), f"the best of your table over {len(names)} images of {_words(*groups)}")
    by = metric or _BY_KNOWN[bool(groups[0]), bool(groups[1])]
    instead = ""
    if metric is None and by == "lpips" and perceptual.lpips() is None:
        by, instead = "embedding", " (in place of lpips, whose weights are not here)"
    nearest = names[int(np.argmin(distances(unit_range(image), [table.images[name] for name in names], by)))]
    return Choice(table.best([nearest]), f"the best for {nearest}, the nearest of {_words(*groups)} by {by}{instead}")


def unit_range(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image scaled to 0 to 1 by its own minimum and maximum; zeros where it is constant."""
    values = np.asarray(image, np.float64)
    low, extent = values.min(), np.ptp(values)
    return np.asarray((values - low) / (extent if extent > 0 else 1), np.float32)


def _published(microscope: str | None, specimen: str | None, best_for: BestFor) -> Choice:
    groups = microscope_group(microscope), specimen_group(specimen)
    reason = f"AUTO-DIP's for {_words(*groups)}, best for {best_for}"
    if specimen is not None and not groups[1]:
        reason += f"; {specimen} is in none of its groups (actin, mito, nucleus)"
    return Choice(published(*groups, best_for), reason)


def _words(microscope: str, specimen: str) -> str:
    return f"{microscope or 'any microscope'} and {specimen or 'any specimen'}"
