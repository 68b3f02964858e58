"""The macro for Fiji, run in ImageJ 1.54p itself, with a stand-in for deepImageJ that keeps its contract."""

import ctypes.util
import os
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import tifffile
from helpers import imagej
from helpers.building import built_package
from helpers.imagej import HALO, MINIMUM, STRIDE, ImageJ, network, torchscript
from helpers.small_disk import small_disk

from bmz_export.package.builder import write_script
from bmz_export.package.fiji_memory import MOST_PIXELS, Memory
from bmz_export.tools import TOOLS

WEIGHTS = "0123abcd" * 8


def write_macro(folder, pixels=None):
    """Write the macro, which gives deepImageJ so many pixels at a time, its halo included."""
    memory = Memory(0, 800 if pixels is None else 4e9 / pixels)
    facts = {
        "title": "A model",
        "halo": HALO,
        "minimum": MINIMUM,
        "stride": STRIDE,
        "memory": memory,
        "weights": WEIGHTS,
    }
    return write_script(folder, TOOLS["deepimagej"].script, **facts)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    return tmp_path_factory.mktemp("temporary files")


@pytest.fixture(scope="module")
def running(temporary):
    program = ImageJ(temporary)
    yield program
    program.close()


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "the model"
    folder.mkdir()
    (folder / "rdf.yaml").write_text(f"type: model\nweights: {{torchscript: {{sha256: {WEIGHTS}}}}}\n")
    return folder


@pytest.fixture
def results(tmp_path):
    return tmp_path / "the results"


@pytest.fixture
def denoise(running, temporary, model, results, tmp_path):
    """A function from an image's path (or a folder's) to what the macro said and deepImageJ was given."""

    def run(image, *, pixels=None, folder=results, macro=None, **behaviour):
        answer = running.run(macro or write_macro(tmp_path, pixels), f"{model}|{image}|{folder}", **behaviour)
        assert not list(temporary.iterdir()), "temporary files are left"
        return answer

    return run


def write(path, shape, axes, dtype=np.uint16, **about):
    """Write an ImageJ TIFF of random values, 0.25 um a pixel, and return them."""
    values = np.random.default_rng(sum(shape)).integers(0, 200, shape).astype(dtype)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes, **about}, resolution=(4, 4))
    return values


def expected(values):
    planes = values.reshape(-1, *values.shape[-2:])
    return np.stack([network(plane) for plane in planes]).reshape(values.shape)


def read(path):
    """Return pixels, axes and ImageJ's metadata of a result."""
    with tifffile.TiffFile(path) as file:
        return file.asarray(), file.series[0].axes, file.imagej_metadata


@pytest.mark.parametrize("pixels", [None, 128 * 128], ids=["whole", "in tiles"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZYX", "TCYX", "ZCYX", "TZCYX"])
def test_planes_are_denoised_and_put_together_as_they_were(denoise, results, tmp_path, axes, pixels):
    """deepImageJ itself makes frames of slices, and takes z = 0 alone of a series of stacks."""
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 110, "X": 130}[axis] for axis in axes)
    labels = [f"plane {index}" for index in range(int(np.prod(shape[:-2])))]
    noisy = write(tmp_path / "cell.tif", shape, axes, Labels=labels, mode="composite")
    answer = denoise(tmp_path / "cell.tif", pixels=pixels)
    found, found_axes, metadata = read(results / "cell_denoised.tif")
    assert (found.dtype, found_axes) == (np.float32, axes)
    np.testing.assert_array_equal(found, expected(noisy))
    assert len(labels) == 1 or list(metadata["Labels"]) == labels
    assert (metadata.get("mode") == "composite") == ("C" in axes)
    assert len(answer["calls"]) == 1 if pixels is None else len(answer["calls"]) >= 2 * len(labels)
    assert answer["said"].splitlines()[-1] == f"Denoised: {results / 'cell_denoised.tif'}"


