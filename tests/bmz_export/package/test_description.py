"""One view of the RDF of any package, of format 0.4 or 0.5; what is malformed is told and never raises."""

import pytest

from bmz_export.package.description import File
from bmz_export.package.reading import read_description
from training.errors import UserError

OLD = """
format_version: 0.4.10
type: model
name: Old
inputs:
- name: raw
  axes: bcyx
  data_type: float32
  shape: {min: [1, 1, 64, 64], step: [0, 0, 16, 16]}
  preprocessing:
  - {name: zero_mean_unit_variance, kwargs: {mode: per_sample, axes: yx}}
outputs:
- name: out
  axes: bcyx
  data_type: float32
  halo: [0, 0, 8, 8]
  shape: {reference_tensor: raw, scale: [1, 1, 2, 2], offset: [0, 0, -4, -4]}
test_inputs: [test-input.npy]
test_outputs: [test-output.npy]
sample_inputs: [sample.tif]
documentation: README.md
covers: [cover.png]
attachments: {files: [notes.txt]}
weights:
  pytorch_state_dict:
    source: w.pth
    sha256: abc
    architecture: net.py:Net
    architecture_sha256: def
    kwargs: {width: 4}
    pytorch_version: 1.13.1
  pytorch_script: {source: w.pt}
"""

NEW = """
format_version: 0.5.12
type: model
name: New
id: nice-bee
inputs:
- id: raw
  axes:
  - {type: batch}
  - {type: channel, channel_names: [a, b]}
  - {type: space, id: y, size: {min: 32, step: 4}}
  - {type: space, id: x, size: 64}
  data: {type: uint16}
  test_tensor: {source: in.npy, sha256: aa}
outputs:
- id: out
  axes:
  - {type: batch}
  - {type: channel, channel_names: [a]}
  - {type: space, id: y, size: {tensor_id: raw, axis_id: y, offset: 2}, halo: 3, scale: 0.5}
  - {type: space, id: x, size: 64}
  data: [{type: float32}]
  postprocessing: [{id: clip, kwargs: {min: 0, max: 1}}]
  test_tensor: {source: out.npy}
documentation: {source: README.md, sha256: bb}
covers: [{source: cover.png, sha256: cc}]
attachments: [{source: notes.txt, sha256: dd}]
weights:
  onnx: {source: w.onnx, opset_version: 17}
"""


def read(tmp_path, text):
    path = tmp_path / "rdf.yaml"
    path.write_text(text)
    return read_description(path)


def test_format_0_4(tmp_path):
    found = read(tmp_path, OLD)
    assert found.problems == ()
    assert found.version == (0, 4, 10)
    tensor, output = found.inputs[0], found.outputs[0]
    assert tensor.order == output.order == "bcyx"
    assert tensor.shape(2, batch=3) == (3, 1, 96, 96)
    assert (tensor.test, tensor.sample, output.test) == (
        File("test-input.npy"),
        File("sample.tif"),
        File("test-output.npy"),
    )
    assert tensor.operations[0].id == "zero_mean_unit_variance"
    assert output.axis("y").halo == 8
    assert found.output_shape(output, {"raw": (1, 1, 64, 80)}) == (1, 1, 120, 152)
    weights = found.weights["pytorch_state_dict"]
    assert (weights.architecture, weights.callable, weights.kwargs) == (File("net.py", "def"), "Net", {"width": 4})
    assert list(found.weights) == ["pytorch_state_dict", "torchscript"]
    assert found.attachments == (File("notes.txt"),)


def test_format_0_5_newest(tmp_path):
    found = read(tmp_path, NEW)
    assert found.problems == ()
    tensor, output = found.inputs[0], found.outputs[0]
    assert (tensor.dtype, output.dtype) == ("uint16", "float32")
    assert tensor.shape(1) == (1, 2, 36, 64)
    assert found.output_shape(output, {"raw": (5, 2, 32, 64)}) == (5, 1, 66, 64)
    assert found.documentation == File("README.md", "bb")
    assert found.covers == (File("cover.png", "cc"),)
    assert found.weights["onnx"].opset == 17
    assert [where for where, _ in found.files()].count("attachments") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "inputs: 3\noutputs: {a: 1}\nweights: [1]\n",
        "inputs: [3, null, {axes: 7}]\noutputs: [{axes: [1, {type: 5, size: {min: x, step: -3}}]}]\n",
        "inputs:\n- {axes: bcyx, shape: [a, b], halo: 3, data_type: 7}\noutputs:\n- {axes: bcyx, shape: {scale: 1}}\n",
        "weights: {onnx: 5, torchscript: {source: [1]}, x: {architecture: {source: 3, kwargs: 4}}}\n",
        "format_version: 0.5\nattachments: 3\ncovers: a\ndocumentation: 5\nlicense: {a: b}\nconfig: 9\n",
        "inputs:\n- {axes: bcyx, shape: [1, 1, 0, 0]}\n",
        "inputs:\n- {axes: bcyx, shape: {min: [1, 1, 8, 8], step: [0, 0, -4, 0.5]}, halo: [0, 0, -8, 1.5]}\n",
        "inputs:\n- axes:\n  - {type: space, id: y, size: .inf}\n  - {type: space, size: {tensor_id: 3}}\n",
    ],
)
def test_nothing_malformed_raises(tmp_path, text):
    try:
        found = read(tmp_path, text)
    except UserError:
        return
    assert found.problems
    list(found.files())


