"""Values of a wrong kind given to the Python interface: one line that names the parameter and what to give."""

import numpy as np
import pytest
import xarray as xr

import bmz_fmd
from bmz_fmd.arrays import as_planes
from training.errors import UserError

IMAGE = np.ones((32, 32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bmz_fmd.load(3), "`model` is of type int: give a folder or a file"),
        (lambda: bmz_fmd.train(IMAGE, IMAGE), "`noisy` is an array: give a folder or a file"),
        (lambda: bmz_fmd.train(dataset=3), "dataset=3: text is wanted"),
        (lambda: bmz_fmd.train(dataset="simulated", options=[1]), "`options` is of type list: give a dict"),
        (lambda: bmz_fmd.train(dataset="simulated", epochs="two"), "epochs='two': a whole number is wanted"),
        (lambda: bmz_fmd.evaluate("runs/a", convention="foo"), "`convention` foo: choose from raw, affine"),
        (lambda: bmz_fmd.check(3), "`package` is of type int"),
        (lambda: as_planes("a.tif"), "give an array; bmz_fmd.denoise(path, model) reads files"),
        (lambda: as_planes(np.ma.masked_equal(IMAGE, 0)), "masked array"),
        (lambda: as_planes(IMAGE * 1e200), "beyond float32: scale the image"),
        (lambda: as_planes(xr.Dataset({"cells": (("y", "x"), IMAGE)})), "one of its variables, cells"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_in_one_line(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        call()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())
