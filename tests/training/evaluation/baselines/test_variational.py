"""The sparse variational method: what it minimises, and that it denoises."""

import numpy as np
import pytest
import torch

from training.evaluation.baselines.variational import Weights, coarsest, denoise_plane, split_bregman
from training.evaluation.metrics import psnr


def scene(side=64, noise=60, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    clean = 300 + 400 * np.exp(-((rows - side / 2 - 8 * np.sin(columns / 9)) ** 2) / 8)
    return rng.normal(clean, noise).astype(np.float32), clean.astype(np.float32)


def cost(image, found, weights):
    """What is minimised, written with differences of neighbours."""
    across, along = (lambda g: g - torch.roll(g, 1, 0)), (lambda g: g - torch.roll(g, 1, 1))
    second = [torch.roll(found, 1, axis) - 2 * found + torch.roll(found, -1, axis) for axis in (0, 1)]
    terms = [*second, 2 * across(along(found)), weights.sparsity * found]
    return weights.fidelity / 2 * ((image - found) ** 2).sum() + sum(term.abs().sum() for term in terms)


def test_it_finds_the_minimum():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(17, 20, generator=generator)
    weights = Weights(fidelity=8, sparsity=0.5, iterations=2000)
    found = split_bregman(image, weights)
    least = cost(image, found, weights)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(20):
            other = found + size * torch.randn(found.shape, generator=generator)
            assert cost(image, other, weights) > least - 1e-3
    assert cost(image, 0.9 * found, weights) > least
    assert cost(image, 1.1 * found, weights) > least


def test_it_denoises_and_keeps_the_images_units():
    noisy, clean = scene()
    denoised = denoise_plane(noisy, Weights(fidelity=20, sparsity=0.1))
    before, after = (psnr(clean, image, data_range=400) for image in (noisy, denoised))
    assert after > before + 5
    np.testing.assert_allclose(denoise_plane(noisy * 8 + 50, Weights(20, 0.1)), denoised * 8 + 50, rtol=1e-3)


def test_the_background_follows_slow_changes_and_no_objects():
    _, clean = scene(noise=0)
    slow = np.linspace(0, 300, 64, dtype=np.float32)[None] + np.zeros((64, 1), np.float32)
    background = coarsest(torch.from_numpy(clean - 300 + slow)).numpy()
    assert np.abs(background - slow).mean() < 60
    assert background.max() < 400


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 40), (40, 41)])
def test_images_of_any_size_are_taken(shape):
    noisy = np.random.default_rng(0).uniform(0, 9, shape).astype(np.float32)
    assert denoise_plane(noisy, Weights(iterations=3)).shape == shape
