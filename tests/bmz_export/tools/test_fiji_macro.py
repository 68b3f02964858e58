"""The macro for Fiji, run in ImageJ 1.54p itself, with a stand-in for deepImageJ that keeps its contract."""

import ctypes.util
import os
import re
import shutil
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


def write_macro(folder, pixels=None):
    """Write the macro, which gives deepImageJ so many pixels at a time, its halo included."""
    memory = Memory(0, 800 if pixels is None else 4e9 / pixels)
    facts = {"title": "A model", "halo": HALO, "minimum": MINIMUM, "stride": STRIDE, "memory": memory}
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
    (folder / "rdf.yaml").write_text("type: model\n")
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


@pytest.mark.parametrize("pixels", [None, 110 * 110], ids=["whole", "in tiles"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZYX", "TCYX", "ZCYX", "TZCYX"])
def test_planes_are_denoised_and_put_together_as_they_were(denoise, results, tmp_path, axes, pixels):
    """deepImageJ itself makes frames of slices, and takes z = 0 alone of a series of stacks."""
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 70, "X": 90}[axis] for axis in axes)
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
@pytest.mark.parametrize("pixels", [1, 150 * 150])
def test_tiles_show_no_seam(denoise, results, tmp_path, shape, pixels):
    """They overlap, begin on the network's grid, and have their real neighbours around them."""
    noisy = write(tmp_path / "cell.tif", shape, "YX")
    answer = denoise(tmp_path / "cell.tif", pixels=pixels)
    np.testing.assert_array_equal(read(results / "cell_denoised.tif")[0], expected(noisy))
    assert len(answer["calls"]) > 1
    if pixels > 1:
        assert all(np.prod([length + 2 * HALO for length in call["shape"]]) <= pixels for call in answer["calls"])


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
    (folder / "none.tif").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    write(folder / "old_denoised.tif", (70, 90), "YX")
    said = denoise(folder)["said"]
    assert sorted(path.name for path in results.iterdir()) == ["a b_denoised.tif", "c_denoised.tif"]
    for name, values in noisy.items():
        np.testing.assert_array_equal(read(results / f"{name[:-4]}_denoised.tif")[0], expected(values))
    assert said.splitlines()[-3:] == [
        "Denoised: 2 of 4. Not denoised:",
        "bad.tif: it cannot be opened as an image.",
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


@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_earlier_result_stays_when_deepimagej_fails(denoise, results, tmp_path, fails_at):
    results.mkdir()
    (results / "cell_denoised.tif").write_text("an earlier result")
    write(tmp_path / "cell.tif", (200, 200), "YX")
    said = denoise(tmp_path / "cell.tif", pixels=150 * 150, fails_from=fails_at)["said"]
    assert [path.read_text() for path in results.iterdir()] == ["an earlier result"]
    assert said.splitlines()[-2:] == [
        "Denoised: 0 of 1. Not denoised:",
        "cell.tif: deepImageJ returned no result; its own messages say why, if it is installed.",
    ]


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
