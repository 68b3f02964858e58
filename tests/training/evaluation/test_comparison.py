"""What a model gains over another denoiser on the same images: the interval, the test, and the words."""

import numpy as np
import pytest

from training.evaluation.comparison import gain

FIELDS = [f"field_{number}" for number in range(16)]


def differences(mean, spread=1.0, seed=0):
    return np.random.default_rng(seed).normal(mean, spread, len(FIELDS)).tolist()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (differences(2), "The model gains 1.7"),
        (differences(-2), "BM3D would have done better: the model's difference to it is -"),
        (differences(0), "BM3D would have done: no gain over it is certain"),
        (differences(2)[:3], "too few to say how sure that is"),
        ([float("nan")], "There is nothing to compare with BM3D"),
    ],
)
def test_the_verdict_follows_the_interval(values, words):
    assert words in gain(values, FIELDS[: len(values)]).sentence("BM3D")


@pytest.mark.parametrize("fields", [5, 16])
def test_the_interval_holds_the_truth_in_about_95_of_100_draws(fields):
    several = (gain(differences(1, seed=seed)[:fields], FIELDS[:fields]) for seed in range(200))
    assert 0.9 < np.mean([found.low <= 1 <= found.high for found in several]) < 0.99


def test_images_of_one_field_count_as_one():
    values = differences(0.3)
    apart = gain(values * 4, [f"{field}_{n}" for n in range(4) for field in FIELDS])
    together = gain(values * 4, FIELDS * 4)
    assert (together.images, together.fields) == (64, 16)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    assert together.p == pytest.approx(gain(values, FIELDS).p)


def test_a_test_needs_six_fields_and_leaves_out_what_has_no_score():
    assert gain(differences(1)[:5], FIELDS[:5]).p is None
    found = gain([*differences(1), float("nan")], [*FIELDS, "dead"])
    assert found.p < 0.05
    assert found.images == 16
    assert gain([0.0] * 16, FIELDS).p is None
