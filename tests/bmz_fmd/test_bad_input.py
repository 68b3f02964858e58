"""Bad input through the command line: exit code 2, one short line that names it, no traceback, nothing lost."""

import shutil
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile
import torch
from helpers.command_line import bmz_fmd, snapshot
from helpers.small_run import small_run
from PIL import Image

_LONGEST = 340  # characters of a message


@dataclass(frozen=True)
class Bad:
    """A command that must be refused."""

    why: str
    words: str
    """What is typed after ``bmz-fmd``."""

    says: tuple[str, ...]
    """What the message names: the file or option, and the cause."""


def bad(why, words, *says):
    return Bad(why, words, says)


OUT = "--model runs/small --out out"
SCORE = "evaluate --model runs/small --data-range 255"
PAIRS = "train --noisy noisy --clean clean --set epochs=1 --checkpoint none"
SCRATCH = "train --network dncnn --checkpoint none"

WORDS = [
    bad("no such verb", "denoize cells.tif", "denoize"),
    bad("no such option", f"denoise cells.tif {OUT} --frobnicate", "--frobnicate"),
    bad("no image named", f"denoise {OUT}", "IMAGE"),
    bad("no model named", "denoise cells.tif --out out", "--model"),
    bad("no folder named", "denoise cells.tif --model runs/small", "--out"),
    bad("a tile that is no number", f"denoise cells.tif {OUT} --tile big", "--tile"),
    bad("an unknown convention", f"{SCORE} --convention best", "--convention", "best", "affine"),
]

DENOISE = [
    bad("a missing image", f"denoise none.tif {OUT}", "none.tif", "does not exist"),
    bad("a missing one among good ones", f"denoise cells.tif none.tif {OUT}", "none.tif", "does not exist"),
    bad("a folder without images", f"denoise empty {OUT}", "empty"),
    bad("a text", f"denoise notes.txt {OUT}", "notes.txt", "no TIFF or PNG"),
    bad("a text that is called an image", f"denoise text.tif {OUT}", "text.tif", "no TIFF or PNG"),
    bad("an empty file", f"denoise zero.tif {OUT}", "zero.tif", "empty"),
    bad("a file that is cut off", f"denoise cut.tif {OUT}", "cut.tif"),
    bad("a microscope maker's format", f"denoise movie.nd2 {OUT}", "movie.nd2", "OME-TIFF"),
    bad("a photograph", f"denoise photo.jpg {OUT}", "photo.jpg"),
    bad("a colour image", f"denoise colour.png {OUT}", "colour.png", "colour"),
    bad("NaN", f"denoise nan.tif {OUT}", "nan.tif", "NaN"),
    bad("complex numbers", f"denoise complex.tif {OUT}", "complex.tif", "complex"),
    bad("a file of a set without its header", f"denoise part.ome.tif {OUT}", "part.ome.tif", "all.companion.ome"),
    bad("a run that is not there", "denoise cells.tif --model runs/smal --out out", "runs/smal", "runs/small"),
    bad("a folder that is no model", "denoise cells.tif --model noisy --out out", "--model noisy", "neither"),
    bad("a file that is no model", "denoise cells.tif --model notes.txt --out out", "--model notes.txt"),
    bad("a zip that is none", "denoise cells.tif --model garbage.zip --out out", "garbage.zip"),
    bad("a zip without a description", "denoise cells.tif --model stranger.zip --out out", "stranger.zip"),
    bad("a zip that climbs out", "denoise cells.tif --model climbing.zip --out out", "climbing.zip"),
    bad("a run that never trained", "denoise cells.tif --model runs/begun --out out", "runs/begun"),
    bad("a damaged checkpoint", "denoise cells.tif --model runs/damaged --out out", "best.ckpt"),
    bad("a checkpoint of something else", "denoise cells.tif --model runs/other --out out", "best.ckpt"),
    bad("damaged settings of a run", "denoise cells.tif --model runs/unreadable --out out", "settings.yaml"),
    bad("a run of an unknown network", "denoise cells.tif --model runs/wnet --out out", "settings.yaml", "wnet"),
    bad(
        "provenance of an unknown network",
        "denoise cells.tif --model runs/misnamed --out out",
        "provenance.json",
        "wnet",
    ),
    bad("provenance without constants", "denoise cells.tif --model runs/uncalibrated --out out", "provenance.json"),
    bad("damaged provenance of a run", "denoise cells.tif --model runs/untold --out out", "provenance.json"),
    bad("a result that exists", "denoise cells.tif --model runs/small --out done", "done/cells.tif", "--overwrite"),
    bad("the input's own folder", "denoise cells.tif --model runs/small --out .", "cells.tif", "never replaced"),
    bad("the same with --overwrite", "denoise cells.tif --model runs/small --out . --overwrite", "never replaced"),
    bad("a link to the input", "denoise cells.tif --model runs/small --out linked --overwrite", "never replaced"),
    bad("two inputs of one name", f"denoise noisy/a.tif clean/a.tif {OUT}", "noisy/a.tif", "clean/a.tif"),
    bad("one input twice", f"denoise cells.tif cells.tif {OUT}", "cells.tif"),
    bad("a file for a folder", "denoise cells.tif --model runs/small --out notes.txt", "--out notes.txt", "is a file"),
    bad("a tile within the halo", f"denoise cells.tif {OUT} --tile 5", "--tile 5", "halo"),
    bad("a channel where there are none", f"denoise cells.tif {OUT} --channel 0", "--channel 0", "no channel axis"),
    bad("a channel that is not there", f"denoise channels.tif {OUT} --channel 7", "--channel 7", "0 to 1"),
    bad("a device that is not here", f"denoise cells.tif {OUT} --device abacus", "--device abacus", "cpu"),
]

