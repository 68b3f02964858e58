"""Packages as CAREamics, BiaPy, the older zoo and the newest library write them: diagnosed right, tool by tool."""

import pytest
from helpers import strangers

from bmz_export.checking.check import CheckOptions, check

FIJI, QUPATH, ILASTIK, SITE, CORE, BROWSER = (
    "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core", "browser",
)  # fmt: skip

ERRORS = {
    strangers.old_zoo: {
        QUPATH: {"format", "operations", "suffixes"},
        ILASTIK: {"operations"},
    },
    strangers.old_fiji: {
        FIJI: {"config-needs-id"},
        QUPATH: {"format", "tile-fits"},
    },
    strangers.careamics: {
        FIJI: {"plain-strings", "operations", "runnable-weights", "empty-kwargs"},
        QUPATH: {"plain-strings", "format", "tile-fits", "operations", "torchscript"},
        ILASTIK: {"state-dict-runs-here"},
    },
    strangers.biapy: {
        FIJI: {"plain-strings", "runnable-weights"},
        QUPATH: {"plain-strings", "format", "tile-fits", "operations", "torchscript"},
        ILASTIK: {"operations", "state-dict-runs-here"},
    },
    strangers.newest: {
        FIJI: {"plain-strings"},
        QUPATH: {"plain-strings", "format", "offset-written"},
    },
}
"""What each tool would fail on or show wrongly; a tool that is not named takes the package."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    built = {}

    def package(make):
        if make not in built:
            built[make] = make(folder / make.__name__)
        return built[make]

    return package


def errors(certificate):
    found = {}
    for error in certificate.errors:
        for tool in error.tools:
            found.setdefault(tool, set()).add(error.rule)
    return found


@pytest.mark.parametrize("make", ERRORS, ids=lambda make: make.__name__)
def test_each_tool_is_told_what_it_would_stumble_over_and_no_more(make, packages):
    certificate = check(packages(make), CheckOptions(rules_only=True))
    assert errors(certificate) == ERRORS[make]
    assert certificate.exit_code == 1


def test_a_package_of_the_old_zoo_gives_the_same_pixels_everywhere(packages):
    certificate = check(packages(strangers.old_zoo), CheckOptions(engines=("torch", "onnxruntime")))
    assert errors(certificate) == ERRORS[strangers.old_zoo]
    assert {row.engine: row.verdict for row in certificate.rows if row.engine != "tensors"} == {
        "torch": "passed",
        "onnxruntime": "passed",
    }


def test_a_patch_size_is_no_fault_of_the_numbers(packages):
    certificate = check(packages(strangers.old_fiji), CheckOptions(engines=("torch",)))
    assert errors(certificate) == ERRORS[strangers.old_fiji]
    assert [row.verdict for row in certificate.rows if row.engine == "torch"] == ["passed"]


def test_the_library_writes_its_newest_format_and_the_others_take_it(packages):
    package = packages(strangers.newest)
    described = strangers.description_of(package)
    assert described["format_version"] == "0.5.12"
    assert isinstance(described["documentation"], dict)
    certificate = check(package, CheckOptions(engines=("torch", "onnxruntime")))
    assert errors(certificate) == ERRORS[strangers.newest]


def test_an_architecture_that_is_not_ours_is_not_run_without_trust(packages):
    certificate = check(packages(strangers.biapy), CheckOptions(engines=("bioimageio.core",)))
    (row,) = [row for row in certificate.rows if row.engine == "bioimageio.core"]
    assert row.verdict == "not run"
    assert "trust" in row.note


@pytest.mark.slow
def test_bioimageio_agrees_that_a_package_of_the_old_zoo_is_right(packages):
    certificate = check(packages(strangers.old_zoo), CheckOptions(engines=("bioimageio.core",), trust=True))
    assert errors(certificate) == ERRORS[strangers.old_zoo]
    verdicts = {row.weights: row.verdict for row in certificate.rows if row.engine == "bioimageio.core"}
    assert verdicts == dict.fromkeys(("pytorch_state_dict", "torchscript", "onnx"), "passed")
