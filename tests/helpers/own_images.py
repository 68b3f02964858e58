"""A user's own images on disk, and the data set of them."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from training.data import DataSettings, open_dataset
from training.errors import UserError

RNG = np.random.default_rng(0)


def picture(shape=(24, 20), dtype="u2"):
    return RNG.integers(10, 200, shape).astype(dtype)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="minisblack", **options)


def folders(tmp_path, names, noisy="{}.tif", clean="{}.tif", **options):
    for name in names:
        save(tmp_path / "noisy" / noisy.format(name), picture(**options))
        save(tmp_path / "clean" / clean.format(name), picture(**options))
    return tmp_path / "noisy", tmp_path / "clean"


def own(noisy, clean, *, test_fraction=0.1, seed=0, **settings):
    return open_dataset(DataSettings(noisy=noisy, clean=clean, **settings), test_fraction=test_fraction, seed=seed)


def names(pairs):
    return [pair.name for pair in pairs]


def every(data):
    return [*data.train, *data.validation, *data.test]


def refused(told, **settings):
    with pytest.raises(UserError, match=told) as caught:
        open_dataset(DataSettings(**settings), test_fraction=0.1, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)