WEIGHTED = "train --noisy noisy --clean clean --network dncnn"

EVALUATE = [
    bad("noisy images without clean ones", f"{SCORE} --noisy noisy", "--clean"),
    bad("clean images without noisy ones", f"{SCORE} --clean clean", "--noisy"),
    bad("a missing folder", f"{SCORE} --noisy none --clean clean", "--noisy", "none"),
    bad("folders without a common name", f"{SCORE} --noisy noisy --clean strangers", "noisy", "strangers"),
    bad("shapes that differ", f"{SCORE} --noisy noisy --clean small", "a.tif"),
    bad("stacks of unequal length", f"{SCORE} --noisy stacks --clean short", "a.tif"),
    bad("a peak of 0", f"{SCORE} --data-range 0 --noisy noisy --clean clean", "--data-range"),
    bad("no peak for 16 bits", "evaluate --model runs/small --noisy stacks --clean stacks2", "--data-range"),
    bad("a pattern that is none", f"{SCORE} --noisy noisy --clean clean --pattern x", "--pattern"),
    bad("a JSON that is no result", f"{SCORE} --noisy noisy --clean clean --json mine.json", "--json mine.json"),
    bad("a JSON that is an image", f"{SCORE} --noisy noisy --clean clean --json cells.tif", "--json cells.tif"),
    bad(
        "a picture that is an image", f"{SCORE} --noisy noisy --clean clean --figure colour.png", "--figure colour.png"
    ),
]

EXPORT = [
    bad("nothing to export", "export", "--dataset", "--run"),
    bad("a run that is not there", "export --run runs/none", "runs/none"),
    bad("a folder that is no run", "export --run noisy", "noisy", "settings.yaml"),
    bad("a data set without a run", "export --dataset nucleus", "nucleus"),
    bad("a description that is not there", "export --run runs/small --about none.yaml", "none.yaml"),
    bad("a description that is no YAML", "export --run runs/small --about broken.yaml", "broken.yaml"),
    bad("a run that never trained", "export --run runs/begun", "runs/begun"),
    bad("a damaged checkpoint", "export --run runs/damaged", "best.ckpt"),
    bad("a run and a data set", "export --run runs/small --dataset nucleus", "--dataset", "--run"),
    bad("a name that is a path", "export --run runs/small --name ../up", "../up"),
    bad("a file for a folder", "export --run runs/small --out notes.txt", "notes.txt"),
    bad("an example that is no image", "export --run runs/small --example notes.txt", "notes.txt"),
    bad("an example that is not there", "export --run runs/small --example none.tif", "none.tif"),
]

