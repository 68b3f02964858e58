"""The deep image prior's network: its size, its formulation, and the images that it takes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from training.errors import UserError
from training.prior.configuration import Configuration
from training.prior.fitting import Fit, Options, fit, start
from training.prior.network import SkipNetwork

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "autodip_iteration.py"
NOISY = np.random.default_rng(0).uniform(0, 1, (24, 20)).astype(np.float32)
SMALL = Configuration(depth=2, width=8, skip=4, iterations=6)


def plainly():
    spec = importlib.util.spec_from_file_location("autodip_iteration", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plainly


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("depth", "width", "skip", "parameters"),
    [
        (6, 256, 4, 10_576_377), (4, 64, 0, 443_969), (8, 32, 4, 243_393), (5, 128, 4, 2_217_573),
        (4, 32, 4, 121_713), (8, 512, 4, 56_728_353), (8, "asc_to512", 4, 9_055_525), (8, 64, 4, 926_817),
    ],
)  # fmt: skip
def test_it_has_as_many_parameters_as_the_published_one(depth, width, skip, parameters):
    configuration = Configuration(depth=depth, width=width, skip=skip, iterations=1)
    with torch.device("meta"):
        network = SkipNetwork(configuration.widths, skip)
    assert sum(weights.numel() for weights in network.parameters()) == parameters


@pytest.mark.parametrize(("shape", "skip"), [((24, 20), 4), ((33, 47), 4), ((24, 16), 0)])
def test_it_computes_what_the_papers_write(double, shape, skip):
    network, noise = start(shape, Configuration(depth=3, width=8, skip=skip, iterations=1), seed=0)
    found = []
    for forward in (network, lambda given: plainly()(network, given)):
        network.zero_grad()
        image = forward(noise)
        (image**2).sum().backward()
        gradients = {name: weights.grad for name, weights in network.named_parameters()}
        found.append((image.detach(), gradients))
    (ours, ours_gradients), (plain, plain_gradients) = found
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    assert ours.shape == (1, 1, *shape)
    for name, gradient in plain_gradients.items():
        expected = torch.zeros_like(gradient) if ours_gradients[name] is None else ours_gradients[name]
        torch.testing.assert_close(expected, gradient, rtol=1e-8, atol=1e-10, msg=name)


def test_the_same_seed_gives_the_same_pixels_and_another_others():
    images = [fit(NOISY, SMALL, seed=seed).image for seed in (1, 1, 2)]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).max() > 1e-3


def test_the_random_numbers_of_others_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(NOISY, SMALL, seed=1, options=Options(input_noise=0.1))
    torch.testing.assert_close(torch.rand(3), expected)


def test_it_is_fitted_to_the_image():
    losses = []
    fit(NOISY, SMALL.model_copy(update={"iterations": 60}), seed=0, tell=lambda number, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_averaging_is_the_exponential_average_of_the_iterates():
    iterates, averaged = [], []
    fit(NOISY, SMALL, seed=0, every=1, watch=lambda iteration: iterates.append(iteration.image))
    fit(NOISY, SMALL, seed=0, options=Options(averaging=0.9), every=1, watch=lambda it: averaged.append(it.image))
    expected = iterates[0]
    for image in iterates[1:]:
        expected = 0.9 * expected + 0.1 * image
    np.testing.assert_allclose(averaged[-1], expected, atol=1e-6)


def test_noise_on_the_input_changes_the_result_and_has_a_seed():
    plain, noisy, again = (
        fit(NOISY, SMALL, seed=0, options=Options(input_noise=noise)).image for noise in (0, 1 / 30, 1 / 30)
    )
    np.testing.assert_array_equal(noisy, again)
    assert np.abs(plain - noisy).max() > 1e-3


def test_a_fit_that_breaks_goes_back_to_its_last_checkpoint():
    going = Fit(NOISY, SMALL, seed=0)
    for _ in range(199):
        going.step()
    with torch.no_grad():
        for weights in going._network.parameters():
            weights.mul_(0).add_(3)
    going.step()
    before = going.loss
    going.step()
    assert going.loss < before / 3


@pytest.mark.parametrize(("side", "largest"), [(1, 0), (2, 0), (3, 1), (64, 5), (65, 6), (128, 6), (512, 8), (513, 9)])
def test_the_largest_depth_that_is_named_fits_and_the_next_does_not(side, largest):
    assert Configuration.largest_depth((side, 600)) == largest
    image = np.zeros((side, max(side, 4)), np.float32)
    if 0 < largest < 7:
        Fit(image, Configuration(depth=largest, width=2, skip=2, iterations=1), seed=0).step()
    with pytest.raises(UserError, match=rf"the largest depth that fits is {largest}"):
        Fit(image, Configuration(depth=largest + 1, width=2, skip=2, iterations=1), seed=0)