def test_the_calibration_stays(denoise, results, tmp_path):
    about = {"unit": "um", "spacing": 0.5, "finterval": 2.5, "xorigin": 3.0, "yorigin": 4.0}
    write(tmp_path / "cell.tif", (2, 3, 70, 90), "TZYX", **about)
    denoise(tmp_path / "cell.tif")
    _, _, metadata = read(results / "cell_denoised.tif")
    assert {name: metadata[name] for name in about} == about | {"unit": "\\u00B5m"}
    with tifffile.TiffFile(results / "cell_denoised.tif") as file:
        tags = file.pages[0].tags
        assert {tags[name].value for name in ("XResolution", "YResolution")} == {(4_000_000, 1_000_000)}


def test_all_values_of_each_channel_are_shown(denoise, results, tmp_path):
    """deepImageJ's file says to show 0 to 1, at which an image of grey values is white."""
    noisy = write(tmp_path / "cell.tif", (2, 3, 2, 70, 90), "TZCYX")
    denoise(tmp_path / "cell.tif")
    wanted = np.moveaxis(expected(noisy), 2, 0)
    limits = [float(limit(channel)) for channel in wanted for limit in (np.min, np.max)]
    np.testing.assert_allclose(read(results / "cell_denoised.tif")[2]["Ranges"], limits, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_every_type_keeps_its_units(denoise, results, tmp_path, dtype):
    noisy = write(tmp_path / "cell.tif", (70, 90), "YX", dtype)
    if dtype == np.int16:  # as tifffile writes no signed ImageJ file
        tifffile.imwrite(tmp_path / "cell.tif", noisy := (noisy - 100).astype(dtype))
    denoise(tmp_path / "cell.tif")
    np.testing.assert_allclose(read(results / "cell_denoised.tif")[0], expected(noisy), atol=1e-4)


@pytest.mark.parametrize("axes", ["", "Z", "T", "TZ"])
def test_the_colours_of_rgb_are_denoised_each_by_itself(denoise, results, tmp_path, axes):
    shape = tuple({"T": 2, "Z": 4}[axis] for axis in axes)
    noisy = np.random.default_rng(0).integers(0, 200, (*shape, 70, 90, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "photo.tif", noisy, imagej=True, metadata={"axes": f"{axes}YXS"})
    denoise(tmp_path / "photo.tif")
    found, found_axes, metadata = read(results / "photo_denoised.tif")
    assert (found_axes, metadata["mode"]) == (f"{axes}CYX", "composite")
    np.testing.assert_array_equal(found, expected(np.moveaxis(noisy, -1, -3)))


def test_an_rgb_image_whose_colours_cannot_be_taken_apart_is_told(denoise, tmp_path):
    """ImageJ itself would keep the first of its channels."""
    noisy = np.zeros((3, 70, 90, 3), np.uint8)
    tifffile.imwrite(tmp_path / "photo.tif", noisy, imagej=True, metadata={"axes": "CYXS"})
    said = denoise(tmp_path / "photo.tif")["said"]
    assert said.splitlines()[-1] == "photo.tif: ImageJ cannot take its colours apart; save them as channels first."


@pytest.mark.parametrize("shape", [(6, 6), (1, 300), (300, 1), (40, 40), (63, 64), (1, 1)])
def test_small_images_are_mirrored_at_their_edges_and_cut_again(denoise, results, tmp_path, shape):
    noisy = write(tmp_path / "cell.tif", shape, "YX")
    denoise(tmp_path / "cell.tif")
    enough = [(0, max(MINIMUM - length, 0)) for length in shape]
    wanted = network(np.pad(noisy, enough, mode="symmetric"))[: shape[0], : shape[1]]
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0].reshape(shape), wanted)


@pytest.mark.parametrize("shape", [(500, 400), (64, 1500), (801, 97), (257, 256)])
@pytest.mark.parametrize("pixels", [128 * 128, 150 * 150])
def test_tiles_show_no_seam(denoise, results, tmp_path, shape, pixels):
    """They overlap, begin on the network's grid, and have their real neighbours around them."""
    noisy = write(tmp_path / "cell.tif", shape, "YX")
    answer = denoise(tmp_path / "cell.tif", pixels=pixels)
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(noisy))
    assert len(answer["calls"]) > 1
    assert all(np.prod([length + 2 * HALO for length in call["shape"]]) <= pixels for call in answer["calls"])


