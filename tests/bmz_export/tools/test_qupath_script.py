"""The script for QuPath, compiled and run by Groovy, with QuPath's own classes stood in for (`helpers/qupath`).

The stand-ins keep what QuPath was seen to do: regions beyond the image are dark, a tile that fails while the result is
written is logged and passed over, a model that does not load is none, nothing asks without a window. The network has a
radius and strides, so that tiles that begin elsewhere, see too little or are padded show.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.building import built_package
from helpers.maven_jar import maven_jar

from bmz_export.engines import ENGINES
from bmz_export.engines.java import java_library
from bmz_export.tools.qupath import TOOL
from training.inference.backends import from_torchscript
from training.inference.tiles import plan

GROOVY = {
    "4": (
        ("groovy:4.0.26", "ae3196ed31fa11e8506f9c40a6b34fdaff06a8eeda78a8a6ebaeb1a2a0ad35dc", 7617240),
        ("groovy-jsr223:4.0.26", "5675036562faebfcaf6786bcca24554b4796a4f66ee7cc158f9e70bd6a2d684e", 16615),
    ),
    "5": (
        ("groovy:5.0.4", "35d6e6a658ebf549c736c06fbaf370521a3a72e3a044f6a868b33a0844d40d6c", 8059981),
        ("groovy-jsr223:5.0.4", "0dffbb03cfde9c7b6cf03080a8c18827d04f86b83c61a7bf21d2a906498d1395", 21463),
    ),
}
STAND_INS, LIBTORCH = (Path(__file__).parents[2] / "helpers" / name for name in ("qupath", "qupath_libtorch"))
RADIUS, STRIDE, HALO = 20, 8, 24
OLD = b"what was there before"


@dataclass(frozen=True)
class Case:
    """One run: an image (T, Z, C, Y, X), the words that the script is given, and what the user's machine is like."""

    shape: tuple[int, ...] | None = (1, 1, 1, 70, 50)
    words: tuple[str, ...] | None = ("model", "out.ome.tif")
    channels: tuple[str, ...] = ("DAPI",)
    pixel: tuple[float, float, float] = (float("nan"),) * 3
    type: str = "FLOAT32"
    weights: str = f"{RADIUS} {STRIDE} 0"
    script: str = "script"
    there: tuple[str, ...] = ()
    chosen: dict[str, str] = field(default_factory=dict)
    window: bool = False
    last: float | None = None  # value of the last pixel, where it is no random one


