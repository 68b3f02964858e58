"""Seams between tiles with the declared halo, and a larger image cut into tiles as each tool does."""

import numpy as np
import pytest
from helpers.small_package import describe

from bmz_export.checking.certificate import TileRow
from bmz_export.checking.check import CheckOptions, check
from bmz_export.checking.comparison import Comparison, Result
from bmz_export.checking.runner import Runner
from bmz_export.checking.tilings import tile
from bmz_export.engines import Outcome
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS


@pytest.mark.parametrize("letter", ["y", "x"])
def test_a_halo_that_is_too_small_along_one_axis_shows_as_a_seam(spoiled, letter):
    def change(raw):
        for axis in raw["outputs"][0]["axes"]:
            if axis.get("id") == letter:
                del axis["halo"]

    certificate = check(describe(spoiled, change), CheckOptions(engines=("onnxruntime",)))
    assert certificate.seam.difference.largest > 1e-2
    assert {fault.rule for fault in certificate.errors} == {"seam"}
    assert any("halo of 0" in fault.message for fault in certificate.errors)


class Recorder:
    """An engine that keeps its last job, and returns what a function makes of each image."""

    title, processing = "recorder", False

    def __init__(self, network=lambda image: image):
        self.network = network

    def run(self, job):
        self.job = job
        return Outcome(outputs=tuple(map(self.network, job.inputs)))


def ran(runner, engine):
    """A comparison in which this engine gave what it should on TorchScript."""
    result = Result(engine, "torchscript", verdict="passed", sound=True)
    comparison = Comparison(runner.inspection.description, [], [result])
    comparison.primary = result
    return comparison


@pytest.mark.parametrize(("halo", "seen"), [(8, False), (16, False), (64, False), (4, True), (12, True), (20, True)])
def test_a_halo_that_is_no_multiple_of_the_stride_shows_as_a_seam(spoiled, halo, seen):
    def change(raw):
        for axis in raw["outputs"][0]["axes"][-2:]:
            axis["halo"] = halo

    def strided(image):
        """Less the mean of its block of 8 x 8, mirrored up to whole blocks."""
        height, width = image.shape[-2:]
        whole = np.pad(image[0, 0], ((0, -height % 8), (0, -width % 8)), mode="symmetric")
        means = whole.reshape(whole.shape[0] // 8, 8, -1, 8).mean(axis=(1, 3))
        return image - means.repeat(8, 0).repeat(8, 1)[:height, :width]

    engine = Recorder(strided)
    with open_package(describe(spoiled, change)) as package:
        runner = Runner(Inspection(package), CheckOptions(), lambda line: None)
        found = list(tile(runner, ran(runner, engine), np.load(spoiled / "test_input.npy")))
    assert (max(each.largest for each in found) > 1e-3) == seen


def test_a_package_of_fixed_size_says_that_no_tiling_and_no_seam_was_measured(spoiled, small_tiles):
    def change(raw):
        for side in ("inputs", "outputs"):
            for axis, size in zip(raw[side][0]["axes"][-2:], (80, 96), strict=True):
                axis["size"] = size
                axis.pop("halo", None)

    certificate = check(describe(spoiled, change), CheckOptions(engines=("onnxruntime",), tiles=True))
    assert certificate.tiles == ()
    assert certificate.seam is None
    assert "fixed to 80 x 96" in certificate.seam_note


def test_a_tiling_of_thousands_of_tiles_is_not_run(spoiled):
    def change(raw):
        for axis in raw["outputs"][0]["axes"][-2:]:
            axis["halo"] = 252

    certificate = check(describe(spoiled, change), CheckOptions(engines=("torch",), tiles=True))
    verdicts = {tile.way: tile.verdict for tile in certificate.tiles}
    (fiji,), (_, script), (ilastik,) = (TOOLS[name].tilings for name in ("deepimagej", "qupath", "ilastik"))
    assert verdicts[ilastik.title] == "not run"
    assert verdicts[fiji.title] == verdicts[script.title] == "passed"


def test_tiles_for_a_bare_network_are_normalised_like_the_whole_image(spoiled, small_tiles):
    def change(raw):
        raw["inputs"][0]["preprocessing"] = [
            {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}
        ]

    engine = Recorder()
    test = np.load(spoiled / "test_input.npy")
    with open_package(describe(spoiled, change)) as package:
        runner = Runner(Inspection(package), CheckOptions(tiles=True), lambda line: None)
        rows = list(tile(runner, ran(runner, engine), test))
    assert abs(engine.job.inputs[0].mean()) < 1e-3
    assert abs(engine.job.inputs[0].std() - 1) < 1e-3
    assert {each.verdict for each in rows if isinstance(each, TileRow)} == {"passed"}
