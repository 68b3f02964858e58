"""Scores by their definition, whether intensities are kept, and whether structure is invented."""

import json
from dataclasses import replace
from functools import partial

import matplotlib.image
import numpy as np
import pytest
import tifffile
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.data import Sample
from training.errors import UserError
from training.evaluation.overlap import overlap
from training.evaluation.pictures import is_ours, residual_picture
from training.evaluation.residuals import correlation, deviation_map, largest_deviation
from training.evaluation.scoring import Evaluation, evaluate, images_to_show, is_result
from training.images import open_image, source_in
from training.inference.denoiser import Denoiser
from training.inference.files import check_replaceable
from training.inference.statistics import TrainedOn
from training.util.hashing import sha256

SHAPE = (96, 128)


def scene(seed=0):
    """A clean image in grey values of 40 to 200, and a noisy one with Poisson noise."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    clean = 120 + 80 * np.sin(x / 9 + seed) * np.cos(y / 7)
    return clean, np.random.default_rng(seed).poisson(clean).astype(np.float64)


def pair(seed=0, *, gain=1.0, shift=0.0):
    clean, noisy = scene(seed)
    return Sample.of_arrays(f"fov_{seed}", noisy, gain * clean + shift)


def denoiser(function):
    return Denoiser(function, halo=(0, 0), stride=(1, 1))


def perfect(seed=0):
    return denoiser(lambda batch: scene(seed)[0].astype(np.float32)[None, None] + 0 * batch)


is_evaluation = partial(is_result, of=Evaluation)
UNCHANGED = denoiser(lambda batch: batch)


def test_raw_scores_are_those_of_scikit_image():
    clean, noisy = scene()
    half = denoiser(lambda batch: (batch + 120) / 2)
    image = evaluate([pair()], half, convention="raw", data_range=255).images[0]
    expected = (noisy + 120) / 2
    assert image.psnr_noisy == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=255), abs=1e-4)
    assert image.psnr_denoised == pytest.approx(peak_signal_noise_ratio(clean, expected, data_range=255), abs=1e-4)
    assert image.ssim_noisy == pytest.approx(structural_similarity(clean, noisy, data_range=255), abs=1e-5)
    assert image.ssim_denoised == pytest.approx(structural_similarity(clean, expected, data_range=255), abs=1e-5)


def test_the_affine_convention_forgives_exposure_to_noisy_and_denoised_alike():
    doubled = denoiser(lambda batch: 2 * batch + 10)
    image = evaluate([pair(gain=0.1, shift=7)], doubled, convention="affine", data_range=25.5).images[0]
    same = evaluate([pair()], UNCHANGED, convention="affine", data_range=255).images[0]
    assert image.psnr_denoised == pytest.approx(image.psnr_noisy, abs=1e-4)
    assert image.psnr_noisy == pytest.approx(same.psnr_noisy, abs=1e-3)


def test_mean_and_standard_deviation_run_over_the_images():
    calls = []
    pairs = [pair(seed) for seed in range(3)]
    result = evaluate(pairs, UNCHANGED, convention="raw", data_range=255, progress=lambda: calls.append(1))
    values = [image.psnr_denoised for image in result.images]
    assert [image.name for image in result.images] == ["fov_0", "fov_1", "fov_2"]
    assert result.mean.psnr_denoised == pytest.approx(np.mean(values))
    assert result.sd.psnr_denoised == pytest.approx(np.std(values))
    assert len(calls) == 3


def test_a_perfect_result_is_quantitative_and_leaves_noise_alone():
    mean = evaluate([pair()], perfect(), convention="raw", data_range=255).mean
    assert mean.slope == pytest.approx(1, abs=1e-4)
    assert mean.offset == pytest.approx(0, abs=1e-2)
    assert mean.slope_kept == pytest.approx(1, abs=0.02)
    assert mean.intensity_kept == pytest.approx(1, abs=0.005)
    assert abs(mean.structure_removed) < 0.05
    assert mean.beyond_noise == 0
    assert mean.psnr_denoised == 100


def test_lost_contrast_and_lost_light_are_seen():
    flat = denoiser(lambda batch: 0.5 * (scene()[0].astype(np.float32)[None, None] - 120) + 60)
    result = evaluate([pair()], flat, convention="raw", data_range=255)
    assert result.mean.slope_kept == pytest.approx(0.5, abs=0.02)
    assert result.mean.intensity_kept == pytest.approx(0.5, abs=0.02)
    assert result.mean.structure_removed > 0.7
    assert "49.9 % of the contrast is kept" in result.findings()[1]


def test_an_invented_object_is_found_where_it_is():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ghost = 30 * np.exp(-((y - 40) ** 2 + (x - 90) ** 2) / 18)
    clean, noisy = scene()
    inventing = denoiser(lambda batch: (clean + ghost).astype(np.float32)[None, None])
    result = evaluate([pair()], inventing, convention="raw", data_range=255)
    image = result.images[0]
    assert image.largest_deviation > 5
    assert np.hypot(image.largest_deviation_at[0] - 40, image.largest_deviation_at[1] - 90) < 4
    assert "invented or lost structure in 1 of 1" in result.findings()[2]
    assert deviation_map(noisy, clean + ghost)[40, 90] < -5
    assert largest_deviation(deviation_map(noisy, clean)).largest < 5


def test_the_deviation_map_of_pure_noise_has_standard_deviation_one_up_to_the_edges():
    noise = np.random.default_rng(0).normal(0, 3, (400, 400))
    seen = deviation_map(noise, np.zeros_like(noise))
    assert seen.std() == pytest.approx(1, abs=0.05)
    rim = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
    assert rim.std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 3)])
def test_small_and_constant_images_have_figures_too(shape):
    assert largest_deviation(deviation_map(np.ones(shape), np.ones(shape))).largest == 0
    assert largest_deviation(deviation_map(np.zeros((60, 80)), np.full((60, 80), -34.3))).largest == 0
    assert np.isfinite(deviation_map(np.random.default_rng(0).normal(size=shape), np.zeros(shape))).all()
    assert correlation(np.ones(shape), np.ones(shape)) == 0


def test_an_image_without_noise_counts_100_db_in_the_mean():
    clean, _ = scene()
    same = Sample.of_arrays("same", clean, clean)
    result = evaluate([same, pair()], UNCHANGED, convention="raw", data_range=255)
    first, second = result.images
    assert first.psnr_noisy == 100
    assert result.mean.psnr_noisy == pytest.approx((100 + second.psnr_noisy) / 2)
    assert result.sd.psnr_noisy == pytest.approx((100 - second.psnr_noisy) / 2)


def dead():
    """A frame of a shutter that stayed closed, black in both images."""
    return Sample.of_arrays("dead", np.zeros(SHAPE), np.zeros(SHAPE))


@pytest.mark.parametrize("convention", ["raw", "affine"])
def test_a_dead_frame_is_named_and_left_out_of_the_means(convention):
    alone = evaluate([pair()], UNCHANGED, convention=convention, data_range=255)
    result = evaluate([dead(), pair()], UNCHANGED, convention=convention, data_range=255)
    assert {key: pytest.approx(value) for key, value in alone.mean} == {
        **dict(result.mean), "beyond_noise": alone.mean.beyond_noise, "largest_deviation": alone.mean.largest_deviation
    }  # fmt: skip
    words = "\n".join(result.findings())
    assert "dead: the clean image has one value only" in words
    assert "1 of 2 left out of the means" in words
    assert "nan" not in words


def test_what_has_no_figure_is_null_in_json_and_said_in_words():
    result = evaluate([dead()], UNCHANGED, convention="raw", data_range=255)
    stored = json.loads(result.model_dump_json())
    assert stored["images"][0]["intensity_kept"] is None
    assert stored["images"][0]["name"] == "dead"
    assert "nan" not in "\n".join(result.findings())


def test_a_result_that_is_no_closer_to_the_clean_image_says_so():
    words = evaluate([pair()], UNCHANGED, convention="raw", data_range=255).findings()
    assert "no closer to the clean ones" in " ".join(words)
    words = evaluate([pair()], perfect(), convention="raw", data_range=255).findings()
    assert "no closer" not in " ".join(words)


def test_an_image_unlike_those_of_training_is_named():
    seen = TrainedOn(dtype="uint8", low=30, high=230, noise=11)
    model = replace(UNCHANGED, trained_on=seen)
    bright = Sample.of_arrays("bright", 10 * scene()[1], 10 * scene()[0])
    alike, other = evaluate([pair(), bright], model, convention="raw", data_range=255).images
    assert alike.unlike_training == ()
    assert "reach beyond those of training, 30 to 230" in other.unlike_training[0]


@pytest.mark.parametrize("data_range", [0, -1, float("nan"), float("inf")])
def test_the_peak_must_be_above_zero(data_range):
    with pytest.raises(UserError, match="`data_range`"):
        evaluate([pair()], UNCHANGED, convention="raw", data_range=data_range)


def test_no_pair_is_refused():
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate([], UNCHANGED, convention="raw", data_range=255)


def test_the_images_to_show_are_the_worst_and_the_middle_one(tmp_path):
    pairs = [pair(seed) for seed in range(4)]
    result = evaluate(pairs, UNCHANGED, convention="raw", data_range=255)
    shown = images_to_show(result, pairs, UNCHANGED)
    worst = min(result.images, key=lambda image: image.psnr_denoised)
    assert 1 <= len(shown) <= 3
    assert (worst.name, worst.psnr_denoised) in [(image.name, image.psnr_denoised) for image in shown]
    path = tmp_path / "deeper" / "residuals.png"
    residual_picture(shown, path, pixel_size=(0.1, 0.1, "µm"))
    assert matplotlib.image.imread(path).shape[1] > 1000
    assert [file.name for file in path.parent.iterdir()] == ["residuals.png"]


def test_a_result_replaces_an_earlier_one_and_nothing_else(tmp_path):
    scores, picture = tmp_path / "scores.json", tmp_path / "residuals.png"
    result = evaluate([pair()], UNCHANGED, convention="raw", data_range=255)
    scores.write_text(result.model_dump_json())
    residual_picture(images_to_show(result, [pair()], UNCHANGED), picture)
    check_replaceable(scores, "--json", ".json", is_evaluation)
    check_replaceable(picture, "--figure", ".png", is_ours)
    check_replaceable(tmp_path / "new" / "scores.json", "--json", ".json", is_evaluation)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notes.json", "no earlier result"),
        ("list.json", "no earlier result"),
        ("nowhere.json", "no earlier result"),
        ("cells.tif", "end in .json"),
        ("folder.json", "is a folder"),
        ("cells.tif/scores.json", "cannot be written to"),
        ("cells.png", "no earlier result"),
        ("broken.png", "no earlier result"),
    ],
)
def test_other_files_are_never_replaced(tmp_path, name, words):
    (tmp_path / "notes.json").write_text('{"mean": 3}')
    (tmp_path / "list.json").write_text("[")
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "later")
    (tmp_path / "cells.tif").write_bytes(b"II")
    (tmp_path / "broken.png").write_bytes(b"")
    (tmp_path / "folder.json").mkdir()
    matplotlib.image.imsave(tmp_path / "cells.png", np.zeros((4, 4)))
    suffix = ".png" if name.endswith("png") else ".json"
    with pytest.raises(UserError, match=f"--json .*{words}"):
        check_replaceable(tmp_path / name, "--json", suffix, is_ours if suffix == ".png" else is_evaluation)


def test_a_part_of_a_file_is_known_as_the_file_is(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.uint8))
    whole = source_in(open_image(tmp_path / "a.tif"), "YX")
    quarter = Sample("a", "a", "YX", whole.shape, (whole,)).crop("a_q1", (slice(0, 4), slice(0, 4)))
    found = overlap([quarter], {"a.tif": sha256(tmp_path / "a.tif")}, {"train": ["a_q1"]})
    assert (found.images, found.train) == (1, 1)