TRAIN = [
    bad("nothing to train on", "train --network dncnn", "--dataset", "--noisy"),
    bad("an unknown data set", f"{SCRATCH} --dataset nucleous", "nucleous", "nucleus"),
    bad("a data set that is not in the folder", f"{SCRATCH} --dataset nucleus --data noisy", "nucleus"),
    bad("an unknown network", f"{PAIRS} --network drunett", "drunett", "drunet"),
    bad("noisy images without clean ones", f"{SCRATCH} --noisy noisy --method supervised", "--clean"),
    bad("a missing folder", f"{SCRATCH} --noisy noisy --clean none", "none", "does not exist"),
    bad("an empty folder", f"{SCRATCH} --noisy noisy --clean empty", "empty"),
    bad("folders without a common name", f"{SCRATCH} --noisy noisy --clean strangers", "strangers"),
    bad("shapes that differ", f"{SCRATCH} --noisy noisy --clean small", "a.tif"),
    bad("stacks of unequal length", f"{SCRATCH} --noisy stacks --clean short", "a.tif"),
    bad("one image only", f"{SCRATCH} --noisy one/noisy --clean one/clean", "one image"),
    bad("NaN", f"{SCRATCH} --noisy withnan --clean clean", "a.tif", "NaN"),
    bad("a folder of texts", f"{SCRATCH} --noisy texts --clean clean", "texts"),
    bad("several channels and none chosen", f"{SCRATCH} --noisy several --clean several2", "--channel"),
    bad("a channel that is not there", f"{SCRATCH} --noisy several --clean several2 --channel 5", "5"),
    bad("an unknown key", f"{PAIRS} --network dncnn --set epoch=3", "epoch", "epochs"),
    bad("a value of another type", f"{PAIRS} --network dncnn --set epochs=many", "epochs", "many"),
    bad("a value out of range", f"{PAIRS} --network dncnn --set test_fraction=1.5", "test_fraction"),
    bad("a setting without a value", f"{PAIRS} --network dncnn --set epochs", "--set"),
    bad("an unknown recipe", f"{PAIRS} --network dncnn --recipe drunet-thesiss", "drunet-thesiss"),
    bad("a recipe that is no YAML", f"{PAIRS} --network dncnn --recipe broken.yaml", "broken.yaml"),
    bad("a recipe with an unknown key", f"{PAIRS} --network dncnn --recipe unknown.yaml", "unknown.yaml", "epoch"),
    bad("a checkpoint that is not there", f"{PAIRS} --network dncnn --checkpoint none.pth", "none.pth"),
    bad("a checkpoint that is none", f"{PAIRS} --network dncnn --checkpoint garbage.pth", "garbage.pth"),
    bad("a checkpoint of another network", f"{PAIRS} --network dncnn --checkpoint unfit.pth", "unfit.pth"),
    bad("a run that exists", f"{PAIRS} --network dncnn --name small", "small", "--resume"),
    bad("a name that is a path", f"{PAIRS} --network dncnn --name ../up", "../up"),
    bad("a device that is not here", f"{PAIRS} --network dncnn --device abacus", "abacus", "cpu"),
    bad("an unknown setting of the network", f"{PAIRS} --network dncnn --network-set deep=3", "deep"),
    bad(
        "a setting of the network that is no number", f"{PAIRS} --network dncnn --network-set depth=8.0", "depth", "8.0"
    ),
    bad("a setting of 0", f"{PAIRS} --network restormer --network-set heads=[0,1,1,1]", "heads", "above 0"),
    bad("a date that is none", f"{PAIRS} --network dncnn --set lr=2024-13-45", "lr=2024-13-45"),
    bad("a recipe with a date that is none", f"{PAIRS} --network dncnn --recipe dated.yaml", "dated.yaml"),
    bad("an option that is a list", "train --dataset simulated --option images=[1]", "--option images"),
    bad("an option without a value", "train --dataset simulated --option images=", "--option images"),
    bad("clean images that are black", f"{SCRATCH} --noisy noisy --clean black", "clean images", "same value"),
    bad("no weights", WEIGHTED, "dncnn_25", "--yes", "--checkpoint FILE", "--checkpoint none"),
    bad("weights that no program fetches", f"{WEIGHTED} --network kbnet --yes", "gau_gray_25", "--checkpoint FILE"),
    bad("an unknown loss", f"{PAIRS} --network dncnn --set loss=huber", "loss"),
    bad("two data sets at once", f"{PAIRS} --network dncnn --dataset nucleus --data .", "--dataset"),
    bad("the same folder twice", f"{SCRATCH} --noisy noisy --clean noisy", "same folder"),
    bad("nothing to resume", f"{PAIRS} --network dncnn --name none --resume", "none"),
]