def test_memory_for_less_than_a_sensible_tile_is_told(denoise, tmp_path):
    write(tmp_path / "cell.tif", (200, 200), "YX")
    macro = write_macro(tmp_path)
    macro.write_text(macro.read_text().replace("var fixedBytes = 0;", "var fixedBytes = 4e9;"))
    answer = denoise(tmp_path / "cell.tif", macro=macro)
    assert not answer["calls"]
    wanted = "4 GB are too little for this model: write 4.1 or more as gigabytes at the beginning of the macro.\n"
    assert answer["said"] == wanted


@pytest.mark.parametrize("name", ["dncnn", "drunet"])
def test_a_package_gives_the_whole_images_pixels_in_tiles(running, results, tmp_path, name):
    """Its own macro and weights; the image is larger than the memory that the macro may take."""
    built = built_package(tmp_path / "model", name)
    halo, minimum = max(built.tiling.halo), built.tiling.minimum
    noisy = write(tmp_path / "cell.tif", (601, 470), "YX")
    macro = built.folder / "run_in_fiji.ijm"
    pixel = float(re.search(r"var pixelBytes = ([\d.]+);", macro.read_text(encoding="utf-8"))[1])
    small = pixel * (4 * halo + 200) ** 2 / 1e9
    macro.write_text(macro.read_text(encoding="utf-8").replace("var gigabytes = 4;", f"var gigabytes = {small};"))
    paths = f"{built.folder}|{tmp_path / 'cell.tif'}|{results}"
    answer = running.run(macro, paths, halo=halo, minimum=minimum)
    wanted = torchscript(built.folder / "weights.pt", halo)(noisy)
    difference = np.abs(read(results / "cell_denoised.tif")[0] - wanted).max() / np.ptp(wanted)
    assert len(answer["calls"]) > 4
    assert difference < 1e-5


def test_planes_are_given_together_as_far_as_they_fit(denoise, results, tmp_path):
    noisy = write(tmp_path / "series.tif", (20, 64, 64), "TYX")
    answer = denoise(tmp_path / "series.tif", pixels=8 * 96 * 96)
    assert [call["shape"][0] for call in answer["calls"]] == [8, 8, 4]
    np.testing.assert_array_equal(read(results / "series_denoised.tif")[0], expected(noisy))


def test_no_tile_is_larger_than_deepimagej_takes(denoise, results, tmp_path):
    """Whatever the memory: above its limit it searches for a tile size for ever."""
    assert imagej.MOST == MOST_PIXELS
    noisy = write(tmp_path / "series.tif", (20, 64, 64), "TYX")
    macro = write_macro(tmp_path)
    macro.write_text(macro.read_text().replace(str(MOST_PIXELS), str(most := 5 * 96 * 96)))
    answer = denoise(tmp_path / "series.tif", most=most, macro=macro)
    assert [call["shape"][0] for call in answer["calls"]] == [5, 5, 5, 5]
    np.testing.assert_array_equal(read(results / "series_denoised.tif")[0], expected(noisy))


def test_the_name_keeps_its_spaces_and_dots(denoise, results, tmp_path):
    write(tmp_path / "cell one.2.tif", (70, 90), "YX")
    denoise(tmp_path / "cell one.2.tif")
    assert [path.name for path in results.iterdir()] == ["cell one.2_denoised.tif"]


def test_a_folder_is_denoised_and_a_bad_file_stops_nothing(denoise, results, tmp_path):
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    noisy = {name: write(folder / name, (70, 90 + index), "YX") for index, name in enumerate(["a b.tif", "c.TIF"])}
    tifffile.imwrite(folder / "bad.tif", np.zeros((70, 90)), imagej=False)
    (folder / "bad.tif").write_bytes((folder / "bad.tif").read_bytes()[:100])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "lost.tif").symlink_to(tmp_path / "nothing")
    (folder / "none.tif").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    write(folder / "old_denoised.tif", (70, 90), "YX")
    write(folder / "old_denoised.part.tif", (70, 90), "YX")
    said = denoise(folder)["said"]
    assert sorted(path.name for path in results.iterdir()) == ["a b_denoised.tif", "c_denoised.tif"]
    for name, values in noisy.items():
        np.testing.assert_array_equal(read(results / f"{name[:-4]}_denoised.tif")[0], expected(values))
    assert said.splitlines()[-5:] == [
        "Denoised: 2 of 6. Not denoised:",
        "bad.tif: it cannot be opened as an image.",
        "empty.tif: it cannot be opened as an image.",
        "lost.tif: it cannot be opened as an image.",
        "none.tif: it cannot be opened as an image.",
    ]


