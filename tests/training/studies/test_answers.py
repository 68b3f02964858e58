"""What a study's report says in words: gains with their intervals, and what more pairs would bring."""

import numpy as np
import pytest

from training.evaluation.comparison import Gain
from training.studies.report.answers import Compared, _advice, difference


def gained(mean, low, high):
    return Gain(mean=mean, low=low, high=high, p=None, images=8, fields=8)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (gained(1.234, 0.9, 1.5), "+1.2 [+0.9, +1.5]"),
        (gained(0.213, 0.141, 0.297), "+0.21 [+0.14, +0.30]"),
        (gained(-0.01, -0.2, 0.3), "0.0 [-0.2, +0.3]"),
        (gained(3.2, None, None), "+3.2"),
    ],
)
def test_a_gain_has_as_many_digits_as_its_interval_bears(gain, said):
    assert difference(gain).lstrip("+") == said.lstrip("+")


@pytest.mark.parametrize(
    ("gain", "ending"),
    [
        (gained(1.2, 0.9, 1.5), "is +1.2 [+0.9, +1.5] dB against bm3d."),
        (gained(0.1, -0.2, 0.4), "dB against bm3d: no difference is certain."),
        (gained(0.0, 0.0, 0.0), "DnCNN and bm3d gave the same images."),
        (gained(0.5, None, None), "8 fields are too few to say how sure that is."),
    ],
)
def test_a_comparison_says_how_sure_it_is(gain, ending):
    assert Compared("", "cells", "DnCNN", "bm3d", gain).sentence().endswith(ending)


def test_what_more_pairs_bring_follows_a_law_that_levels_off():
    pairs, rng = (1, 2, 4, 8, 16), np.random.default_rng(0)
    means = 32 - 4 * np.array(pairs, float) ** -0.5
    said = _advice(pairs, means[:, None] + rng.normal(0, 0.01, (5, 12)), "DnCNN on cells")
    assert said.startswith("DnCNN on cells: 16 more pairs would gain about 0.3 dB [0.")


def test_three_numbers_of_pairs_are_too_few_for_advice():
    assert "too few to say what more would bring" in _advice((1, 2, 4), np.ones((3, 5)), "DnCNN on cells")
