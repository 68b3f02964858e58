"""What is found, what the user sees of it and the way out: each in the words of the very thing found."""

import numpy as np
import onnx
import pytest
from helpers.rules import axis
from helpers.small_package import describe, rehash

from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package
from bmz_export.tools import TOOLS


def told(package):
    """Return {message: (seen, way out)} of all that the rules of all tools find."""
    with open_package(package) as opened:
        inspection = Inspection(opened)
        rules = {rule for tool in TOOLS.values() for rule in tool.rules}
        return {each.message: (each.seen, each.way_out) for rule in rules for each in rule.check(inspection)}


def raw(change):
    return lambda folder: describe(folder, change)


def tensor(change):
    return lambda folder: np.save(folder / "test_input.npy", change(np.load(folder / "test_input.npy")))


def graph(change):
    def spoil(folder):
        model = onnx.load(folder / "weights.onnx")
        change(model)
        (folder / "weights.onnx").write_bytes(model.SerializeToString())

    return spoil


def another_output(model):
    model.graph.node.append(onnx.helper.make_node("Identity", [model.graph.output[0].name], ["second"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("second", 1, None))


def fixed(index, size):
    return graph(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[index], "dim_value", size))


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-200])


SENTENCES = {
    "another output": (graph(another_output), "the ONNX returns 2 tensors", "another picture", "no more"),
    "fixed height": (fixed(2, 80), "fixed to 80 along y", "images of any other size", "height and width"),
    "fixed batch": (fixed(0, 1), "the ONNX takes one image at a time", "two images at once", "`size: 1`"),
    "cut state dict": (cut("weights.pth"), "the state dict cannot be read", "does not load", "torch.save"),
    "Fortran order": (tensor(np.asfortranarray), "in Fortran order", "test of the model fails", "ascontiguousarray"),
    "another type": (tensor(np.float64), "is float64, the description says float32", "fails", "save it in the type"),
    "no test": (raw(lambda rdf: rdf["inputs"][0].pop("test_tensor")), "has no test tensor", "nothing to test", ".npy"),
    "no cover": (lambda folder: (folder / "cover.png").unlink(), "covers: cover.png is not in the package",
                 "the description is refused", "take it out"),
    "no tags": (raw(lambda rdf: rdf.pop("tags")), "there are no tags", "not found by", "tags"),
    "tiling": (raw(lambda rdf: rdf.update(id="a", config={"deepimagej": {}})), "allow_tiling", "null",
               "allow_tiling: true"),
    "two numbers": (raw(lambda rdf: rdf.update(format_version="0.5")), "not three numbers", "how to read", '"0.5.4"'),
    "a parent that is gone": (raw(lambda rdf: rdf["weights"]["onnx"].update(parent="keras_hdf5")), "is not there",
                              "refused", "name the entry that it was made from"),
    "a tile too large": (raw(lambda rdf: axis(rdf, "inputs", "y").update(size={"min": 2**22, "step": 1})),
                         "its smallest tile has", "never ends", "a smaller min"),
}  # fmt: skip


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_found_is_told_in_words_of_its_own(name, spoiled):
    spoil, message, seen, way_out = SENTENCES[name]
    spoil(spoiled)
    found = {text: words for text, words in told(rehash(spoiled)).items() if message in text}
    assert found
    assert all(seen in words[0] and way_out in words[1] for words in found.values()), found
