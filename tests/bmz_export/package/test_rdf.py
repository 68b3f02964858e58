"""The description of a package: what every tool needs of it, and what the author may say."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import yaml
from helpers.building import built_package, noisy_image

from bmz_export.package.about import About, citation_of, plain_name, read_about
from bmz_export.package.builder import Addition
from bmz_export.package.licence import decide_licence
from bmz_export.package.rdf import choose_tiling, is_ours
from bmz_export.package.tensors import choose_region
from training.checkpoints import Origin
from training.errors import UserError
from training.util.hashing import sha256


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages") / "one"
    return built_package(folder, "drunet", about=About(tags=("yeast",)))


@pytest.fixture(scope="module")
def described(package):
    return yaml.safe_load((package.folder / "rdf.yaml").read_text())


def test_the_format_is_the_newest_that_all_tools_read(described):
    assert described["format_version"] == "0.5.4"
    assert described["documentation"] == "README.md"
    assert described["covers"] == ["cover.png"]
    assert isinstance(described["version"], str) and isinstance(described["timestamp"], str)


def test_it_holds_no_config_no_id_and_no_operations(described):
    assert not {"config", "id", "status", "uploader"} & set(described)
    (takes,), (gives,) = described["inputs"], described["outputs"]
    assert "preprocessing" not in takes and "postprocessing" not in gives
    assert not [axis for axis in takes["axes"] + gives["axes"] if {"unit", "scale"} & set(axis)]


def test_input_and_output_have_the_same_named_axes(described):
    (takes,), (gives,) = described["inputs"], described["outputs"]
    for tensor in (takes, gives):
        assert [axis["type"] for axis in tensor["axes"]] == ["batch", "channel", "space", "space"]
        assert [axis.get("id") for axis in tensor["axes"][2:]] == ["y", "x"]
        assert len(tensor["axes"][1]["channel_names"]) == 1
        assert tensor["data"] == {"type": "float32"}
    for axis, letter in zip(gives["axes"][2:], "yx", strict=True):
        assert axis["size"] == {"tensor_id": takes["id"], "axis_id": letter, "offset": 0}


def test_sizes_and_halo_suit_every_tool(package, described):
    halo, size = described["outputs"][0]["axes"][2]["halo"], described["inputs"][0]["axes"][2]["size"]
    assert (size["min"], size["step"], halo) == (package.tiling.minimum, package.tiling.step, package.tiling.halo[0])
    assert halo % 8 == 0


@pytest.mark.parametrize(
    ("radius", "stride", "halo", "expected"),
    [
        (17, 1, None, (64, 1, 24)),
        (3, 1, None, (64, 1, 8)),
        (187, 8, None, (256, 1, 96)),
        (None, 8, None, (256, 1, 96)),
        (None, 16, None, (256, 1, 96)),
        (187, 8, 61, (256, 1, 64)),
        (5, 16, None, (64, 1, 16)),
        (5, 32, None, (128, 1, 32)),
        (5, 1, 130, (512, 1, 136)),
    ],
)
def test_the_halo_follows_from_radius_and_stride_or_is_measured(radius, stride, halo, expected):
    both = [None if number is None else (number, number) for number in (radius, stride, halo)]
    tiling = choose_tiling(*both)
    assert (tiling.minimum, tiling.step, *tiling.halo) == (*expected, expected[-1])
    assert tiling.halo[0] % stride == 0
    assert 512 % tiling.minimum == 0
    assert tiling.minimum - 2 * max(tiling.halo) >= 1
    assert tiling.minimum % tiling.step == 0


def test_each_axis_has_its_own_halo():
    assert choose_tiling((3, 17), (1, 1)).halo == (8, 24)
    assert choose_tiling((3, 17), (16, 1)).halo == (16, 24)


def test_a_halo_that_leaves_nothing_of_a_tile_is_refused():
    with pytest.raises(UserError, match="halo 256: nothing is left"):
        choose_tiling((5, 5), (1, 1), (8, 256))


def test_weights_stand_as_every_tool_wants_them(described):
    weights = described["weights"]
    assert {name: entry["source"] for name, entry in weights.items()} == {
        "pytorch_state_dict": "weights.pth",
        "torchscript": "weights.pt",
        "onnx": "weights.onnx",
    }
    assert [name for name, entry in weights.items() if "parent" not in entry] == ["pytorch_state_dict"]
    assert weights["torchscript"]["pytorch_version"] == weights["pytorch_state_dict"]["pytorch_version"] == "2.5.1"
    assert weights["onnx"]["opset_version"] == 17
    architecture = weights["pytorch_state_dict"]["architecture"]
    assert architecture["callable"] == "denoiser"
    assert "null" not in str(architecture["kwargs"]) and "None" not in str(architecture["kwargs"])


def test_every_file_is_named_and_every_hash_is_right(package, described):
    named = dict(re.findall(r'source: "?([\w.]+)"?, sha256: (\w{64})', (package.folder / "rdf.yaml").read_text()))
    for entry in described["weights"].values():
        named[entry["source"]] = entry["sha256"]
    for name, hashed in named.items():
        assert sha256(package.folder / name) == hashed
    there = {path.name for path in package.folder.iterdir()}
    assert there == set(named) | {"rdf.yaml", "README.md", "cover.png", "architecture.py"}
    assert is_ours(package.folder)


def test_test_tensors_are_the_sample_and_what_the_model_makes_of_it(package):
    takes, gives = (np.load(package.folder / f"test_{name}.npy") for name in ("input", "output"))
    sample = tifffile.imread(package.folder / "sample_input.tif")
    assert takes.dtype == gives.dtype == np.float32
    assert takes.flags.c_contiguous and gives.flags.c_contiguous
    assert takes.shape == gives.shape == (1, 1, *sample.shape)
    assert sample.dtype == np.uint16
    assert np.array_equal(takes[0, 0], sample)
    assert np.ptp(gives) > 0


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("int16", "uint16"), ("float32", "float32"), ("float64", "float32")],
)
def test_the_sample_is_a_tiff_that_imagej_opens(tmp_path, dtype, kept):
    built_package(tmp_path, example=noisy_image(dtype=np.uint8).astype(dtype))
    with tifffile.TiffFile(tmp_path / "sample_input.tif") as file:
        assert file.is_imagej
        assert file.asarray().dtype == kept


@pytest.mark.parametrize("shape", [(1, 1), (40, 900), (300, 300), (256, 64), (1000, 700)])
def test_the_example_has_a_size_that_the_description_allows(shape):
    region = choose_region(np.zeros(shape, np.uint8), 64)
    assert all(64 <= size <= 256 for size in region.shape)
    assert all(size == min(max(whole, 64), 256) for size, whole in zip(region.shape, shape, strict=True))


def test_the_example_is_where_something_is_to_be_seen():
    image = np.random.default_rng(0).normal(100, 10, (800, 900)).astype(np.float32)
    image[520:620, 700:800] += 500
    assert choose_region(image, 64).mean() > 150


@pytest.mark.parametrize(
    "image", [np.zeros((4, 5, 6)), np.full((99, 99), np.nan), np.zeros((0, 9)), np.zeros((9, 9), complex)]
)
def test_an_example_that_is_no_image_is_refused(image):
    with pytest.raises(UserError, match="example"):
        choose_region(image, 64)


def test_the_readme_has_the_sections_that_the_site_asks_for(package):
    readme = (package.folder / "README.md").read_text()
    sections = re.findall(r"^## (.+)", readme, re.MULTILINE)
    assert sections == [
        "Description", "Intended Use", "How to open it", "Validation", "Limits", "How it was made", "Citation",
    ]  # fmt: skip
    assert "\n\n| file | |\n" in readme
    for tool in ("Fiji", "QuPath", "ilastik", "Python"):
        assert f"\n### {tool}\n" in readme
    assert f"halo of {package.tiling.halo[0]} pixels" in readme
    assert "returns the same image with less noise, in the same units" in readme
    assert "is subtracted" not in readme
    assert "let each begin at a multiple of 8 pixels" in readme


def test_the_readme_warns_of_seams_in_fiji_only_where_tiles_differ_from_the_whole_image(tmp_path):
    for network, seams in (("dncnn", False), ("drunet", True)):
        built = built_package(tmp_path / network, network, halo=None if network == "dncnn" else (16, 16))
        words = " ".join((built.folder / "README.md").read_text().split())
        assert ("differs from that of the whole image (seams: see Limits)." in words) == seams


def test_the_commands_of_the_readme_run_as_they_stand(package, tmp_path):
    readme = (package.folder / "README.md").read_text()
    commands = [
        *re.findall(r"^    (python -c .+)$", readme, re.MULTILINE),
        *re.findall(r"`(bmz-fmd denoise .+?)`", readme),
    ]
    assert len(commands) == 3
    given = {"IMAGE.tif": "sample_input.tif", "PACKAGE": str(package.folder), "DIR": str(tmp_path / "out")}
    for command in commands:
        filled = re.sub("|".join(given), lambda word: given[word[0]], command)
        words = shlex.split(filled.replace("bmz-fmd", "python -m bmz_fmd"))
        subprocess.run([sys.executable, *words[1:]], cwd=package.folder, check=True, timeout=120, capture_output=True)
    (result,) = (tmp_path / "out").glob("*.tif")
    sample = tifffile.imread(package.folder / "sample_input.tif")
    assert (tifffile.imread(result).shape, tifffile.imread(result).dtype) == (sample.shape, sample.dtype)


def test_the_readme_says_how_far_the_tools_were_off_at_the_edge_and_nothing_where_it_was_not_measured(tmp_path):
    built = built_package(tmp_path)
    readme = tmp_path / "README.md"
    assert "of the range off" not in readme.read_text()
    computed = "ilastik, its blocks (computed; the tool itself was not run)"
    built.attach(Addition(edges={"Fiji (deepImageJ), the whole image": "0", computed: "7 %"}))
    words = " ".join(readme.read_text().split())
    assert (
        "ilastik's result is up to 7 % of the range off the whole image's in Python, as computed with its cutting into "
        "tiles: ilastik itself was not run." in words
    )
    assert "tools may differ, since each extends the image in its own way. Largest difference there" in words
    lines = f"  - Fiji (deepImageJ), the whole image: 0\n  - {computed}: 7 %\n\n## How it was made"
    assert lines in readme.read_text().replace("\n\n\n", "\n\n")
    built.attach(Addition(edges={"ilastik, its blocks": "7 %"}))
    assert "ilastik itself was not run" not in readme.read_text()


def test_the_readme_says_that_qupaths_window_wants_a_licence_where_there_is_none(package, tmp_path):
    licensed = built_package(tmp_path, about=About(license="CC0-1.0"))
    assert "refuses this model, which states no licence yet." in (package.folder / "README.md").read_text()
    assert "its tiles show seams.\n" in (licensed.folder / "README.md").read_text()


def test_the_scripts_are_filled_in(package):
    groovy = (package.folder / "run_in_qupath.groovy").read_text()
    assert f"int halo = {package.tiling.halo[0]}\n" in groovy and "int tile = 512\n" in groovy
    assert f"tiles, each with {package.tiling.halo[0]} pixels of its neighbours around it" in groovy
    macro = (package.folder / "run_in_fiji.ijm").read_text()
    assert "DeepImageJ Run" in macro
    assert sha256(package.folder / "weights.pt") in macro
    assert "{{" not in groovy + macro and "}}" not in groovy + macro


def test_the_cover_is_what_the_site_takes(package):
    from PIL import Image

    with Image.open(package.folder / "cover.png") as cover:
        assert cover.width == 2 * cover.height
    assert (package.folder / "cover.png").stat().st_size < 500_000


def test_what_is_missing_is_said_and_has_a_placeholder(package, described):
    assert [what.split(":")[0] for what in package.missing] == ["the authors", "how to cite this model", "its licence"]
    assert described["authors"] == [{"name": "Author to be filled in"}]
    assert described["cite"][0]["doi"] == "10.1109/TPAMI.2021.3088914"  # the network's paper
    assert "license" not in described
    assert "yeast" in described["tags"] and "denoising" in described["tags"]


def test_files_can_be_attached_to_a_finished_package(tmp_path):
    built = built_package(tmp_path)
    (tmp_path / "certificate.json").write_text("{}")
    built.attach(Addition(("certificate.json",), "## Certificate\n\nAll agree."))
    described = yaml.safe_load((tmp_path / "rdf.yaml").read_text())
    attached = {entry["source"]: entry["sha256"] for entry in described["attachments"]}
    assert attached["certificate.json"] == sha256(tmp_path / "certificate.json")
    assert "sample_input.tif" in attached
    assert "\n## Certificate\n\nAll agree.\n" in (tmp_path / "README.md").read_text()


def test_bioimageio_core_runs_every_format_of_it(package):
    program = f"""