LARGE = Case((1, 1, 1, 530, 1003))
TWO = Case((1, 1, 2, 30, 40), channels=("DAPI", "GFP, dim"))
WINDOW = Case(words=None, window=True, chosen={"directory": "model", "file": "out.ome.tif"})
IMAGES = {
    "a plane": Case(),
    "large": LARGE,
    "large the other way": Case((1, 1, 1, 1003, 40)),
    "a stack": Case((1, 3, 1, 40, 50), pixel=(0.5, 0.25, 2.0)),
    "a series": Case((3, 1, 1, 40, 50)),
    "a hyperstack with channels": replace(TWO, shape=(2, 3, 2, 30, 40), pixel=(0.5, 0.5, 1.0)),
    "RGB": Case((1, 1, 3, 150, 130), channels=("Red", "Green", "Blue"), type="UINT8"),
    "16 bit": Case((1, 1, 1, 95, 101), type="UINT16"),
    "spaces and letters": Case(words=("my model", "cell one µ.ome.tif"), chosen={"folder": "my model"}),
    "a result as .tif": Case(words=("model", "out.tif")),
    "smaller than any minimum": Case((1, 1, 1, 6, 5)),
    "a line": Case((1, 1, 1, 1, 600)),
    "a result that is replaced": Case(there=("out.ome.tif",)),
    "a halo of more than a third of a tile": Case((1, 1, 1, 40, 700), weights="190 40 0", script="wide"),
    "no halo": Case((1, 1, 1, 40, 700), weights="0 8 0", script="none"),
    "chosen in a window": WINDOW,
}
CHANNELS = {
    ("1",): [1],
    ("GFP, dim",): [1],
    ("1,0",): [1, 0],
    ("1", "DAPI"): [1, 0],
    ("DAPI,0",): [0],
}
STOPS = {
    "no image": (Case(shape=None), "No image is open: open one first, or name it with --image=IMAGE"),
    "no image in a window": (replace(WINDOW, shape=None), "No image is open: open one first"),
    "a channel that is not there": (
        replace(TWO, words=("model", "out.ome.tif", "2")),
        "There is no channel 2: this image has 0 (DAPI), 1 (GFP, dim)",
    ),
    "a name that is not there": (
        replace(TWO, words=("model", "out.ome.tif", "RFP")),
        "There is no channel RFP: this image has 0 (DAPI), 1 (GFP, dim)",
    ),
    "another format": (
        Case(words=("model", "out.png"), there=("out.png",)),
        "QuPath cannot write the result as out.png: give it a name that ends in .ome.tif, or in .tif",
    ),
    "another folder": (
        Case(words=("elsewhere", "out.ome.tif")),
        "There is no weights.pt in {}/elsewhere: name the unzipped folder of the model",
    ),
    "no place for the result": (
        Case(words=("model", "gone/out.ome.tif")),
        "There is no folder {}/gone for the result",
    ),
    "the image itself as the result": (
        Case(words=("model", "image.tif")),
        "The result would replace the image itself: give it another name",
    ),
    "weights that do not load": (
        Case(weights="broken", there=("out.ome.tif",)),
        "QuPath does not load the model: install PyTorch with Extensions > Deep Java Library > Manage DJL engines; "
        "if it is there, the log says more",
    ),
    "nothing named without a window": (
        Case(words=None),
        "Name the folder of the model and the result: --args=MODEL_FOLDER --args=RESULT.ome.tif",
    ),
    "no model chosen": (replace(WINDOW, chosen={"file": "out.ome.tif"}), "No folder of the model was chosen"),
    "no result chosen": (replace(WINDOW, chosen={"directory": "model"}), "No file for the result was named"),
    "a failure at the first tile": (
        replace(LARGE, weights=f"{RADIUS} {STRIDE} 1", there=("out.ome.tif",)),
        "Nothing was written to {}/out.ome.tif: java.lang.IllegalStateException: the GPU is out of memory",
    ),
    "a pixel that is no number": (
        replace(LARGE, last=float("nan"), there=("out.ome.tif",)),
        "Nothing was written to {}/out.ome.tif: java.io.IOException: the image holds pixels that are no numbers "
        "(NaN or infinity)",
    ),
    "a failure in the middle": (
        replace(LARGE, weights=f"{RADIUS} {STRIDE} 3", there=("out.ome.tif",)),
        "Nothing was written to {}/out.ome.tif: java.lang.IllegalStateException: the GPU is out of memory",
    ),
}
CASES = {
    **IMAGES,
    **{f"channels {words}": replace(TWO, words=("model", "out.ome.tif", *words)) for words in CHANNELS},
    **{name: case for name, (case, _) in STOPS.items()},
    "cut elsewhere": replace(LARGE, script="shifted"),
}


def pixels(case):
    """The image of a case, of whole numbers."""
    high = 256 if case.type == "UINT8" else 1000
    image = np.random.default_rng(0).integers(0, high, case.shape).astype(np.float32)
    if case.last is not None:
        image[..., -1, -1] = case.last
    return image


