"""Pairs as 3D-RCAN and CARE lay them out: two folders of stacks, which belong together in the order of their names.

Chen J et al., Nature Methods 18, 678 (2021), doi 10.1038/s41592-021-01155-x: ``raw/*.tif`` and ``gt/*.tif``. Weigert M
et al., Nature Methods 15, 1090 (2018), doi 10.1038/s41592-018-0216-7: ``low/*.tif`` and ``GT/*.tif``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.dataset import SplitDataset, check_alike, check_values, source_of
from training.data.options import DatasetOptions, Location
from training.data.published import Part, Published, data_folder
from training.data.sample import Sample
from training.errors import DataError
from training.images import open_image, source_in

_FOLDERS = (("raw", "gt"), ("low", "GT"))


class PairsOptions(DatasetOptions):
    """Where the two folders lie."""

    data: Location | None = None
    """The folder that holds ``raw`` and ``gt``, or ``low`` and ``GT``."""


class Pairs(SplitDataset):
    """Each plane of a stack is an image (networks are planar today), and the stack is their field."""

    options = PairsOptions
    published = Published(
        title="Pairs as 3D-RCAN and CARE lay them out",
        citation="Chen J, Sasaki H, Lai H, et al. Three-dimensional residual channel attention networks denoise and "
        "sharpen fluorescence microscopy image volumes. Nature Methods 18, 678-687 (2021)",
        doi="10.1038/s41592-021-01155-x",
        address="https://doi.org/10.5281/zenodo.4624364",
        images="pairs of stacks, of any number and size",
        layout="raw/*.tif and gt/*.tif, or low/*.tif and GT/*.tif, as many of each",
        size="521 GB, all of 3D-RCAN's",
    )

    def __init__(self, name: str, options: PairsOptions, *, test_fraction: float, seed: int) -> None:
        root = data_folder(name, options.data, self.published)
        noisy, clean = _stacks(root)
        if not noisy or len(noisy) != len(clean):
            raise DataError(
                f"{root} holds {len(noisy)} noisy and {len(clean)} clean stacks: put as many *.tif into raw as into gt "
                "(or into low and GT); they belong together in the order of their names"
            )
        samples = []
        for low, high in zip(noisy, clean, strict=True):
            images = [open_image(path) for path in (low, high)]
            check_alike(*images)
            for image in images:
                check_values(image)
            planes = zip(*(np.ndindex(image.shape[:-2]) for image in images), strict=True)
            for number, indices in enumerate(planes):
                sources = [
                    source_in(image, "YX", **dict(zip(map(str, image.dims), index, strict=False)))
                    for image, index in zip(images, indices, strict=True)
                ]
                called = f"{low.stem}_{number:03d}"
                samples.append(Sample(called, low.stem, "YX", sources[0].shape, (sources[0],), sources[1]))
        super().__init__(
            name,
            source_of(open_image(noisy[0])),
            samples,
            {path.relative_to(root).as_posix(): path for path in (*noisy, *clean)},
            test_fraction=test_fraction,
            seed=seed,
        )

    @staticmethod
    def inventory(name: str, folder: Path) -> list[Part]:
        """Return how many stacks are in each folder, of the larger number."""
        noisy, clean = _stacks(folder)
        most = max(len(noisy), len(clean), 1)
        return [
            Part(place, len(paths), most, "" if len(paths) == most else f"{most - len(paths)} stacks")
            for place, paths in (("raw or low", noisy), ("gt or GT", clean))
        ]


def _stacks(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the noisy and the clean files; on some disks gt and GT are one name."""
    for pair in _FOLDERS:
        if (root / pair[0]).is_dir():
            noisy, clean = (
                sorted(path for path in (root / place).glob("*") if path.suffix.lower() in (".tif", ".tiff"))
                for place in pair
            )
            return noisy, clean
    return [], []


DATASETS = {"pairs": Pairs}