from bioimageio.core import test_model
for name in ("pytorch_state_dict", "torchscript", "onnx"):
    summary = test_model({str(package.folder / "rdf.yaml")!r}, weight_format=name, deterministic=True)
    assert summary.status == "passed", summary.format()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, capture_output=True)


def test_an_instance_model_declares_what_a_global_network_declares(tmp_path):
    built = built_package(tmp_path, calibration={"statistics": "instance", "offset": 0.0, "scale": 1.0})
    assert built.tiling.halo == (96, 96)
    words = " ".join((tmp_path / "README.md").read_text().split())
    assert "mean and the standard deviation of whatever it is given" in words
    assert "No halo helps, also where a warning in this file says to declare a larger one." in words
    assert "each grey value is brought to mean 0 and standard deviation 1 in each image, and divided by 1." in words
    assert "differs from that of the whole image (seams: see Limits)." in words


def test_authors_citations_and_licence_come_from_options():
    about = read_about(
        authors=["Ada Lovelace; Analytical Engines; 0000-0002-1825-0097", "Charles Babbage"],
        cite=["Notes, 1843 | https://doi.org/10.1234/notes", "A page | https://example.org/a"],
        license="CC-BY-4.0",
    )
    assert about.authors == (
        {"name": "Ada Lovelace", "affiliation": "Analytical Engines", "orcid": "0000-0002-1825-0097"},
        {"name": "Charles Babbage"},
    )
    assert about.cite == (
        {"text": "Notes, 1843", "doi": "10.1234/notes"},
        {"text": "A page", "url": "https://example.org/a"},
    )
    assert about.license == "CC-BY-4.0"