def test_a_size_of_format_0_4_that_no_image_has_is_told_and_left_open(tmp_path):
    found = read(tmp_path, OLD.replace("{min: [1, 1, 64, 64], step: [0, 0, 16, 16]}", "[1, 1, 0, 64]"))
    assert [problem.where for problem in found.problems] == ["inputs[0].shape[2]"]
    assert (found.inputs[0].axis("y").size, found.inputs[0].axis("x").size) == (None, 64)


def test_the_pixels_of_an_image_are_told_without_making_it(tmp_path):
    found = read(tmp_path, NEW.replace("{min: 32, step: 4}", "{min: 2000000000, step: 4}"))
    assert found.inputs[0].pixels(0) == 2 * 2_000_000_000 * 64
    assert read(tmp_path, OLD).inputs[0].pixels(2) == 96 * 96


def test_a_version_without_quotes_is_told(tmp_path):
    found = read(tmp_path, NEW.replace("opset_version: 17", "opset_version: 17.5"))
    assert [problem.where for problem in found.problems] == ["weights.onnx.opset_version"]
    found = read(tmp_path, OLD.replace("1.13.1", "2.5"))
    assert "put it in quotes" in found.problems[0].message


def test_a_key_that_stands_twice_is_told(tmp_path):
    assert [problem.kind for problem in read(tmp_path, NEW + "name: Other\n").problems] == ["yaml.duplicate"]


def laughs():
    lines = ["a: &a [" + ",".join(["x"] * 50) + "]"]
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [" + ",".join([f"*{before}"] * 50) + "]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (laughs(), "multiply"),
        ("a: &a [*a]\n", "contains itself"),
        ("[" * 5000, "nested too deeply|not readable"),
        ("!!python/object/apply:os.system ['true']\n", "not readable as YAML"),
        ("a: [1\n", "not readable as YAML"),
        ("just words\n", "not a YAML mapping"),
    ],
)  # fmt: skip
def test_hostile_yaml_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("min: 1" + "0" * 400, "a number of 401 digits"),
        ("min: 0x" + "F" * 5000, "a number of 5,002 digits"),
        ('min: "\\ud800"', "half a character"),
        ('"\\ud800": 1, min: 32', "half a character"),
        ("min: 2020-13-45", "not readable as YAML"),
    ],
)
def test_what_no_tool_could_hold_or_print_is_refused_in_one_line(tmp_path, field, words):
    with pytest.raises(UserError, match=words) as raised:
        read(tmp_path, NEW.replace("min: 32", field))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("version", ["0.5.\u00b2", "0.5.\u0664", "0.5." + "1" * 5000])
def test_a_version_of_other_digits_counts_as_none(tmp_path, version):
    found = read(tmp_path, NEW.replace("0.5.12", f'"{version}"'))
    assert (found.format_version, found.version) == (version, (0, 5, 0))


def test_an_axis_knows_the_axis_that_it_follows(tmp_path):
    found = read(tmp_path, NEW)
    y, x = found.outputs[0].space
    assert found.followed(y) is found.inputs[0].axis("y")
    assert found.followed(x) is None
    found = read(tmp_path, NEW.replace("axis_id: y", "axis_id: depth"))
    assert found.followed(found.outputs[0].space[0]) is None


UNNAMED = """
format_version: 0.5.4
type: model
inputs:
- axes: [{type: batch}, {type: channel, channel_names: [raw]}, {type: space, id: y, size: 64}, {type: space, size: 64}]
outputs:
- axes:
  - {type: batch}
  - {type: channel, channel_names: [denoised]}
  - {type: space, id: y, size: {tensor_id: input, axis_id: y}}
  - {type: space, size: {tensor_id: input, axis_id: x}}
weights: {}
"""


def test_what_has_no_id_has_the_one_of_the_format(tmp_path):
    description = read(tmp_path, UNNAMED)
    assert [tensor.id for tensor in (*description.inputs, *description.outputs)] == ["input", "output"]
    assert [tensor.order for tensor in (*description.inputs, *description.outputs)] == ["bcyx", "bcyx"]
    assert [axis.id for axis in description.inputs[0].axes] == ["batch", "channel", "y", "x"]
    assert description.output_shape(description.outputs[0], {"input": (1, 1, 64, 80)}) == (1, 1, 64, 80)


def test_an_output_that_does_not_grow_with_the_input_has_scale_0_in_format_0_4(tmp_path):
    text = OLD.replace("scale: [1, 1, 2, 2], offset: [0, 0, -4, -4]", "scale: [1, 0.0, 1, 1], offset: [0, 0.5, 0, 0]")
    description = read(tmp_path, text)
    assert description.output_shape(description.outputs[0], {"raw": (1, 3, 64, 80)}) == (1, 1, 64, 80)
