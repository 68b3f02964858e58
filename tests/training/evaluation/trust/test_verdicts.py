"""Results judged without clean images: sound ones are green, planted faults are found and named in plain words."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.oracle import samples, scene
from planted.confirmed import confirmed
from planted.results import RESULT_FAULTS, change
from scipy.ndimage import gaussian_filter

from training.evaluation.trust import judge_images, judge_result
from training.evaluation.trust.verdict import judge, worst
from training.inference.denoiser import Denoiser


def judged(noisy, denoised, **given):
    return judge_result("image", noisy, denoised, **given).judgement


def found(judgement):
    return {finding.measure: finding for finding in judgement.findings}


@pytest.mark.parametrize("number", [0, 1], ids=["nuclei", "filaments"])
def test_a_sound_result_is_green(number):
    sound = scene(number)
    judgement = judged(sound.noisy, sound.denoised, denoise=sound.denoise)
    assert judgement.sentence() == "image: green: nothing was found against the result"
    assert judgement.measures.disagreement.largest < 0.5


@pytest.mark.parametrize("number", [0, 1], ids=["nuclei", "filaments"])
@pytest.mark.parametrize("fault", RESULT_FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_beyond_one_standard_deviation_of_the_noise_is_found(fault, number):
    sound = scene(number)
    for strength in (min(fault.strengths, key=lambda each: -abs(np.log(abs(each)))), fault.strengths[-1]):
        shown, got, should = fault.plant(sound, strength, np.random.default_rng(3))
        if change(got, should, sound.noise) > 1:
            assert judged(shown, got).verdict != "green", f"{fault.name} {strength}"


def test_brightness_that_was_taken_away_is_told_with_its_place():
    sound = scene(0)
    rows, columns = np.mgrid[: sound.noisy.shape[0], : sound.noisy.shape[1]]
    spot = np.exp(-((rows - 60) ** 2 + (columns - 100) ** 2) / (2 * 2**2))
    lost = judged((sound.noisy + 5 * spot * sound.noise).astype(np.float32), sound.denoised)
    finding = found(lost)["structure"]
    assert lost.verdict == "red"
    assert "is missing in the result at row" in finding.text and "4 pixels wide" in finding.text
    assert np.abs(np.subtract(finding.at, (60, 100))).max() <= 3
    invented = judged(sound.noisy, (sound.denoised + 5 * spot * sound.noise).astype(np.float32))
    assert "that the image does not hold" in found(invented)["structure"].text


def test_what_a_few_photons_make_by_chance_is_no_structure():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256] / 256
    photons = 1.5 + 6 * (0.5 + 0.5 * np.sin(9 * rows) * np.cos(7 * columns)) ** 4
    for _ in range(6):
        noisy = (100 + 10 * rng.poisson(photons)).astype(np.float32)
        assert "structure" not in found(judged(noisy, (100 + 10 * photons).astype(np.float32)))


@pytest.mark.parametrize(("side", "verdict"), [(256, "amber"), (512, "amber"), (2048, "green")])
def test_in_a_larger_image_chance_may_reach_further(side, verdict):
    sound = scene(0)
    measures = judged(sound.noisy, sound.denoised).measures
    largest = replace(measures.structure, largest=6.1, pixels=side * side)
    assert judge("image", measures.model_copy(update={"structure": largest})).verdict == verdict


def test_the_clean_image_tells_structure_that_was_lost_from_what_noise_made_by_chance():
    sound = scene(0)
    rows, columns = np.mgrid[: sound.noisy.shape[0], : sound.noisy.shape[1]]
    spot = 5 * np.exp(-((rows - 60) ** 2 + (columns - 100) ** 2) / (2 * 2**2)) * sound.noise
    lost = replace(sound, denoised=sound.denoised - spot)
    chance = replace(sound, noisy=(sound.noisy + spot).astype(np.float32))
    for each, true in ((lost, True), (chance, False)):
        measures = judged(each.noisy, each.denoised).measures
        assert measures.structure.largest > 5.8
        assert confirmed(measures, each)["structure"] == true


def test_a_shift_of_all_intensities_is_told_as_a_wrong_offset_with_its_size():
    sound = scene(0)
    finding = found(judged(sound.noisy, sound.denoised - 5))["bias"]
    assert finding.text.endswith("too dark at all intensities: a wrong offset")
    assert 4.5 < float(finding.text.split()[3]) < 5.5


def test_scaled_intensities_are_told_from_a_shift():
    sound = scene(0)
    scaled = (sound.zero + 0.6 * (sound.denoised - sound.zero)).astype(np.float32)
    assert found(judged(sound.noisy, scaled))["bias"].text.endswith("intensities are shifted or scaled")


def test_noise_that_was_left_in_is_told_as_too_little_taken():
    sound = scene(0)
    assert found(judged(sound.noisy, sound.noisy))["little"].verdict == "red"
    half = (0.5 * sound.noisy + 0.5 * sound.denoised).astype(np.float32)
    assert found(judged(sound.noisy, half))["little"].text.startswith("too little noise was taken")


def test_lines_between_tiles_are_told_with_their_distance():
    sound = scene(1)
    tiled = sound.denoised.copy()
    for start in range(40, tiled.shape[1], 80):
        tiled[:, start : start + 40] += 3
    finding = found(judged(sound.noisy, tiled))["seam"]
    assert finding.text == "tiles show as straight lines at column 40 and every 40 pixels on"


def test_noise_that_is_correlated_along_rows_is_told():
    sound = scene(0)
    noise = sound.noisy - sound.clean
    rows = (sound.clean + (noise + 0.4 * np.roll(noise, 1, axis=1)) / np.sqrt(1.16)).astype(np.float32)
    finding = found(judged(rows, sound.denoised))["correlation"]
    assert "along X" in finding.text


def test_turned_inputs_that_give_other_results_are_told():
    sound = scene(0)
    generator = np.random.default_rng(0)

    def guessing(image):
        return (sound.denoise(image) + 3 * gaussian_filter(generator.normal(0, 5, image.shape), 2)).astype(np.float32)

    assert "the network guesses" in found(judged(sound.noisy, sound.denoised, denoise=guessing))["disagreement"].text


def test_hot_pixels_that_were_taken_away_are_no_lost_structure():
    sound = scene(0)
    noisy = sound.noisy.copy()
    noisy[20::40, 20::40] += 500
    assert judged(noisy, sound.denoised).verdict == "green"


def test_two_frames_tell_contrast_at_finer_details_than_halves_of_one():
    sound = scene(1)
    generator = np.random.default_rng(5)
    second = (sound.clean + generator.normal(0, 1, sound.noise.shape) * sound.noise).astype(np.float32)
    halves, frames = (judged(sound.noisy, sound.denoised, second=each).measures.contrast for each in (None, second))
    assert max(halves.frequency) < 0.26 < max(frames.frequency)
    blurred = judged(sound.noisy, gaussian_filter(sound.denoised, 2.5), second=second)
    assert "over-smoothing" in found(blurred)["contrast"].text


@pytest.mark.parametrize("image", [np.zeros((20, 20)), np.full((128, 128), 7.0)], ids=["small", "without noise"])
def test_an_image_whose_noise_cannot_be_measured_is_amber_and_says_so(image):
    image = image.astype(np.float32)
    judgement = judged(image, image)
    assert judgement.verdict == "amber"
    assert "cannot be judged" in judgement.sentence()


def test_a_volume_is_judged_as_a_plane_is_and_places_name_the_depth():
    sound = scene(0)
    noisy = np.stack([sound.noisy, np.rot90(sound.noisy), np.rot90(sound.noisy, 2)])
    denoised = np.stack([sound.denoised, np.rot90(sound.denoised), np.rot90(sound.denoised, 2)])
    assert judged(noisy, denoised).verdict == "green"
    denoised[1, 50:56, 70:76] += 30
    assert "at depth 1, row 5" in found(judged(noisy, denoised))["structure"].text


def test_several_images_are_summed_up_by_the_worst_and_the_clean_ones_are_not_read():
    sound = [scene(number) for number in range(2)]

    def predict(batch):
        image = batch[0, 0]
        best = max(sound, key=lambda each: np.corrcoef(each.noisy.ravel(), image.ravel())[0, 1])
        return best.denoise(image)[None, None] + (5 if best is sound[1] else 0)

    shown = []
    denoiser = Denoiser(predict, halo=(0, 0), stride=(1, 1))
    trust = judge_images(samples(2), denoiser, turned=False, each=shown.append)
    assert [image.verdict for image in trust.images] == ["green", "red"]
    assert trust.verdict == "red" and len(shown) == 2
    assert trust.summary().startswith(
        "Judged without clean images: of 2 images 1 red, 1 green; field_001_filaments: red:"
    )
    assert type(trust).model_validate_json(trust.model_dump_json()) == trust


def test_the_worst_of_no_verdict_is_green():
    assert worst([]) == "green"
    assert worst(["amber", "green"]) == "amber"