def network(planes, radius, stride):
    """What the stand-in's network makes of whole planes (..., Y, X)."""
    result = planes
    for axis in (-1, -2):
        pad = [(0, 0)] * result.ndim
        pad[axis] = (radius, radius)
        sums = np.cumsum(np.pad(result.astype(np.float64), pad, mode="symmetric"), axis=axis)
        sums = np.insert(sums, 0, 0, axis=axis)
        after, before = (np.take(sums, np.arange(result.shape[axis]) + first, axis) for first in (2 * radius + 1, 0))
        result = ((after - before) / (2 * radius + 1)).astype(np.float32)
    y, x = np.indices(planes.shape[-2:])
    return result + (y % stride * stride + x % stride).astype(np.float32)


def write_scripts(folder):
    """Write the scripts of several halos, and one that cuts where no tile may begin."""
    for name, halo in (("script", HALO), ("wide", 200), ("none", 0)):
        (folder / name).mkdir()
        TOOL.script.write(folder / name, title="A test", halo=halo, tile=512, torchscript="weights.pt", sample="s.tif")
    text = (folder / "script" / TOOL.script.name).read_text()
    (folder / "shifted").mkdir()
    shifted = text.replace("int unit = halo > 0 ? halo : tile", "int unit = 7")
    assert shifted != text
    (folder / "shifted" / TOOL.script.name).write_text(shifted)


def write_case(folder, case, script):
    """Write what a case's user has."""
    model = folder / case.chosen.get("folder", "model")
    model.mkdir(parents=True)
    (model / "weights.pt").write_text(case.weights)
    for name in case.there:
        (folder / name).write_bytes(OLD)
    lines = {"script": script, "window": str(case.window).lower()}
    if case.words is not None:
        places = [str(folder / word) for word in case.words[:2]]
        lines["args"] = "\t".join((*places, *case.words[2:]))
    lines |= {key: str(folder / case.chosen[key]) for key in ("directory", "file") if key in case.chosen}
    if case.shape is not None:
        (folder / "image.tif").write_bytes(pixels(case).astype(">f4").tobytes())
        lines |= {
            "image": str(folder / "image.tif"), "shape": " ".join(map(str, case.shape)), "type": case.type,
            "pixel": " ".join(map(str, case.pixel)).replace("nan", "NaN"), "channels": "|".join(case.channels),
            "rgb": str(case.type == "UINT8").lower(),
        }  # fmt: skip
    (folder / "case").write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")


def groovy(kind, folders, *classes, **environment):
    """Run the cases that lie in folders in one Java machine, with further classes in place of the stand-ins'."""
    jars = [maven_jar(f"org.apache.groovy:{name}", sha256, size) for name, sha256, size in GROOVY[kind]]
    command = [
        java_library().parents[2] / "bin" / "java",
        "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
        "-cp", os.pathsep.join(map(str, (*jars, *classes, STAND_INS))),
        "groovy.ui.GroovyMain", STAND_INS / "run.groovy", *folders,
    ]  # fmt: skip
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def run(kind, folder, cases):
    """Run cases, each in a folder of its own, and return the folders."""
    write_scripts(folder)
    folders = {name: folder / str(index) for index, name in enumerate(cases)}
    for name, case in cases.items():
        write_case(folders[name], case, folder / case.script / TOOL.script.name)
    groovy(kind, folders.values())
    return folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return run("4", tmp_path_factory.mktemp("qupath"), CASES)


def result_of(folder, name="out.ome.tif"):
    """Return pixels (T, Z, C, Y, X), names of channels and pixel size of a result."""
    numbers, names, data = (folder / name).read_bytes().split(b"\n", 2)
    numbers = numbers.decode().split()
    shape, pixel = tuple(map(int, numbers[:5])), tuple(map(float, numbers[5:]))
    return np.frombuffer(data, ">f4").reshape(shape), tuple(names.decode().split("|")), pixel


def assert_right(case, folder):
    found, names, pixel = result_of(folder, (case.words or ("", "out.ome.tif"))[1])
    radius, stride, _ = map(int, case.weights.split())
    wanted = network(pixels(case), radius, stride)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-3)
    assert names == case.channels
    np.testing.assert_equal(pixel, case.pixel)
    assert (folder / "told").read_text() == ""
    assert not list(folder.glob(".denoising*"))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_denoised_like_the_whole_of_it_by_itself(folders, name):
    assert_right(IMAGES[name], folders[name])