def test_images_of_one_name_have_results_of_two(denoise, results, tmp_path):
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    first = write(folder / "cell.tif", (70, 90), "YX", np.uint8)
    Image.fromarray(second := first[::-1].copy()).save(folder / "cell.png")
    denoise(folder)
    found = {path.name: read(path)[0] for path in results.iterdir()}
    assert sorted(found) == ["cell.tif_denoised.tif", "cell_denoised.tif"]
    np.testing.assert_array_equal(found["cell_denoised.tif"], expected(second))


def test_a_bar_in_a_name_is_no_other_image(denoise, results, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a|b|c.tif", "b.tif"):
        write(folder / name, (70, 90), "YX")
    denoise(folder)
    assert sorted(path.name for path in results.iterdir()) == ["a|b|c_denoised.tif", "b_denoised.tif"]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_image_too_large_for_imagej_is_told_and_stops_no_other(denoise, results, tmp_path, compression):
    folder = tmp_path / "images"
    folder.mkdir()
    if compression:
        with tifffile.TiffWriter(folder / "a.tif") as file:
            for _ in range(10):
                file.write(np.zeros((4096, 4096), np.uint8), compression=compression, metadata=None, contiguous=False)
    else:
        tifffile.imwrite(folder / "a.tif", shape=(10, 4096, 4096), dtype=np.uint8, imagej=True)  # of holes
    write(folder / "b.tif", (70, 90), "YX")
    said = denoise(folder)["said"]
    assert [path.name for path in results.iterdir()] == ["b_denoised.tif"]
    assert re.search(r"(?m)^a.tif: ImageJ needs 1.\d GB for it: Edit > Options > Memory & Threads\.$", said)


def test_a_picture_too_large_for_imagej_is_told_once_it_is_open(denoise, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((12000, 12000), np.uint8)).save(tmp_path / "cell.png", compress_level=1)
    said = denoise(tmp_path / "cell.png")["said"]
    assert re.search(r"(?m)^cell.png: ImageJ needs 1.\d GB for it: Edit > Options > Memory & Threads\.$", said)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_of_two_sizes_are_told(denoise, tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "cell.tif") as file:
        for size in (90, 50):
            file.write(np.zeros((70, size), np.uint16), compression=compression, metadata=None, contiguous=False)
    said = denoise(tmp_path / "cell.tif")["said"].splitlines()[-1]
    assert said.startswith("cell.tif: its 2 pages differ in size or type, and ImageJ opens the first alone; ")


@pytest.mark.parametrize("coloured", [False, True])
def test_a_palette_is_looked_up(denoise, results, tmp_path, coloured):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 6, (70, 90)).astype(np.uint8)
    colours = np.array([[200, 10, 30], [7, 70, 0], [90, 90, 90], [3, 2, 1], [0, 0, 255], [130, 130, 131]], np.uint8)
    if not coloured:
        colours[:, 1:] = colours[:, :1]
    picture = Image.fromarray(values)
    picture.putpalette(colours.tobytes())
    picture.save(tmp_path / "cell.png")
    denoise(tmp_path / "cell.png")
    wanted = np.moveaxis(colours[values], -1, 0) if coloured else colours[values][..., 0]
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(wanted))


ORDERS = [f"XY{order}" for order in ("CZT", "CTZ", "ZCT", "ZTC", "TCZ", "TZC")]


