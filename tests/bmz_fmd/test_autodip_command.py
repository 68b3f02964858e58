"""``bmz-fmd autodip`` as it is typed."""

import json

import numpy as np
import pytest
import tifffile
from helpers.command_line import bmz_fmd, snapshot
from helpers.small_stack import stack

import bmz_fmd as interface
from training.errors import UserError
from training.images import open_image
from training.util.progress import Listener

BY_HAND = ("--depth", 2, "--width", 4, "--skip", 2, "--iterations", 4)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_images_come_out_with_axes_type_and_pixel_size_and_how_they_were_made(place):
    stack(place / "cells.tif", shape=(2, 2, 24, 28), axes="ZCYX")
    ended = bmz_fmd("autodip", "cells.tif", "--out", "out", *BY_HAND, "--seed", 3)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "depth 2, width 4, skip 2, 4 iterations: set by hand",
        "1 image denoised into out",
    ]
    before, after = open_image("cells.tif"), open_image("out/cells.tif")
    assert (after.dims, after.shape, after.dtype) == (before.dims, before.shape, before.dtype)
    assert after.attrs["resolution"] == before.attrs["resolution"]
    how = json.loads((place / "out" / "cells.autodip.json").read_text())
    assert how["settings"]["seed"] == 3
    assert {"input_sha256", "versions", "configurations", "created"} <= how.keys()
    assert (place / "out" / "cells.autodip.png").is_file()


def test_given_again_it_goes_on_and_another_setting_is_another_result(place):
    (place / "in").mkdir()
    for name in ("a.tif", "b.tif"):
        stack(place / "in" / name, shape=(1, 24, 24))
    words = ("autodip", "in", "--out", "out", *BY_HAND)
    assert bmz_fmd(*words).code == 0
    (place / "out" / "b.tif").unlink()
    before = snapshot(place / "out")
    again = bmz_fmd(*words)
    assert again.out.endswith("1 image denoised into out\n")
    assert "1 image denoised so before" in again.err
    after = snapshot(place / "out")
    assert all(after[name] == content for name, content in before.items() if name.suffix == ".tif")
    assert bmz_fmd(*words).out == "all results in out are kept: nothing was left to denoise\n"
    refused = bmz_fmd(*words, "--seed", 1)
    assert refused.code == 2
    assert "exists and is no finished result" in refused.message
    assert bmz_fmd(*words, "--seed", 1, "--overwrite").code == 0


def test_the_same_seed_gives_the_same_pixels_also_with_a_picture_while_it_runs(place):
    stack(place / "cells.tif", shape=(1, 24, 24))
    words = ("autodip", "cells.tif", "--float", "--depth", 1, "--width", 4, "--skip", 2, "--iterations", 100)
    assert bmz_fmd(*words, "--out", "a", "--preview").code == 0
    assert bmz_fmd(*words, "--out", "b").code == 0
    np.testing.assert_array_equal(tifffile.imread("a/cells.tif"), tifffile.imread("b/cells.tif"))


def test_one_channel_is_denoised_and_the_others_copied(place):
    stack(place / "cells.tif", shape=(2, 24, 24), axes="CYX")
    assert bmz_fmd("autodip", "cells.tif", "--out", "out", "--channel", 1, *BY_HAND).code == 0
    before, after = tifffile.imread("cells.tif"), tifffile.imread("out/cells.tif")
    np.testing.assert_array_equal(after[0], before[0])
    assert (after[1] != before[1]).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "cells.tif: 24 x 28 pixels are too few for depth 8, which halves the image 8 times; the largest depth "
             "that fits is 4: set --depth 4 or less"),
        (("--microscope", "spinning"), "--microscope spinning: unknown; choose from confocal, twophoton, widefield"),
        (("--metric", "msee"), "--metric msee: unknown; did you mean mse?"),
        (("--calibration", "no.csv"), "no.csv is no table of"),
        (("--width", "wide"), "--width wide: give a number of channels, or asc_to512"),
        (("--width", "0"), "--width 0: give a number of channels, or asc_to512"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_and_nothing_is_written(place, words, message):
    stack(place / "cells.tif", shape=(24, 28), axes="YX")
    ended = bmz_fmd("autodip", "cells.tif", "--out", "out", *words)
    assert ended.code == 2
    assert message in ended.message
    assert not (place / "out").exists()


def test_the_published_group_is_named_and_a_depth_that_fits_can_be_set(place):
    stack(place / "cells.tif", shape=(1, 24, 24))
    words = ("--microscope", "widefield", "--specimen", "actin", "--depth", 2, "--iterations", 2)
    ended = bmz_fmd("autodip", "cells.tif", "--out", "out", *words)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == (
        "depth 2, width 32, skip 4, 2 iterations: AUTO-DIP's for widefield and actin, best for lpips_psnr; depth, "
        "iterations set by hand"
    )


def test_help_names_both_commands():
    shown = bmz_fmd("autodip", "--help")
    assert shown.code == 0
    assert "denoise" in shown.out
    assert "calibrate" in shown.out


def test_in_python_it_gives_the_pixels_of_the_command_and_says_why(place):
    stack(place / "cells.tif", shape=(2, 24, 24))
    assert bmz_fmd("autodip", "cells.tif", "--out", "out", *BY_HAND, "--seed", 3, "--float").code == 0
    notes, warned = [], []
    listener = Listener(note=notes.append, warn=warned.append)
    settings = {"depth": 2, "width": 4, "skip": 2, "seed": 3}
    result = interface.autodip("cells.tif", iterations=4, **settings, listener=listener)
    np.testing.assert_array_equal(result.squeeze(), tifffile.imread("out/cells.tif"))
    assert notes == ["depth 2, width 4, skip 2, 4 iterations: set by hand"]
    image = tifffile.imread("cells.tif")
    np.testing.assert_array_equal(interface.autodip(image, iterations=4, **settings), result.squeeze())
    with pytest.raises(UserError, match="`depth` 0: give a whole number from 1 to 10"):
        interface.autodip(image, **settings | {"depth": 0}, listener=listener)
    with pytest.raises(UserError, match="the image: 24 x 24 pixels are too few for depth 8"):
        interface.autodip(image, microscope="widefield", listener=listener)
    assert warned[0].startswith("the image is small")
