"""Stopping without a clean image: by the variance of the results over a window of iterations."""

import numpy as np

from training.prior.configuration import Configuration
from training.prior.fitting import Options, fit
from training.prior.stopping import Iteration, MovingVariance


def test_the_variance_is_that_of_the_last_results_and_the_least_is_chosen():
    rng = np.random.default_rng(0)
    steps = [1.0] * 10 + [0.1] * 10 + [1.0] * 30
    images = [0.5 + step * rng.normal(size=(6, 5)).astype(np.float32) for step in steps]
    rule = MovingVariance(window=5, patience=12)
    ended = next(n for n, image in enumerate(images, 1) if rule.ended(Iteration(n, 0.0, image)))
    variances = {n: np.var(images[n - 5 : n], axis=0).sum() for n in range(5, ended + 1)}
    assert rule.best.number == min(variances, key=variances.get)
    assert ended == rule.best.number + 12
    np.testing.assert_array_equal(rule.best.image, images[rule.best.number - 1])


def test_a_fit_that_stops_gives_the_chosen_iterate():
    image = np.random.default_rng(0).uniform(0, 1, (16, 16)).astype(np.float32)
    configuration = Configuration(depth=1, width=4, skip=2, iterations=130)
    seen = {}
    chosen = fit(
        image, configuration, seed=0, options=Options(stop=True), every=1, watch=lambda it: seen.update({it.number: it})
    )
    assert 100 <= chosen.number <= 130
    np.testing.assert_array_equal(chosen.image, seen[chosen.number].image)
