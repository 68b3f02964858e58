"""What a check says of a sound package and of spoiled ones, in numbers, through the engines of this environment."""

import json
import socket
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.small_package import copy, describe, rehash, small_package

from bmz_export.checking import trials as numbers
from bmz_export.checking.certificate import Certificate
from bmz_export.checking.check import CheckOptions, certify, check
from bmz_export.checking.comparison import Comparison, Result
from bmz_export.checking.report import detail_lines, figure_of, headline, verdict_lines
from bmz_export.engines import ENGINES, Outcome
from bmz_export.inspection import Inspection
from bmz_export.package.archive import open_package, write_zip
from bmz_export.tools import TOOLS, distinct_rules
from training.errors import UserError

OLD = Path(__file__).parents[2] / "data" / "version_0_1" / "package.zip"
QUICK = CheckOptions(engines=("onnxruntime",))


def rules(certificate):
    return {fault.rule for fault in certificate.errors}


def row(certificate, engine, weights):
    return next(row for row in certificate.rows if (row.engine, row.weights) == (engine, weights))


@pytest.fixture(scope="module")
def passed(sound):
    return check(sound, CheckOptions(engines=("bioimageio.core", "onnxruntime", "torch"), timeout=200))


def test_a_sound_package_passes_in_every_engine_asked(passed):
    assert passed.exit_code == 0
    assert passed.faults == ()
    assert {row.verdict for row in passed.rows} == {"passed"}
    assert passed.worst < 1e-5
    assert passed.seam.difference.largest < 1e-5


def test_our_own_architecture_runs_without_trust(passed):
    assert row(passed, "bioimageio.core", "pytorch_state_dict").verdict == "passed"


def test_small_tall_wide_and_larger_images_and_two_at_once_are_run(passed):
    sizes = row(passed, "onnxruntime", "onnx").sizes
    assert {"1x1x80x96", "1x1x64x64", "1x1x521x65", "1x1x65x521", "1x1x85x107", "2x1x64x64"} <= set(sizes)


def test_what_was_tested_is_pinned_by_hash(passed, sound):
    assert set(passed.hashes) >= {"weights.pt", "weights.pth", "weights.onnx", "test_input.npy", "test_output.npy"}
    raw = (sound / "rdf.yaml").read_text()
    assert all(digest in raw for digest in passed.hashes.values())


def test_rules_only_runs_nothing(sound, spoiled):
    (spoiled / "weights.onnx").write_bytes(b"nothing")
    certificate = check(rehash(spoiled), CheckOptions(rules_only=True))
    assert certificate.rows == ()
    assert "onnx-readable" in rules(certificate)
    assert check(sound, CheckOptions(rules_only=True)).exit_code == 0


def sentences(certificate):
    return {tool.tool: tool.sentence for tool in certificate.tools}


def test_a_tool_is_said_to_give_what_its_engine_gave_and_no_more(passed):
    words = sentences(passed)
    assert words["bioimageio.core"] == "opens, same pixels"
    assert words["BioImage.IO"] == "opens, same pixels"
    assert words["Fiji (deepImageJ)"] == "no rule is broken; running it was not requested"
    assert headline(passed)[0] == "the same pixels on the test images in 2 tools, 4 not tried"


def test_a_rule_that_fails_and_an_engine_that_passes_are_told_apart(spoiled):
    def change(raw):
        raw["documentation"] = {"source": "README.md"}
        raw["covers"] = [{"source": "cover.png"}]
        raw["format_version"] = "0.5.11"

    certificate = check(describe(spoiled, change), CheckOptions(engines=("tiktorch", "onnxruntime")))
    words = sentences(certificate)
    assert words["Fiji (deepImageJ)"].startswith("will NOT open, because ")
    assert words["QuPath"].startswith("will NOT open, for the same reason as Fiji (deepImageJ)")
    assert words["ilastik"].startswith("opens, same pixels")


def test_each_rule_is_counted_once(passed):
    assert passed.rules == len(distinct_rules()) < sum(len(tool.rules) for tool in TOOLS.values())


@pytest.mark.parametrize(("psnr", "beats"), [(24.5, True), (19.8, False)])
def test_a_model_that_does_not_beat_its_noisy_input_is_told(spoiled, psnr, beats):
    with zipfile.ZipFile(OLD) as package:
        provenance = json.loads(package.read("provenance.json"))
    provenance["scores"]["affine"]["denoised"]["psnr"] = psnr
    provenance["scores"]["affine"]["noisy"]["psnr"] = 20.0
    (spoiled / "provenance.json").write_text(json.dumps(provenance))
    certificate = check(spoiled, CheckOptions(engines=()))
    assert certificate.beats_noisy == beats
    assert ("The model does NOT beat its noisy input (PSNR 19.80 dB" in "\n".join(verdict_lines(certificate))) != beats