def test_tiles_that_begin_elsewhere_would_have_shown(folders):
    found, _, _ = result_of(folders["cut elsewhere"])
    assert np.abs(found - network(pixels(LARGE), RADIUS, STRIDE)).max() > 1


@pytest.mark.parametrize("words", CHANNELS)
def test_channels_are_named_or_counted(folders, words):
    found, names, _ = result_of(folders[f"channels {words}"])
    wanted = CHANNELS[words]
    np.testing.assert_allclose(found, network(pixels(TWO), RADIUS, STRIDE)[:, :, wanted], rtol=1e-6, atol=1e-3)
    assert names == tuple(TWO.channels[index] for index in wanted)


@pytest.mark.parametrize("name", STOPS)
def test_what_cannot_be_done_is_told_in_a_sentence_and_nothing_is_lost(folders, name):
    (case, sentence), folder = STOPS[name], folders[name]
    before = {"model", "case", "calls", "told", "printed", "shown", *case.there, *(["image.tif"] if case.shape else [])}
    sentence = sentence.format(folder, folder)
    assert (folder / "told").read_text() == sentence
    assert (folder / "shown").read_text() == (f"error: {sentence}" if case.window else "")
    assert {path.name for path in folder.iterdir()} == before
    assert all((folder / name).read_bytes() == OLD for name in case.there)


def test_its_tiles_are_our_own_and_the_model_is_closed(folders):
    tiles = plan(LARGE.shape[-2:], (512, 512), (HALO, HALO), (HALO, HALO))
    *calls, last = (folders["large"] / "calls").read_text().splitlines()
    assert sorted(calls) == sorted(f"{y.stop - y.start} {x.stop - x.start}" for y, x in tiles)
    assert last == "closed"
    assert (folders["a failure in the middle"] / "calls").read_text().endswith("\nclosed")


def test_the_end_is_told(folders):
    out = folders["chosen in a window"] / "out.ome.tif"
    assert (folders["chosen in a window"] / "shown").read_text() == f"info: Denoised: {out}"
    assert (folders["a plane"] / "printed").read_text().startswith("Denoised: ")
    assert "each of its channels is denoised by itself" in (folders["RGB"] / "printed").read_text()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package of a network with strides, whose radius the halo covers."""
    return built_package(tmp_path_factory.mktemp("package"), "drunet", calibration={"margin": 32}).folder


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param("4", "libtorch-2.5.1", marks=pytest.mark.slow), ("5", "libtorch-2.7.1")]
)
def test_a_packages_own_script_gives_the_pixels_of_the_whole_image_on_libtorch(package, tmp_path, kind, name):
    """In the versions of QuPath 0.6 and 0.7."""
    engine = ENGINES[name]
    if not engine.installed():
        pytest.skip(f"{name} is not installed: {engine.install_hint}")
    case = Case((1, 2, 1, 601, 95), type="UINT16")
    write_case(tmp_path, case, package / TOOL.script.name)
    shutil.copytree(package, tmp_path / "model", dirs_exist_ok=True)
    options = engine.options(engine.folder)
    groovy(kind, [tmp_path], *options["jars"], LIBTORCH, DJL_CACHE_DIR=options["unpacked"], DJL_OFFLINE="true")
    assert (tmp_path / "told").read_text() == ""
    found, _, _ = result_of(tmp_path)
    predict = from_torchscript(tmp_path / "model" / "weights.pt", "cpu")
    (wanted,) = predict(pixels(case).reshape(-1, 1, *case.shape[-2:]))
    wanted = wanted.reshape(case.shape)
    assert np.abs(found - wanted).max() < 1e-5 * np.ptp(wanted)
