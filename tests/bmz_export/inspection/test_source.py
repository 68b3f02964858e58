"""An architecture file is read and never run: what import would run is told by its line, what is defined is not."""

import re
from pathlib import Path

import pytest
from helpers.architectures import ARCHITECTURES
from helpers.tricks import AT_IMPORT

from bmz_export.inspection.source import read_source
from bmz_export.package.weights import compose_architecture
from training.networks import NETWORKS


def source(folder, text):
    path = folder / "architecture.py"
    path.write_text(text + "\n")
    shown = read_source(path)
    assert shown.error is None
    return shown


@pytest.mark.parametrize("way", AT_IMPORT)
def test_what_runs_at_import_is_told(tmp_path, way):
    assert source(tmp_path, AT_IMPORT[way]).at_import


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_file_that_only_defines_raises_no_alarm(tmp_path, style):
    text, name = ARCHITECTURES[style]
    shown = source(tmp_path, text)
    assert shown.definitions[name]
    assert shown.at_import == ()


@pytest.mark.parametrize("network", list(NETWORKS))
def test_our_own_files_raise_no_alarm(tmp_path, network):
    shown = source(tmp_path, compose_architecture(network, {"network": {}, "calibration": {}}))
    assert (shown.at_import, shown.foreign) == ((), ())


def test_it_is_told_by_its_line_and_what_stands_there(tmp_path):
    shown = source(tmp_path, 'import torch\n\nif True:\n    open("a\x1b[2J")')
    assert shown.at_import == ((4, 'open("a?[2J")'),)
    shown = source(tmp_path, "\x0cimport torch\r\n@print\nclass A:\n    pass")
    assert shown.at_import == ((2, "@print"),)


def test_an_import_is_told_from_what_does_more(tmp_path):
    shown = source(tmp_path, "import monai\nimport os\nos.getcwd()")
    assert [line for line, _ in shown.at_import] == [1, 2, 3]
    assert shown.acts == ((3, "os.getcwd()"),)


MANY = {
    "bindings": "b = 1\n" + "a = b\n" * 10_000 + "a\n" * 10_000,
    "calls": "a()\n" * 50_000,
    "classes of one name": "class A: pass\n" + "class A(A): pass\n" * 5_000,
    "setters of one name": "class A:\n" + " @x.setter\n def x(): pass\n" * 4_000 + "A()",
    "stars": "".join(f"from math import *  # {i}\n" for i in range(2_000)) + "\n".join(f"x{i}" for i in range(2_000)),
}


@pytest.mark.parametrize("what", MANY)
@pytest.mark.timeout(120)
def test_a_file_full_of_the_same_is_read_soon(tmp_path, what):
    (tmp_path / "a.py").write_text(MANY[what])
    assert read_source(tmp_path / "a.py").error is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "(" * 300 + ")" * 300, "not readable"),
        ("x = " + "-" * 20_000 + "1", "deeply|not readable"),
        ("x = 1\n" * 100_000, "bytes of Python"),
        ("def f(:", "not readable"),
        ("\0", "not readable"),
    ],
)
def test_whatever_is_wrong_with_a_file_is_its_error(tmp_path, text, words):
    (tmp_path / "a.py").write_text(text)
    assert re.search(words, read_source(tmp_path / "a.py").error)


def test_a_file_that_is_not_there_is_an_error():
    assert read_source(Path("nowhere.py")).error
