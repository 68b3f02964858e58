"""The losses, against formulas and scikit-image."""

import numpy as np
import pytest
import torch

from training.evaluation.metrics import ssim
from training.methods.losses import choose, structural_similarity


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 1, 20, 24, generator=generator)
    return clean + 0.1 * torch.randn(clean.shape, generator=generator), clean


def test_mae_and_mse_are_the_means_of_the_absolute_and_the_squared_error(images):
    denoised, clean = images
    assert choose("mae")(denoised, clean) == pytest.approx((denoised - clean).abs().mean().item())
    assert choose("mse")(denoised, clean) == pytest.approx(((denoised - clean) ** 2).mean().item())


@pytest.mark.parametrize("offset", [0, 40])
def test_the_structural_similarity_is_that_of_scikit_image_wherever_the_data_lie(images, offset):
    denoised, clean = (image + offset for image in images)
    expected = [ssim(c[0].numpy(), d[0].numpy(), data_range=1) for d, c in zip(denoised, clean, strict=True)]
    assert structural_similarity(denoised, clean) == pytest.approx(np.mean(expected), abs=2e-5)


def test_l1ssim_is_mae_with_a_weighted_structural_part(images):
    denoised, clean = images
    expected = choose("mae")(denoised, clean) + 7 * (1 - structural_similarity(denoised, clean))
    assert torch.isclose(choose("l1ssim", alpha=7)(denoised, clean), expected)


@pytest.mark.parametrize("name", ["mae", "mse", "l1ssim"])
def test_every_loss_leads_a_noisy_image_to_the_clean_one(images, name):
    denoised, clean = images
    denoised = denoised.clone().requires_grad_()
    loss = choose(name, alpha=1)
    optimizer = torch.optim.Adam([denoised], lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        loss(denoised, clean).backward()
        optimizer.step()
    assert (denoised - clean).abs().mean() < 0.03
