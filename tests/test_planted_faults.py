"""Sixty faults, each planted in a sound package, each caught and named; and no alarm where nothing is wrong."""

import re

import pytest
from planted import FAMILIES, FAULTS, Sound, plant

from bmz_export.check import Options, check
from training.errors import UserError

RULES_ALONE = Options(rules_only=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Sound(tmp_path_factory.mktemp("sound"))


def options(fault):
    return RULES_ALONE if fault.engines is None else Options(engines=fault.engines)


def test_there_are_sixty_of_them():
    assert len(FAULTS) == sum(len(family.faults) for family in FAMILIES) == 60


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_planted_fault_is_caught_and_named(fault, sound, tmp_path):
    path, package = plant(fault, sound, tmp_path / "planted")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "planted").rglob("*")}
    if fault.refused:
        with pytest.raises(UserError, match=fault.words) as refusal:
            check(path, options(fault))
        assert len(str(refusal.value).splitlines()) == 1
    else:
        certificate = check(path, options(fault))
        assert certificate.exit_code == 1
        named = [
            error for error in certificate.errors if error.rule == fault.rule and re.search(fault.words, error.message)
        ]
        told = "\n".join(error.line() for error in certificate.faults)
        assert named, f"{fault.name} goes unnamed in:\n{told}"
        assert {tool for error in named for tool in error.tools}.issuperset(fault.tools), told
    assert not package.canary.exists()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "planted").rglob("*")} == before
