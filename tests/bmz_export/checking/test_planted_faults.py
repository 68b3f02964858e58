"""Faults, each planted in a sound package, each caught and named; and no alarm where nothing is wrong."""

import re
from pathlib import Path

import pytest
from planted import FAMILIES, FAULTS, Package, Sound, plant
from planted.sound import build_sound, build_unstated, sees_all

from bmz_export.checking.check import CheckOptions, check
from bmz_export.engines import ENGINES
from bmz_export.package.weights import CALLABLE
from training.errors import UserError

RULES_ALONE = CheckOptions(rules_only=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Sound(tmp_path_factory.mktemp("sound"))


def options(fault):
    return RULES_ALONE if fault.engines is None else CheckOptions(engines=fault.engines)


def test_no_two_faults_have_one_name():
    assert len(FAULTS) == sum(len(family.faults) for family in FAMILIES)


def one_of_each_rule(faults):
    """Faults that take weights to be run are slow where another one shows the same rule."""
    shown = set()
    for fault in faults:
        runs = fault.engines is not None and not fault.refused
        again = runs and fault.rule in shown
        yield pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] if again else [])
        shown |= {fault.rule} if runs else set()


@pytest.mark.parametrize("fault", [*one_of_each_rule(FAULTS.values())])
def test_a_planted_fault_is_caught_and_named(fault, sound, tmp_path):
    path, package = plant(fault, sound, tmp_path / "planted")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "planted").rglob("*")}
    if fault.refused:
        with pytest.raises(UserError, match=fault.words) as refusal:
            check(path, options(fault))
        assert len(str(refusal.value).splitlines()) == 1
    else:
        certificate = check(path, options(fault))
        assert certificate.exit_code == (fault.severity == "error")
        named = [
            found
            for found in certificate.faults
            if (found.severity, found.rule) == (fault.severity, fault.rule) and re.search(fault.words, found.message)
        ]
        told = "\n".join(found.line() for found in certificate.faults)
        assert named, f"{fault.name} goes unnamed in:\n{told}"
        assert {tool for found in named for tool in found.tools}.issuperset(fault.tools), told
    assert not package.canary.exists()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "planted").rglob("*")} == before


ACTS = """
import torch
open({0!r}, "w")

class {1}(torch.nn.Module):
    def __init__(self, **settings):
        super().__init__()
        open({0!r}, "w")

    def forward(self, image):
        open({0!r}, "w")
        return image
"""


def test_no_python_of_a_package_runs_unless_it_is_trusted(sound, tmp_path):
    package = Package(sound, "dncnn", tmp_path)
    (package / "architecture.py").write_text(ACTS.format(str(package.canary), CALLABLE))
    package.hash_anew()
    certificate = check(package.folder, CheckOptions(engines=("bioimageio.core", "torch")))
    assert "passed" in {row.verdict for row in certificate.rows}
    assert not package.canary.exists()
    check(package.folder, CheckOptions(engines=("bioimageio.core",), trust=True))
    assert package.canary.exists()  # it would run


ALARMS = [
    ("dncnn", {"margin": 0}),
    ("dncnn", {"transform": "anscombe", "statistics": "instance", "margin": 0}),
    ("restormer", {"transform": "anscombe", "margin": 0}),
]
SLOW_ALARMS = [
    ("dncnn", {"transform": "anscombe"}),
    ("dncnn", {"statistics": "instance"}),
    ("drunet", {"transform": "anscombe", "margin": 0}),
    ("kbnet", {}),
    ("kbnet", {"transform": "anscombe", "margin": 0}),
    ("drunet", {"statistics": "instance"}),
]


def label(value):
    return value if isinstance(value, str) else "-".join(map(str, value.values())) or "plain"


def assert_right_in_any_engine(folder):
    if missing := [name for name, engine in ENGINES.items() if not engine.installed()]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert_right(folder)


def assert_right(folder, *engines, certify=False):
    certificate = check(folder, CheckOptions(engines=engines or None, certify=certify))
    assert [fault.line() for fault in certificate.faults if fault.severity == "error"] == []
    assert {row.verdict for row in certificate.rows} <= {"passed", "not run"}
    assert certificate.exit_code == 0


@pytest.mark.parametrize("network", ["dncnn", "drunet", "restormer"])
def test_a_right_package_raises_no_alarm(network, sound, tmp_path):
    sound.copy(network, tmp_path / "right")
    assert_right(tmp_path / "right", "torch", "onnxruntime")


@pytest.mark.parametrize(("network", "calibration"), ALARMS, ids=label)
def test_a_right_package_of_another_calibration_raises_no_alarm(network, calibration, tmp_path):
    build_unstated(tmp_path / "right", network, **calibration)
    assert_right(tmp_path / "right", "torch", "onnxruntime", certify=sees_all(network, **calibration))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "calibration"), SLOW_ALARMS, ids=label)
def test_a_right_package_of_a_wider_network_raises_no_alarm(network, calibration, tmp_path):
    build_sound(tmp_path / "right", network, **calibration)
    assert_right(tmp_path / "right", "torch", "onnxruntime")


@pytest.mark.engine
def test_a_right_package_of_a_tiny_network_raises_no_alarm_in_any_engine(sound, tmp_path):
    sound.copy("dncnn", tmp_path / "right")
    assert_right_in_any_engine(tmp_path / "right")


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("network", ["drunet", "restormer", "kbnet"])
def test_a_right_package_raises_no_alarm_in_any_engine(network, tmp_path):
    build_sound(tmp_path / "right", network)
    assert_right_in_any_engine(tmp_path / "right")


def assert_fails(fault, engines, sound, where):
    """Plant a fault, and see every one of these engines that is installed fail on it."""
    touched = [name for name in engines if ENGINES[name].installed()]
    if not touched:
        pytest.skip(f"none of {', '.join(engines)} is installed")
    path, _ = plant(fault, sound, where)
    verdicts = {row.engine: row.verdict for row in check(path, CheckOptions(engines=touched)).rows}
    assert {name: verdicts[name] for name in touched} == dict.fromkeys(touched, "failed")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "engines"),
    [
        ("torchscript-of-another-epoch", ("libtorch-1.13.1",)),
        ("nan-in-the-onnx", ("onnxruntime-java-1.12.1", "onnxruntime-web")),
        pytest.param("output-shifted-by-a-pixel", ("onnxruntime-java-1.12.1",), marks=pytest.mark.slow),
        pytest.param("strides-not-declared", ("libtorch-1.13.1",), marks=pytest.mark.slow),
    ],
)
def test_the_engines_of_the_tools_fail_on_a_fault_of_each_family(name, engines, sound, tmp_path):
    assert_fails(FAULTS[name], engines, sound, tmp_path / "planted")


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("fault", [fault for fault in FAULTS.values() if fault.fails], ids=lambda fault: fault.name)
def test_the_engines_that_a_fault_touches_fail_on_it(fault, sound, tmp_path):
    assert_fails(fault, fault.fails, sound, tmp_path / "planted")


def test_the_page_about_trust_lists_these_faults():
    page = (Path(__file__).parents[3] / "docs" / "trust.md").read_text(encoding="utf-8")
    listed = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert [what for what in listed if what in {fault.what for fault in FAULTS.values()}] == [
        fault.what for fault in FAULTS.values()
    ]
    assert f"catches {len(FAULTS)} of {len(FAULTS)}" in " ".join(page.split())