@pytest.mark.parametrize("text", ["", "[]", '{"scores": {"affine": {"noisy": 1}}}', '{"scores": 3}', "[" * 10**5])
def test_a_strangers_provenance_says_nothing(spoiled, text):
    (spoiled / "provenance.json").write_text(text)
    assert check(spoiled, CheckOptions(engines=())).beats_noisy is None


@pytest.mark.slow
def test_an_architecture_that_is_not_ours_is_not_imported_without_trust(spoiled, tmp_path):
    told = tmp_path / "told"
    path = spoiled / "architecture.py"
    path.write_text(path.read_text() + f"\nopen({str(told)!r}, 'w').close()\n")
    options = CheckOptions(engines=("bioimageio.core",))
    certificate = check(rehash(spoiled), options)
    assert not told.exists()
    assert row(certificate, "bioimageio.core", "pytorch_state_dict").verdict == "not run"
    assert "trust" in row(certificate, "bioimageio.core", "pytorch_state_dict").note
    assert row(certificate, "bioimageio.core", "torchscript").verdict == "passed"


def test_arguments_cannot_smuggle_code_into_an_architecture_of_ours(spoiled):
    from bmz_export.checking.own_architecture import is_own_architecture
    from bmz_export.inspection import Inspection
    from bmz_export.package.archive import open_package
    from bmz_export.package.weights import compose_architecture

    def change(raw):
        raw["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["network"] = kwargs["network"]

    kwargs = {"network": {'depth"""\nimport os\nos.system("true")\n"""': 1}, "calibration": {}}
    with open_package(spoiled) as package:
        assert is_own_architecture(Inspection(package))
    (spoiled / "architecture.py").write_text(compose_architecture("dncnn", kwargs))
    with open_package(rehash(describe(spoiled, change))) as package:
        assert not is_own_architecture(Inspection(package))


def test_a_format_with_nan_is_refused(spoiled):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(spoiled / "weights.onnx")
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.nan, tensor.name))
    (spoiled / "weights.onnx").write_bytes(model.SerializeToString())
    certificate = check(rehash(spoiled), QUICK)
    assert {"sound-output", "onnx-finite", "finite-weights"} <= rules(certificate)
    assert row(certificate, "onnxruntime", "onnx").verdict == "failed"
    assert certificate.exit_code == 1


def test_one_parameter_that_is_a_per_cent_off_is_found(spoiled):
    import torch

    state = torch.load(spoiled / "weights.pth", weights_only=True)
    key = next(key for key, value in state.items() if value.ndim == 4)
    state[key].view(-1)[0] *= 1.01
    torch.save(state, spoiled / "weights.pth")
    certificate = check(rehash(spoiled), QUICK)
    assert rules(certificate) == {"same-weights"}
    assert any(key in fault.message for fault in certificate.errors)