def test_a_file_says_the_same_and_options_win(tmp_path):
    file = tmp_path / "about.yaml"
    file.write_text(
        "title: Yeast denoiser\nauthors: Ada Lovelace; Engines\ncite:\n- {text: Notes, doi: 10.1234/notes}\n"
        "license: MIT\ntags: [yeast]\nversion: 1.2.0\n"
    )
    about = read_about(file, license="CC0-1.0")
    assert about == About(
        title="Yeast denoiser",
        authors=({"name": "Ada Lovelace", "affiliation": "Engines"},),
        cite=({"text": "Notes", "doi": "10.1234/notes"},),
        license="CC0-1.0",
        tags=("yeast",),
        version="1.2.0",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"authors": [""]}, "`author` '': write"),
        ({"authors": ["A; B; C; D"]}, "`author` 'A; B; C; D': write"),
        ({"authors": ["A; B; 0000-0002-1825-0098"]}, "ORCID"),
        ({"authors": ["A/B"]}, "holds no slash"),
        ({"cite": ["no address"]}, "write 'Text | DOI or address'"),
        ({"cite": ["My paper | abcd"]}, "'abcd' is neither a DOI such as 10.1038/s41592-018-0216-7 nor an address"),
        ({"license": "MITT"}, "did you mean MIT"),
        ({"license": "BSD-3"}, "did you mean BSD-3-Clause?"),
        ({"license": "GPLv3"}, "did you mean GPL-3.0-only?"),
        ({"license": "AGPL-3"}, "did you mean AGPL-3.0-only"),
        ({"license": "my own"}, "no SPDX licence identifier"),
    ],
)
def test_wrong_words_are_one_line_with_a_way_out(words, message):
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        read_about(**words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("authros: [A]", "did you mean authors?"),
        ("- a list", "no settings; write one `key: value` a line"),
        ("title: 'a/b/c/d'", "use 5 to 64 letters"),
        ("title: [1, 2]", "text is wanted"),
        ("version: new", "write a version such as"),
        ("authors: 5", "a list is wanted"),
        ("authors: [5]", "text or a mapping is wanted"),
        ("cite: [{text: a}]", "citation 'a'"),
        ("authors: [{name: A, shoe: 44}]", "author 'A'"),
        ("a: [", "no YAML in line 1"),
    ],
)
def test_a_wrong_about_file_is_one_line_that_names_it(tmp_path, text, message):
    file = tmp_path / "about.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        read_about(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_about_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_about(tmp_path / "none.yaml")


