"""How each tool cuts an image into tiles and fills them, and halos and patches that leave nothing to tile."""

import numpy as np
import pytest
from helpers.rules import axis
from helpers.small_package import describe, small_package

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


@pytest.fixture(scope="module")
def inspection(tmp_path_factory):
    with open_package(small_package(tmp_path_factory.mktemp("small") / "package")) as package:
        yield Inspection(package)


def tilings(inspection, shape):
    names = ("deepimagej", "qupath", "script", "ilastik")
    ways = zip(names, (way for tool in TOOLS.values() for way in tool.tilings), strict=True)
    return [(name, way.cut(inspection, shape)) for name, way in ways]


@pytest.mark.parametrize("shape", [(900, 1200), (512, 512), (513, 511), (64, 700), (1100, 130)])
def test_a_pointwise_network_is_tiled_without_a_trace_by_every_tool(inspection, shape):
    image = np.random.default_rng(0).random((1, 1, *shape), np.float32)
    for name, tiling in tilings(inspection, shape):
        found = tiling.stitch([window * 2 for window in tiling.windows(image)])
        assert np.array_equal(found, image * 2), name


def test_tiles_have_the_sizes_that_the_tools_use(inspection):
    shape = (900, 1200)
    image = np.zeros((1, 1, *shape), np.float32)
    sizes = {name: {w.shape[-2:] for w in tiling.windows(image)} for name, tiling in tilings(inspection, shape)}
    assert sizes["qupath"] == sizes["ilastik"] == {(512, 512)}
    assert max(sizes["script"]) <= (512, 512)
    halo = inspection.description.outputs[0].axis("y").halo
    assert sizes["deepimagej"] == {(900 + 2 * halo, 1200 + 2 * halo)}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("deepimagej", [1, 0, 0, 1], [598, 599, 599, 598]),  # mirrors, the edge pixel repeated (expandMirrorDouble)
        ("ilastik", [2, 1, 0, 1], [598, 599, 598, 597]),  # reflects, the edge pixel once
    ],
)
def test_outside_the_image_each_tool_fills_in_its_own_way(inspection, name, before, after):
    ramp = np.arange(600, dtype=np.float32).reshape(1, 1, 1, 600).repeat(600, axis=2)
    tiling = dict(tilings(inspection, (600, 600)))[name]
    lines = [window[0, 0, 300] for window in tiling.windows(ramp)]
    begin, end = tiling.tiles[0].pad[1][0], len(lines[-1]) - tiling.tiles[-1].pad[1][1]
    assert list(lines[0][begin - 2 : begin + 2]) == before
    assert list(lines[-1][end - 2 : end + 2]) == after


def test_the_script_reads_what_the_whole_image_shows_and_fills_nothing_in(inspection):
    halo = inspection.description.outputs[0].axis("y").halo
    script = dict(tilings(inspection, (900, 1201)))["script"]
    for tile in script.tiles:
        assert tile.pad == ((0, 0), (0, 0))
        for (start, stop), (first, last), length in zip(tile.read, tile.write, (900, 1201), strict=True):
            assert start % halo == 0
            assert (start, stop) == (max(first - halo, 0), min(last + halo, length))


def test_another_script_leaves_the_tiles_to_qupath_which_fills_them(tmp_path):
    folder = small_package(tmp_path / "package")
    (folder / "run_in_qupath.groovy").write_text("ImageOps.ML.dnn(model, 512, 512, Padding.symmetric(8))")
    with open_package(folder) as package:
        script = dict(tilings(Inspection(package), (600, 600)))["script"]
    assert {window.shape[-2:] for window in script.windows(np.zeros((1, 1, 600, 600), np.float32))} == {(512, 512)}


def test_qupath_repeats_the_edge_pixel_around_the_last_tiles(inspection):
    ramp = np.arange(600, dtype=np.float32).reshape(1, 1, 1, 600).repeat(600, axis=2)
    tiling = dict(tilings(inspection, (600, 600)))["qupath"]
    first, *_, last = (window[0, 0, 300] for window in tiling.windows(ramp))
    assert list(first[:3]) == [0, 1, 2]
    assert list(last[[0, 211, 212, 299, 300, 511]]) == [512, 512, 512, 599, 599, 599]


def test_regions_part_the_image(inspection):
    for _, tiling in tilings(inspection, (900, 1200)):
        regions = tiling.regions(16)
        assert np.array_equal(sum(region.astype(int) for region in regions.values()), np.ones((900, 1200), int))