@pytest.mark.parametrize("order", ORDERS)
def test_an_ome_tiff_keeps_axes_and_pixel_size(denoise, results, tmp_path, order):
    """ImageJ opens it as slices."""
    values = np.random.default_rng(0).integers(0, 200, (2, 3, 2, 70, 90)).astype(np.uint16)  # TZCYX
    axes = order[::-1]
    written = values.transpose(["TZCYX".index(axis) for axis in axes])
    about = {"axes": axes, "TimeIncrement": 2.5, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 0.5}
    about |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    tifffile.imwrite(tmp_path / "cell.ome.tif", written, ome=True, metadata=about)
    denoise(tmp_path / "cell.ome.tif")
    path = results / "cell.ome_denoised.tif"
    found, found_axes, metadata = read(path)
    assert found_axes == "TZCYX"
    np.testing.assert_array_equal(found, expected(values))
    assert {name: metadata[name] for name in ("spacing", "finterval")} == {"spacing": 0.5, "finterval": 2.5}
    assert metadata["unit"] in ("um", "\\u00B5m")
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags["XResolution"].value == (4_000_000, 1_000_000)


@pytest.mark.parametrize(("axes", "shape"), [("ZYXS", (4, 70, 90, 3)), ("ZYX", (4, 70, 90)), ("YX", (70, 90))])
def test_an_ome_tiff_of_colours_or_fewer_axes(denoise, results, tmp_path, axes, shape):
    values = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    about = {"axes": axes, "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    photometric = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(tmp_path / "cell.tif", values, ome=True, metadata=about, photometric=photometric)
    denoise(tmp_path / "cell.tif")
    found, found_axes, metadata = read(results / "cell_denoised.tif")
    wanted = np.moveaxis(values, -1, -3) if "S" in axes else values
    assert (found_axes, metadata["unit"]) == ({"ZYXS": "ZCYX"}.get(axes, axes), "nm")
    np.testing.assert_array_equal(found, expected(wanted))


def write_ome(path, inner, pages):
    """Write pages of random values with an OME-XML that holds ``inner`` in its namespace, and return them."""
    values = np.random.default_rng(0).integers(0, 200, (pages, 70, 90)).astype(np.uint16)
    xml = (
        f"<?xml version='1.0'?><ome:OME xmlns:ome='http://www.openmicroscopy.org/Schemas/OME/2016-06'>{inner}</ome:OME>"
    )
    tifffile.imwrite(path, values, description=xml, metadata=None)
    return values


def test_an_ome_tiff_may_name_the_place_of_each_plane(denoise, results, tmp_path):
    planes = [(c, z) for z in (2, 0, 1) for c in (1, 0)]
    data = "".join(
        f"<ome:TiffData FirstC='{c}' FirstZ='{z}' IFD='{page}'><ome:UUID>1</ome:UUID></ome:TiffData>"
        for page, (c, z) in enumerate(planes)
    )
    pixels = "<ome:Image><ome:Pixels DimensionOrder='XYZCT' SizeX='90' SizeY='70' SizeC='2' SizeZ='3' SizeT='1'>"
    values = write_ome(tmp_path / "cell.tif", f"{pixels}{data}</ome:Pixels></ome:Image>", 6)
    denoise(tmp_path / "cell.tif")
    found, axes, _ = read(results / "cell_denoised.tif")
    assert axes == "ZCYX"
    for page, (c, z) in enumerate(planes):
        np.testing.assert_array_equal(found[z, c], network(values[page]))


@pytest.mark.parametrize(
    "inner",
    [
        "<ome:BinaryOnly MetadataFile='a.companion.ome'/>",
        "<ome:Pixels DimensionOrder='XYZCT' SizeC='2' SizeZ='3' SizeT='5'/>",
        "<ome:Pixels DimensionOrder='XYZCT' SizeC='2' SizeZ='3'><ome:TiffData IFD='3' PlaneCount='2'/></ome:Pixels>",
        "<ome:Pixels DimensionOrder='XYZCT' SizeC='2' SizeZ='3'><ome:TiffData IFD='6'/></ome:Pixels>",
    ],
    ids=["elsewhere", "other files", "some", "beyond"],
)
def test_an_ome_tiff_whose_planes_are_not_known_is_told(denoise, tmp_path, inner):
    write_ome(tmp_path / "cell.tif", inner, 6)
    answer = denoise(tmp_path / "cell.tif")
    assert not answer["calls"]
    assert (
        answer["said"]
        .splitlines()[-1]
        .startswith("cell.tif: its OME-XML does not say which of its 6 planes is which; ")
    )


@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_earlier_result_stays_when_deepimagej_fails(denoise, results, tmp_path, fails_at):
    results.mkdir()
    (results / "cell_denoised.tif").write_text("an earlier result")
    write(tmp_path / "cell.tif", (200, 200), "YX")
    said = denoise(tmp_path / "cell.tif", pixels=150 * 150, fails_from=fails_at)["said"]
    assert [path.read_text() for path in results.iterdir()] == ["an earlier result"]
    told = {1: ", told in its present words and in its former ones; its own messages say why, if it is installed",
            2: "; its own messages say why"}  # fmt: skip
    assert said.splitlines()[-2:] == [
        "Denoised: 0 of 1. Not denoised:",
        f"cell.tif: deepImageJ returned no result{told[fails_at]}.",
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(denoise, results, tmp_path, value):
    values = np.ones((2, 70, 90), np.float32)
    values[1, 3, 4] = value
    tifffile.imwrite(tmp_path / "cell.tif", values, imagej=True, metadata={"axes": "ZYX"})
    answer = denoise(tmp_path / "cell.tif")
    assert answer["said"].splitlines()[-1] == "cell.tif: it holds pixels that are no numbers (NaN or infinity)."
    assert answer["calls"] == []
    assert not list(results.iterdir())


def test_an_image_of_one_value_with_a_selection_is_denoised_whole(denoise, results, tmp_path):
    values = np.full((70, 90), 7, np.float32)
    rectangle = b"Iout" + struct.pack(">hBxhhhh", 227, 1, 10, 10, 30, 30) + bytes(48)
    tifffile.imwrite(tmp_path / "cell.tif", values, imagej=True, metadata={"ROI": rectangle})
    denoise(tmp_path / "cell.tif")
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(values))


def test_an_earlier_result_is_replaced_by_a_new_one(denoise, results, tmp_path):
    results.mkdir()
    (results / "cell_denoised.tif").write_text("an earlier result")
    noisy = write(tmp_path / "cell.tif", (70, 90), "YX")
    denoise(tmp_path / "cell.tif")
    assert [path.name for path in results.iterdir()] == ["cell_denoised.tif"]
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(noisy))


