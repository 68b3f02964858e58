"""The picture of a judged image: written for any image, whatever could be measured."""

import numpy as np
import pytest
from helpers.oracle import scene
from PIL import Image

from training.evaluation.pictures import is_ours
from training.evaluation.trust import judge_result, judged_picture


def test_a_judged_image_is_drawn_with_its_maps_and_curves(tmp_path):
    sound = scene(0)
    faulty = sound.denoised.copy()
    faulty[40:46, 60:66] += 40
    judged_picture(judge_result("image", sound.noisy, faulty, denoise=sound.denoise), tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as picture:
        assert picture.width > 1500
    assert is_ours(tmp_path / "image.png")
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 40, 30), (700, 100)])
def test_images_of_any_shape_are_drawn(tmp_path, shape):
    noisy = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
    judged_picture(judge_result("image", noisy, np.full_like(noisy, 100)), tmp_path / "image.png")
    assert (tmp_path / "image.png").is_file()
