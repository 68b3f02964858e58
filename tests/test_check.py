"""What a check says of a sound package and of spoiled ones, in numbers, through the engines of this environment."""

import json

import numpy as np
import pytest
from small_package import copy, describe, rehash, small_package

from bmz_export.checking import seams
from bmz_export.checking.certificate import Certificate
from bmz_export.checking.check import Options, certify, check
from bmz_export.package.archive import write_zip
from training.errors import UserError

QUICK = Options(engines=("onnxruntime",))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_package(tmp_path_factory.mktemp("sound") / "package")


@pytest.fixture
def spoiled(sound, tmp_path):
    return copy(sound, tmp_path / "package")


def rules(certificate):
    return {fault.rule for fault in certificate.errors}


def row(certificate, engine, weights):
    return next(row for row in certificate.rows if (row.engine, row.weights) == (engine, weights))


@pytest.fixture(scope="module")
def passed(sound):
    return check(sound, Options(engines=("bioimageio.core", "onnxruntime", "torch"), timeout=200))


def test_a_sound_package_passes_in_every_engine_asked(passed):
    assert passed.exit_code == 0
    assert passed.faults == ()
    assert {row.verdict for row in passed.rows} == {"passed"}
    assert passed.worst < 1e-5
    assert passed.seam.difference.largest < 1e-5


def test_our_own_architecture_runs_without_trust(passed):
    assert row(passed, "bioimageio.core", "pytorch_state_dict").verdict == "passed"


def test_three_sizes_and_two_batches_are_run(passed):
    sizes = row(passed, "onnxruntime", "onnx").sizes
    assert {"1x1x64x64", "1x1x65x65", "1x1x66x66", "2x1x64x64", "1x1x80x96", "2x1x80x96"} <= set(sizes)


def test_what_was_tested_is_pinned_by_hash(passed, sound):
    assert set(passed.hashes) >= {"weights.pt", "weights.pth", "weights.onnx", "test_input.npy", "test_output.npy"}
    raw = (sound / "rdf.yaml").read_text()
    assert all(digest in raw for digest in passed.hashes.values())


def test_rules_only_runs_nothing(sound, spoiled):
    (spoiled / "weights.onnx").write_bytes(b"nothing")
    certificate = check(rehash(spoiled), Options(rules_only=True))
    assert certificate.rows == ()
    assert "onnx-readable" in rules(certificate)
    assert check(sound, Options(rules_only=True)).exit_code == 0


def test_an_architecture_that_is_not_ours_is_not_imported_without_trust(spoiled, tmp_path):
    told = tmp_path / "told"
    path = spoiled / "architecture.py"
    path.write_text(path.read_text() + f"\nopen({str(told)!r}, 'w').close()\n")
    options = Options(engines=("bioimageio.core",))
    certificate = check(rehash(spoiled), options)
    assert not told.exists()
    assert row(certificate, "bioimageio.core", "pytorch_state_dict").verdict == "not run"
    assert "--trust" in row(certificate, "bioimageio.core", "pytorch_state_dict").note
    assert row(certificate, "bioimageio.core", "torchscript").verdict == "passed"


def test_arguments_cannot_smuggle_code_into_an_architecture_of_ours(spoiled):
    from bmz_export.checking.own import is_own_architecture
    from bmz_export.evidence import Evidence
    from bmz_export.package.archive import open_package
    from bmz_export.package.weights import compose_architecture

    def change(raw):
        raw["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["network"] = kwargs["network"]

    kwargs = {"network": {'depth"""\nimport os\nos.system("true")\n"""': 1}, "calibration": {}}
    with open_package(spoiled) as package:
        assert is_own_architecture(Evidence(package))
    (spoiled / "architecture.py").write_text(compose_architecture("dncnn", kwargs))
    with open_package(rehash(describe(spoiled, change))) as package:
        assert not is_own_architecture(Evidence(package))


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


def test_a_key_too_many_is_told(spoiled):
    import torch

    state = torch.load(spoiled / "weights.pth", weights_only=True)
    torch.save({**state, "head.weight": torch.ones(3)}, spoiled / "weights.pth")
    certificate = check(rehash(spoiled), QUICK)
    assert any("head.weight" in fault.message for fault in certificate.warnings if fault.rule == "state-dict-keys")


def test_a_shifted_test_output_is_blamed_on_the_tensor(spoiled):
    path = spoiled / "test_output.npy"
    np.save(path, np.ascontiguousarray(np.roll(np.load(path), 2, axis=-1)))
    certificate = check(rehash(spoiled), QUICK)
    assert rules(certificate) == {"test-output"}


def test_an_engine_that_cannot_run_is_never_passed(spoiled):
    (spoiled / "test_input.npy").write_bytes(b"no array")
    certificate = check(rehash(spoiled), QUICK)
    assert row(certificate, "onnxruntime", "onnx").verdict == "not run"
    assert certificate.exit_code == 1


def test_no_engines_asked_means_rules_and_nothing_else(sound):
    certificate = check(sound, Options(engines=()))
    assert certificate.rows == ()
    assert certificate.exit_code == 0


def test_an_unknown_engine_is_one_line(sound):
    with pytest.raises(UserError, match="there is no such engine"):
        check(sound, Options(engines=("matlab",)))


def test_a_certified_package_states_its_seam_and_still_passes(spoiled):
    options = Options(engines=("onnxruntime",))
    small = (128, 160)
    large, seams.LARGE = seams.LARGE, small
    try:
        certificate, addition = certify(spoiled, options)
    finally:
        seams.LARGE = large
    assert addition.files == ("certificate.json", "certificate.png")
    assert addition.section.startswith("## ")
    assert (spoiled / "certificate.png").read_bytes().startswith(b"\x89PNG")
    assert {tile.tool for tile in certificate.tiles} == {"Fiji (deepImageJ)", "QuPath", "ilastik"}
    stored = Certificate.read(spoiled / "certificate.json")
    assert stored == certificate
    again = check(spoiled, options)
    assert again.exit_code == 0
    assert again.seam.stated == certificate.seam.difference.largest
    assert "certificate" not in {fault.rule for fault in again.faults}

    with (spoiled / "weights.pth").open("ab") as stream:
        stream.write(b" ")
    stale = check(rehash(spoiled), options)
    assert "certificate" in {fault.rule for fault in stale.warnings}
    assert stale.seam.stated is None


def test_a_halo_that_is_too_small_shows_as_a_seam(spoiled):
    def change(raw):
        for axis in raw["outputs"][0]["axes"]:
            if "halo" in axis:
                axis["halo"] = 0

    certificate = check(describe(spoiled, change), QUICK)
    assert certificate.seam.difference.largest > 1e-2
    assert rules(certificate) == {"seam"}


def test_a_zip_is_checked_like_its_folder(sound, tmp_path):
    certificate = check(write_zip(sound, tmp_path / "p.zip"), Options(engines=()))
    assert certificate.exit_code == 0
    assert json.loads(certificate.to_json())["hashes"]