CHECK = [
    bad("no package named", "check", "PACKAGE"),
    bad("an unknown engine", "check done.zip --engines steam", "steam"),
    bad("a tool without its place", "check done.zip --program qupath", "--program qupath", "NAME=PLACE"),
    bad("an unknown tool", "check done.zip --program steam=.", "steam", "qupath"),
    bad("a JSON that is no certificate", "check done.zip --json mine.json", "--json mine.json"),
    bad("a JSON in the place of an image", "check done.zip --json cells.tif", "--json cells.tif"),
    bad("a package that is not there", "check none.zip", "none.zip"),
    bad("a folder that is no package", "check noisy", "noisy"),
    bad("a zip that is none", "check garbage.zip", "garbage.zip"),
    bad("a zip without a description", "check stranger.zip", "stranger.zip"),
    bad("a zip that climbs out", "check climbing.zip", "climbing.zip"),
]

COMMANDS = WORDS + TRAIN + DENOISE + EVALUATE + EXPORT + CHECK


def image(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, photometric="minisblack", **options)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder of all that can be wrong, made once."""
    folder = tmp_path_factory.mktemp("material")
    random = np.random.default_rng(0)

    def grey(*shape, dtype=np.uint8):
        return random.integers(0, 200, shape).astype(dtype)

    for name in "abc":
        image(folder / "noisy" / f"{name}.tif", grey(48, 48))
        image(folder / "clean" / f"{name}.tif", grey(48, 48))
        image(folder / "small" / f"{name}.tif", grey(32, 32))
        image(folder / "black" / f"{name}.tif", np.zeros((48, 48), np.uint8))
        image(folder / "strangers" / f"stranger_{name}.tif", grey(48, 48))
        for which, length in (("stacks", 3), ("stacks2", 3), ("short", 2)):
            image(folder / which / f"{name}.tif", grey(length, 48, 48, dtype=np.uint16), metadata={"axes": "ZYX"})
    image(folder / "one" / "noisy" / "a.tif", grey(48, 48))
    image(folder / "one" / "clean" / "a.tif", grey(48, 48))
    image(folder / "cells.tif", grey(3, 40, 50, dtype=np.uint16), imagej=True, metadata={"axes": "ZYX"})
    image(folder / "channels.tif", grey(2, 40, 50, dtype=np.uint16), imagej=True, metadata={"axes": "CYX"})
    image(folder / "nan.tif", np.full((20, 20), np.nan, np.float32))
    image(folder / "withnan" / "a.tif", np.where(np.eye(48) > 0, np.nan, 1).astype(np.float32))
    image(folder / "withnan" / "b.tif", np.ones((48, 48), np.float32))
    for which in ("several", "several2"):
        image(folder / which / "a.tif", grey(2, 48, 48), metadata={"axes": "CYX"})
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("words")
    image(folder / "complex.tif", np.ones((20, 20), np.complex64))
    Image.fromarray(grey(20, 30, 3)).save(folder / "colour.png")
    Image.fromarray(grey(20, 30)).save(folder / "photo.jpg")
    only = '<OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="all.companion.ome" UUID="urn:uuid:2"/></OME>'
    image(folder / "part.ome.tif", grey(2, 20, 20), metadata=None, description=only)
    whole = (folder / "cells.tif").read_bytes()
    for name, content in {
        "notes.txt": b"words",
        "text.tif": b"words",
        "zero.tif": b"",
        "cut.tif": whole[: len(whole) // 2],
        "movie.nd2": b"\xda\xce\xbe\n",
        "mine.json": b'{"mine": 1}',
        "broken.yaml": b"a: [1,\n b: }",
        "unknown.yaml": b"epoch: 3\n",
        "dated.yaml": b"lr: 2024-13-45\n",
        "garbage.pth": b"no weights",
        "garbage.zip": b"no archive",
    }.items():
        (folder / name).write_bytes(content)
    for name in ("empty", "linked", "done"):
        (folder / name).mkdir()
    (folder / "done" / "cells.tif").write_bytes(b"an earlier result")
    _runs(folder / "runs")
    with zipfile.ZipFile(folder / "stranger.zip", "w") as archive:
        archive.writestr("readme.txt", "no description")
    with zipfile.ZipFile(folder / "done.zip", "w") as archive:
        archive.writestr("rdf.yaml", "type: model\nformat_version: 0.5.4\n")
    with zipfile.ZipFile(folder / "climbing.zip", "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
        archive.writestr("../outside.txt", "climbs out")
    torch.save({"model.0.weight": torch.zeros(3, 3)}, folder / "unfit.pth")
    return folder


def _runs(folder):
    for name in ("small", "begun", "damaged", "other", "unreadable", "untold", "wnet", "misnamed", "uncalibrated"):
        small_run(folder / name)
    (folder / "begun" / "provenance.json").unlink()
    (folder / "begun" / "best.ckpt").unlink()
    (folder / "damaged" / "best.ckpt").write_bytes(b"no checkpoint")
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, folder / "other" / "best.ckpt")
    (folder / "unreadable" / "settings.yaml").write_text("name: [")
    (folder / "untold" / "provenance.json").write_text("{")
    _edit(folder / "wnet" / "settings.yaml", "network: dncnn", "network: wnet")
    _edit(folder / "misnamed" / "provenance.json", '"name": "dncnn"', '"name": "wnet"')
    _edit(folder / "uncalibrated" / "provenance.json", '"calibration": {', '"calibration": {}, "seed_": {')


def _edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.fixture
def place(material, tmp_path, monkeypatch):
    """The material, copied to a working folder of its own."""
    folder = tmp_path / "work"
    shutil.copytree(material, folder)
    (folder / "linked" / "cells.tif").symlink_to(folder / "cells.tif")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.words.split()[0]}: {command.why}")
def test_bad_input_is_one_line_and_nothing_is_lost(place, command):
    before = snapshot(place)
    ended = bmz_fmd(*command.words.split())
    lines = ended.err.splitlines()
    assert ended.code == 2, ended
    assert [line for line in lines if line.startswith("bmz-fmd: ")] == lines[-1:], ended.err
    assert "Traceback" not in ended.err
    assert len(lines[-1]) <= _LONGEST
    for words in command.says:
        assert words in lines[-1]
    assert ended.out == ""
    assert {path: kept for path, kept in snapshot(place).items() if kept or path in before} == before
    assert not (place.parent / "outside.txt").exists()


def test_there_are_at_least_thirty_kinds():
    assert len({(command.words.split()[0], command.why) for command in COMMANDS}) >= 30