def test_a_full_disk_is_told_and_costs_no_earlier_result(denoise, tmp_path):
    write(tmp_path / "cell.tif", (200, 200), "YX")
    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / "cell_denoised.tif").write_text("an earlier result")
        said = denoise(tmp_path / "cell.tif", folder=disk)["said"]
        assert [path.read_text() for path in disk.iterdir()] == ["an earlier result"]
    assert said.splitlines()[-1] == f"cell.tif: its result cannot be written to {disk}."


def test_deepimagej_from_before_july_2025_has_other_names(denoise, results, tmp_path):
    noisy = write(tmp_path / "cell.tif", (200, 70), "YX")
    answer = denoise(tmp_path / "cell.tif", pixels=150 * 150, names=["modelPath", "inputPath", "outputFolder"])
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(noisy))
    assert all("displayOutput=null" in call["options"] for call in answer["calls"])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda model, image: (model / "rdf.yaml").unlink(), r"There is no rdf.yaml in .*: name the unzipped folder"),
        (lambda model, image: image.unlink(), r"There is no image .*cell.tif\."),
        (lambda model, image: image.write_text("none"), "cell.tif: it cannot be opened as an image."),
        (lambda model, image: (image.unlink(), image.mkdir()), r"There are no images in .*cell.tif\."),
        (lambda model, image: (image.parent / "the results").write_text(""), r"The folder .*results cannot be made\."),
    ],
    ids=["model", "missing", "unreadable", "empty", "results"],
)  # fmt: skip
def test_bad_input_is_one_plain_sentence(denoise, model, tmp_path, spoil, sentence):
    write(tmp_path / "cell.tif", (70, 90), "YX")
    spoil(model, tmp_path / "cell.tif")
    answer = denoise(tmp_path / "cell.tif")
    assert not answer["calls"]
    assert "Exception" not in answer["said"]
    assert re.search(f"(?m)^{sentence}.*$", answer["said"])