def checkpoint(spdx, licence="its own words"):
    return Origin(name="weights-1", sha256="0" * 64, licence=licence, spdx=spdx, source="https://example.org")


def test_the_checkpoints_licence_is_carried_over():
    assert decide_licence(None, checkpoint("MIT")).spdx == "MIT"
    assert decide_licence("CC-BY-4.0", checkpoint("MIT")).spdx == "CC-BY-4.0"
    assert decide_licence("GPL-3.0-only", checkpoint("GPL-3.0-only")).spdx == "GPL-3.0-only"


def test_a_checkpoint_without_an_spdx_licence_gives_a_file_and_no_field():
    licence = decide_licence(None, checkpoint(None))
    assert licence.spdx is None and not licence.missing
    assert "its own words" in licence.text and "https://example.org" in licence.text
    assert "LICENSE" in licence.line


def test_the_licence_of_a_file_of_unknown_origin_is_the_authors_to_state():
    nobodys = checkpoint(None, licence=None)
    assert decide_licence("CC-BY-4.0", nobodys).spdx == "CC-BY-4.0"
    unstated = decide_licence(None, nobodys)
    assert unstated.spdx is None and unstated.missing
    assert "not stated" in unstated.text


@pytest.mark.parametrize(("asked", "spdx"), [("MIT", None), ("MIT", "GPL-3.0-only"), ("MIT", "CC-BY-NC-4.0")])
def test_a_licence_that_the_checkpoints_does_not_allow_is_refused(asked, spdx):
    with pytest.raises(UserError, match=r"`license` MIT: the weights began from weights-1"):
        decide_licence(asked, checkpoint(spdx))


def test_citations_are_found_in_plain_text():
    assert citation_of("A. Author: Title. doi:10.1000/x.y") == {"text": "A. Author: Title", "doi": "10.1000/x.y"}
    assert citation_of("Title", "https://example.org") == {"text": "Title", "url": "https://example.org"}
    assert citation_of("Title") is None


def test_names_keep_what_the_format_allows():
    assert plain_name("Zellkerne: 3 µm/px (neu)") == "Zellkerne 3 m px (neu)"
