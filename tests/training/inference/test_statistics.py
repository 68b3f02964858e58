"""What an image holds, and what is said of images unlike those of training."""

import numpy as np
import pytest
import xarray as xr

from training.inference.statistics import ImageStatistics, image_statistics


class Seen:
    """Figures of training images."""

    low, high, noise = 100.0, 1100.0, 20.0
    noise_range: tuple[float, float] | None = None


def test_an_image_is_read_plane_by_plane():
    noisy = np.random.default_rng(0).normal(500, 20, (12, 128, 128)).astype("uint16")
    seen = image_statistics(xr.DataArray(noisy, dims=("Z", "Y", "X")))
    assert seen.noise == pytest.approx(20, rel=0.05)
    assert seen.low == pytest.approx(500 - 3.09 * 20, abs=2)
    assert seen.high == pytest.approx(500 + 3.09 * 20, abs=2)
    assert image_statistics(np.zeros((4, 4))).noise is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (ImageStatistics(120, 1000, 20), []),
        (ImageStatistics(120, 1190, 29), []),
        (ImageStatistics(120, 5000, 20), ["intensities 120 to 5000 reach beyond those of training, 100 to 1100"]),
        (ImageStatistics(-300, 900, 20), ["intensities -300 to 900 reach beyond"]),
        (ImageStatistics(0, 1, None), ["intensities 0 to 1 lie at the low end"]),
        (ImageStatistics(120, 1000, 50), ["noise of standard deviation 50 is 2.5 times that of training, 20"]),
        (
            ImageStatistics(0.1, 1, 0.02),
            ["intensities 0.1 to 1 lie at the low end", "noise of standard deviation 0.02 is 0.001 times"],
        ),
    ],
)
def test_what_lies_beyond_training_is_said_with_the_figures(seen, words):
    found = seen.differences(Seen())
    assert len(found) == len(words)
    for sentence, start in zip(found, words, strict=True):
        assert sentence.startswith(start)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (59, []),
        (7, []),
        (80, ["noise of standard deviation 80 is 2 times that of training, 10 to 40"]),
        (5, ["noise of standard deviation 5 is 0.5 times that of training, 10 to 40"]),
        (0, ["no noise can be seen in it, unlike those of training, 10 to 40"]),
    ],
)
def test_noise_is_compared_with_all_training_images_where_their_range_is_known(noise, words):
    seen = Seen()
    seen.noise_range = (10.0, 40.0)
    assert ImageStatistics(120, 1000, noise).differences(seen) == words