def test_a_model_that_the_command_cannot_name_is_told(running, model, tmp_path):
    odd = model.rename(tmp_path / "model [2]")
    write(tmp_path / "cell.tif", (70, 90), "YX")
    said = running.run(write_macro(tmp_path), f"{odd}|{tmp_path / 'cell.tif'}|{tmp_path}")["said"]
    assert "without brackets in its name" in said


def test_temporary_files_that_the_command_cannot_name_are_told(model, tmp_path):
    odd = tmp_path / "a [b]"
    odd.mkdir()
    write(tmp_path / "cell.tif", (70, 90), "YX")
    program = ImageJ(odd)
    said = program.run(write_macro(tmp_path), f"{model}|{tmp_path / 'cell.tif'}|{tmp_path}")["said"]
    program.close()
    assert "let temporary files go to a folder without brackets in its name" in said


def test_another_model_is_refused(running, model, tmp_path):
    (model / "rdf.yaml").write_text("type: model\n")
    write(tmp_path / "cell.tif", (70, 90), "YX")
    said = running.run(write_macro(tmp_path), f"{model}|{tmp_path / 'cell.tif'}|{tmp_path}")["said"]
    assert said == f"The model in {model} is not the one of this macro: name the folder that this macro came in.\n"


def test_without_a_window_three_paths_are_asked_for(running, tmp_path):
    said = running.run(write_macro(tmp_path), "")["said"]
    assert said == "Without a window, name the three paths, parted by bars: MODEL_FOLDER|IMAGE|RESULT_FOLDER.\n"


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    if shutil.which("Xvfb") is None:
        pytest.skip("no screen: Xvfb is not installed")
    if not all(map(ctypes.util.find_library, ("Xext", "Xi", "Xtst", "Xrender", "fontconfig"))):
        pytest.skip("Java lacks libraries for windows")
    reading, writing = os.pipe()
    process = subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp"], pass_fds=[writing])
    with os.fdopen(reading) as stream:
        yield f":{stream.readline().strip()}"
    process.terminate()
    process.wait()


def test_with_a_window_the_result_is_shown_and_those_of_a_folder_are_saved_alone(screen, model, results, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    noisy = write(folder / "cell.tif", (3, 70, 90), "ZYX")
    program, macro = ImageJ(tmp_path, screen=screen), write_macro(tmp_path)
    answers = [program.run(macro, f"{model}|{each}|{results}") for each in (folder, folder / "cell.tif")]
    program.close()
    assert [answer["shown"] for answer in answers] == [[], ["cell_denoised.tif"]]
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(noisy))


def test_with_a_window_the_models_folder_is_asked_for_unless_the_macro_lies_in_it(screen, model, results, tmp_path):
    """From Fiji's editor ImageJ knows no path of the macro, or that of one that ran before."""
    write(tmp_path / "cell.tif", (70, 90), "YX")
    (other := tmp_path / "other").mkdir()
    (other / "rdf.yaml").write_text("type: model\n")
    macro, image = write_macro(tmp_path), tmp_path / "cell.tif"
    answers = {
        'getDirectory("The folder of the model (it holds rdf.yaml)")': "asked()",
        'getBoolean("Denoise one image, or all images of a folder?", "One image", "A folder")': "true",
        'File.openDialog("The image to denoise")': f'"{image}"',
        'getDirectory("The folder for the results")': f'"{results}"',
    }
    text = macro.read_text()
    for question, answer in answers.items():
        assert question in text
        text = text.replace(question, answer)
    macro.write_text(f'{text}\nfunction asked() {{ File.append("yes", "{tmp_path / "asked"}"); return "{model}"; }}\n')
    program = ImageJ(tmp_path, screen=screen)
    asked = []
    for earlier in (None, other, model):
        program.run(macro, "", earlier=earlier and str(earlier / "run_in_fiji.ijm"))
        asked.append((tmp_path / "asked").exists())
        (tmp_path / "asked").unlink(missing_ok=True)
        (results / "cell_denoised.tif").unlink()
    program.close()
    assert asked == [True, True, False]
