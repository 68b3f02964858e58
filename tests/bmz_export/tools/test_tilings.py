"""Halos and patches that leave nothing to tile."""

import pytest
from helpers.rules import axis
from helpers.small_package import describe

from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS


@pytest.mark.parametrize(("halo", "cuts"), [(24, True), (96, True), (252, False), (256, False), (4000, False)])
def test_a_halo_that_leaves_hardly_anything_of_a_tile_gives_no_tiling(spoiled, halo, cuts):
    def change(raw):
        for letter in "yx":
            axis(raw, "outputs", letter).update(halo=halo)

    with open_package(describe(spoiled, change)) as package:
        inspection = Inspection(package)
        assert (TOOLS["ilastik"].tilings[0].cut(inspection, (900, 1200)) is not None) == cuts
        assert TOOLS["qupath"].tilings[1].cut(inspection, (900, 1200)) is not None  # its tiles grow with the halo


def test_a_patch_of_a_few_pixels_gives_no_tiling(spoiled):
    def change(raw):
        for letter in "yx":
            axis(raw, "inputs", letter).update(size=8)

    with open_package(describe(spoiled, change)) as package:
        inspection = Inspection(package)
        for name in ("deepimagej", "ilastik"):
            assert TOOLS[name].tilings[0].cut(inspection, (900, 1200)) is None
