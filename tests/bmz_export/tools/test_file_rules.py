"""A sound package whose files and test tensors are spoiled in one way at a time."""

import time

import numpy as np
import pytest
from helpers.rules import findings, messages, tools, weights_entry
from helpers.small_package import describe, rehash


def test_a_file_in_a_folder_of_the_package_is_told(spoiled):
    (spoiled / "weights").mkdir()
    (spoiled / "weights.pt").rename(spoiled / "weights" / "weights.pt")
    describe(spoiled, weights_entry("torchscript", source="weights/weights.pt"))
    assert set(findings(spoiled).values()) == {"warning"}
    assert {rule for _, rule in findings(spoiled)} == {"files-beside"}


@pytest.mark.parametrize("name", ["cover.jpg", "cover.png"])
def test_a_cover_that_is_no_png_is_told(spoiled, name):
    (spoiled / name).write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    assert findings(describe(spoiled, lambda raw: raw.update(covers=[name]))) == {("bioimage.io", "cover"): "warning"}


def test_sections_of_a_readme_are_found_however_long_its_lines(spoiled):
    path = spoiled / "README.md"
    path.write_text("# a" + " " * 500_000 + "b\n" + path.read_text())
    begin = time.monotonic()
    assert findings(spoiled) == {}
    assert time.monotonic() - begin < 5
    path.write_text("# Description of it\n## intended use ##\nValidation\n#citation")
    assert [message for _, message in messages(spoiled, "readme")] == ["README.md has no section Validation"]


ARRAYS = {
    "wrong type": (lambda array: array.astype(np.float64), "test-tensors"),
    "wrong order": (np.asfortranarray, "test-tensors"),
    "wrong shape": (lambda array: array[:, :, :-1], "test-tensors"),
    "too small": (lambda array: array[:, :, :20], "test-tensors"),
    "zeros": (np.zeros_like, "informative-test"),
    "NaN": (lambda array: array * np.nan, "informative-test"),
    "pickled": (lambda array: np.array([{}]), "test-tensors"),
    "text": (lambda array: np.full(array.shape, "1"), "test-tensors"),
    "bytes": (lambda array: np.full(array.shape, b"1"), "test-tensors"),
    "times": (lambda array: array.astype("M8[s]"), "test-tensors"),
    "records": (lambda array: np.zeros(array.shape, [("a", "f4")]), "test-tensors"),
    "complex": (lambda array: array.astype(np.complex64), "test-tensors"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_test_tensors_that_do_not_serve(spoiled, name):
    change, rule = ARRAYS[name]
    path = spoiled / "test_input.npy"
    np.save(path, change(np.load(path)), allow_pickle=True)
    assert "bioimageio.core" in tools(rehash(spoiled), rule)


def tolerant(raw):
    raw["config"] = {"bioimageio": {"reproducibility_tolerance": [{"absolute_tolerance": 50.0}]}}


@pytest.mark.parametrize("name", ["text", "times", "records", "complex"])
def test_a_tolerance_beside_a_test_output_that_holds_no_numbers(spoiled, name):
    path = spoiled / "test_output.npy"
    np.save(path, ARRAYS[name][0](np.load(path)))
    found = messages(rehash(describe(spoiled, tolerant)))
    assert not [
        message for _, message in found if ("cannot be looked through" in message or "could not be examined" in message)
    ]


def test_an_input_and_an_output_of_one_id_and_other_axes(spoiled):
    path = spoiled / "test_output.npy"
    np.save(path, np.load(path)[:, 0])
    describe(spoiled, lambda raw: raw["outputs"][0].update(id="raw", axes=raw["outputs"][0]["axes"][:1] +
                                                           raw["outputs"][0]["axes"][2:]))  # fmt: skip
    assert "bioimageio.core" in tools(rehash(spoiled), "ids")
    assert not [
        message
        for _, message in messages(spoiled)
        if ("cannot be looked through" in message or "could not be examined" in message)
    ]


def test_a_truncated_tensor_is_told(spoiled):
    path = spoiled / "test_output.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert "deepimagej" in tools(rehash(spoiled), "test-tensors")