def renamed(path, change):
    """Name the ONNX's weights as exporters do after folding, and change one convolution's values."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    names = {tensor.name: f"onnx::Conv_{index}" for index, tensor in enumerate(model.graph.initializer)}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    tensor = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4][1]
    array = numpy_helper.to_array(tensor).copy()
    change(array)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    path.write_bytes(model.SerializeToString())


def test_one_parameter_that_is_a_per_cent_off_is_found_under_another_name(spoiled):
    renamed(spoiled / "weights.onnx", lambda array: array.flat.__setitem__(array.argmax(), array.max() * 1.01))
    certificate = check(rehash(spoiled), QUICK)
    assert rules(certificate) == {"same-weights"}
    assert "parent: 1 of " in row(certificate, "tensors", "onnx").note


def test_names_that_an_exporter_gave_are_no_fault(spoiled):
    renamed(spoiled / "weights.onnx", lambda array: None)
    certificate = check(rehash(spoiled), QUICK)
    assert certificate.faults == ()
    assert row(certificate, "tensors", "onnx").verdict == "passed"


def resaved(path, change):
    import torch

    torch.save({key: change(value) for key, value in torch.load(path, weights_only=True).items()}, path)


@pytest.mark.parametrize("kind", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_weights_of_half_precision_are_told_though_they_are_the_same_but_for_rounding(spoiled, kind):
    import torch

    resaved(spoiled / "weights.pth", lambda value: value.to(getattr(torch, kind)))
    certificate = check(rehash(spoiled), QUICK)
    assert rules(certificate) == set()
    messages = [fault.message for fault in certificate.warnings if fault.rule == "weights-type"]
    assert any(f"onnx holds float32 where its parent holds {kind}" in message for message in messages)


def test_weights_of_half_precision_that_differ_by_more_than_rounding_are_other_weights(spoiled):
    resaved(spoiled / "weights.pth", lambda value: (value * 1.001).half())
    assert rules(check(rehash(spoiled), QUICK)) == {"same-weights"}


def test_infinity_is_told_of_the_format_that_holds_it_and_of_no_other(spoiled):
    def spoil(value):
        if value.ndim == 4:
            value.view(-1)[0] = float("inf")
        return value

    resaved(spoiled / "weights.pth", spoil)
    certificate = check(rehash(spoiled), QUICK)
    assert rules(certificate) == {"finite-weights"}
    assert all(fault.message.startswith("pytorch_state_dict holds NaN or infinity") for fault in certificate.errors)


def test_weights_of_another_shape_are_told_with_both_shapes():
    from bmz_export.checking.workers.tensors import Format, compare

    found = compare(Format({"a": np.ones((2, 3), np.float32)}), Format({"a": np.ones((2, 4), np.float32)}))
    assert found["shapes"] == {"a": [[2, 3], [2, 4]]}


def test_no_answer_in_time_is_no_verdict_on_the_package(sound):
    certificate = check(sound, CheckOptions(engines=("bioimageio.core",), timeout=0.1))
    assert {row.verdict for row in certificate.rows} == {"no answer in time"}
    assert all("needs more time" in row.note for row in certificate.rows)
    assert certificate.faults == ()
    assert certificate.exit_code == 0
    core = next(tool for tool in certificate.tools if tool.tool == "bioimageio.core")
    assert core.verdict == "not tried"
    assert "no answer in time; it needs more time" in core.sentence
    assert headline(certificate)[0] == "nothing was run"


def clipped(raw):
    raw["outputs"][0]["postprocessing"] = [{"id": "clip", "kwargs": {"min": -1e6, "max": 1e6}}]


def test_a_bare_network_alone_is_compared_with_nothing(spoiled):
    certificate = check(describe(spoiled, clipped), QUICK)
    assert row(certificate, "onnxruntime", "onnx").verdict == "not compared"
    assert headline(certificate)[0] == "nothing to compare with"
    assert certificate.exit_code == 0


def test_bare_networks_are_compared_with_one_another(spoiled):
    certificate = check(describe(spoiled, clipped), CheckOptions(engines=("onnxruntime", "torch")))
    assert [each.verdict for each in certificate.rows if each.engine in ("onnxruntime", "torch")] == ["passed"] * 2
    assert certificate.worst < 1e-5


def test_a_test_output_that_is_no_number_compares_with_nothing(spoiled):
    np.save(spoiled / "test_output.npy", np.load(spoiled / "test_output.npy") * np.nan)
    certificate = check(rehash(spoiled), QUICK)
    assert row(certificate, "onnxruntime", "onnx").verdict == "not compared"
    assert "the same pixels" not in headline(certificate)[0]


def test_a_slow_call_is_a_wait_only_where_something_is_compiled(sound):
    with open_package(sound) as package:
        description = Inspection(package).description
    tried = numbers.trials(description.inputs[0], np.ones((1, 1, 80, 96), np.float32))
    seconds = tuple(9.0 if trial.rule == "repeatable" else 0.1 for trial in tried)
    outcome = Outcome(outputs=tuple(trial.image for trial in tried), seconds=seconds)
    for compiles, expected in ((True, ["no-wait"]), (False, [])):
        result = Result(ENGINES["libtorch-1.13.1"], "torchscript", outcome)
        comparison = Comparison(description, tried, [result], compiles=compiles)
        comparison.run(tried[0].image)
        assert [fault.rule for fault in comparison.faults()] == expected


def test_a_key_too_many_is_told(spoiled):
    import torch

    state = torch.load(spoiled / "weights.pth", weights_only=True)
    torch.save({**state, "head.weight": torch.ones(3)}, spoiled / "weights.pth")
    certificate = check(rehash(spoiled), QUICK)
    assert any("head.weight" in fault.message for fault in certificate.warnings if fault.rule == "state-dict-keys")


def test_a_shifted_test_output_is_blamed_on_the_tensor(spoiled):
    path = spoiled / "test_output.npy"
    np.save(path, np.ascontiguousarray(np.roll(np.load(path), 2, axis=-1)))
    certificate = check(rehash(spoiled), CheckOptions(engines=("onnxruntime", "torch")))
    assert rules(certificate) == {"test-output"}


def test_one_format_alone_does_not_prove_the_test_output_wrong(spoiled):
    path = spoiled / "test_output.npy"
    np.save(path, np.ascontiguousarray(np.roll(np.load(path), 2, axis=-1)))
    assert rules(check(rehash(spoiled), QUICK)) == {"agrees-with-test"}


def test_a_wrong_format_is_wrong_in_each_tool_that_loads_it_and_is_not_cut_into_tiles(spoiled):
    import torch

    class Shifted(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network(image).roll(1, -1)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        network = Shifted(torch.jit.load(spoiled / "weights.pt").eval())
        torch.jit.trace(network, torch.ones(2, 1, 64, 72), check_trace=False).save(spoiled / "weights.pt")
    certificate = check(rehash(spoiled), CheckOptions(engines=("onnxruntime", "torch"), tiles=True))
    verdicts = {each.tool: each.verdict for each in certificate.tools}
    assert {verdicts[tool] for tool in ("Fiji (deepImageJ)", "QuPath", "ilastik")} == {"other pixels"}
    assert {each.verdict for each in certificate.tiles} == {"not run"}


def test_an_engine_that_cannot_run_is_never_passed(spoiled):
    (spoiled / "test_input.npy").write_bytes(b"no array")
    certificate = check(rehash(spoiled), QUICK)
    assert row(certificate, "onnxruntime", "onnx").verdict == "not run"
    assert certificate.exit_code == 1


def test_no_engines_asked_means_rules_and_nothing_else(sound):
    certificate = check(sound, CheckOptions(engines=()))
    assert certificate.rows == certificate.tiles == ()
    assert certificate.exit_code == 0
    assert {tool.sentence for tool in certificate.tools} == {"no rule is broken; running it was not requested"}
    assert not any("seam" in line for line in detail_lines(certificate))


def test_an_unknown_engine_is_one_line(sound):
    with pytest.raises(UserError, match="there is no such engine"):
        check(sound, CheckOptions(engines=("matlab",)))


def test_a_certified_package_states_its_seam_and_still_passes(spoiled, small_tiles):
    options = CheckOptions(engines=("torch",))
    certificate, addition = certify(spoiled, options)
    assert addition.files == ("certificate.json", "certificate.png")
    assert addition.section.startswith("## ")
    assert (spoiled / "certificate.png").read_bytes().startswith(b"\x89PNG")
    assert {tile.tool for tile in certificate.tiles} == {"Fiji (deepImageJ)", "QuPath", "ilastik"}
    assert (
        addition.edges["ilastik, its blocks (computed; the tool itself was not run)"]
        == figure_of(certificate.tiles[-1].edge)
        != "0"
    )
    stored = Certificate.read(spoiled / "certificate.json")
    assert stored == certificate
    again = check(spoiled, options)
    assert again.exit_code == 0
    assert again.seam.stated == certificate.seam.difference.largest
    assert "certificate" not in {fault.rule for fault in again.faults}
    assert f"its own certificate says: {headline(certificate)[0]} (" in verdict_lines(again)[-1]

    with (spoiled / "weights.pth").open("ab") as stream:
        stream.write(b" ")
    stale = check(rehash(spoiled), options)
    assert "certificate" in {fault.rule for fault in stale.warnings}
    assert stale.seam.stated is None
    assert stale.stated == ""
    told = check(spoiled, CheckOptions(rules_only=True))
    assert "certificate" in {fault.rule for fault in told.warnings}


def test_a_zip_is_checked_like_its_folder(sound, tmp_path):
    certificate = check(write_zip(sound, tmp_path / "p.zip"), CheckOptions(engines=()))
    assert certificate.exit_code == 0
    assert json.loads(certificate.to_json())["hashes"]


def test_the_first_line_on_a_package_without_licence_says_who_refuses_it_and_what_to_type(tmp_path):
    package = describe(small_package(tmp_path / "package"), lambda raw: raw.pop("license"))
    line = verdict_lines(check(package, CheckOptions(rules_only=True)))[0]
    assert "QuPath" in line and "window refuses" in line and "`license` CC-BY-4.0" in line


def test_no_address_of_a_package_is_fetched(sound, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/readme.md"
        folder = describe(copy(sound, tmp_path / "copy"), lambda raw: raw.update(documentation=address))
        found = check(folder, CheckOptions(engines=("bioimageio.core",)))
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    (tested,) = (row for row in found.rows if row.title == "bioimageio's own test")
    assert "not packed: it names files elsewhere" in tested.note
