"""An architecture file is read and never run: what would act is told, whatever way it takes; what computes is not."""

import importlib
import re
import types
import warnings
from pathlib import Path

import pytest
from helpers.architectures import ARCHITECTURES
from helpers.tricks import AT_IMPORT, WHEN_CALLED

from bmz_export.inspection import computing
from bmz_export.inspection.source import read_source

NETWORK = """
import os, posix, timeit, codecs, torch, threading
import numpy as np
from pathlib import Path


def helper(x):
    def inner():
        open("written", "w")
    return inner()


class Base(torch.nn.Module):
    @property
    def prop(self):
        os.system("id")


class Net(Base):
    def save(self):
        os.system("id")

    def forward(self, x):
        return {}
"""


def source(folder, text):
    path = folder / "architecture.py"
    path.write_text(text + "\n")
    shown = read_source(path)
    assert shown.error is None
    return shown


@pytest.mark.parametrize("way", AT_IMPORT)
def test_what_acts_at_import_is_told(tmp_path, way):
    assert source(tmp_path, AT_IMPORT[way]).acts


@pytest.mark.parametrize("way", WHEN_CALLED)
def test_what_acts_when_the_network_is_built_or_run_is_told(tmp_path, way):
    shown = source(tmp_path, NETWORK.format(WHEN_CALLED[way].strip()))
    assert shown.acts == ()
    assert shown.reaches("Net")


def test_what_nobody_calls_is_not_told(tmp_path):
    shown = source(tmp_path, NETWORK.format("x"))
    assert (shown.acts, shown.reaches("Net")) == ((), ())


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_network_that_computes_raises_no_alarm(tmp_path, style):
    text, name = ARCHITECTURES[style]
    shown = source(tmp_path, text)
    assert shown.definitions[name]
    assert (shown.acts, shown.reaches(name)) == ((), ())


def test_an_act_is_told_by_its_line_and_what_stands_there(tmp_path):
    (act,) = source(tmp_path, 'import os\n\nif True:\n    os.remove("a\x1b[2J")').acts
    assert act == (4, 'os.remove("a?[2J")')


def test_no_module_of_a_library_is_let_through_as_a_value():
    """What a library shows of other modules leads out of it: ``torch.nn.functional.importlib``."""
    leaks = []
    for space in (space for space in computing._SPACES if not space.endswith("*")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                module = importlib.import_module(space)
            except ImportError:
                continue  # not installed, or an object that holds names as a module does
            names = [name for name in dir(module) if type(getattr(module, name, None)) is types.ModuleType]
        full = [f"{space}.{name}" for name in names]
        leaks += [name for name in full if computing.computes_alone(name) and not computing.is_namespace(name)]
    assert leaks == []


@pytest.mark.timeout(120)
def test_names_that_lead_to_one_another_many_times_are_followed_once(tmp_path):
    chain = "".join(f"def g{i}():\n    return (g{i + 1}(), g{i + 1}())\n" for i in range(2000))
    aliases = "".join(f"a{i} = a{i + 1}\na{i} = a{i + 1}\n" for i in range(40))
    shown = source(tmp_path, f"{chain}def g2000():\n    return 1\n{aliases}a40 = 1\nX = g0() + a0")
    assert shown.acts == ()


MANY = {
    "bindings": "b = 1\n" + "a = b\n" * 10_000 + "a\n" * 10_000,
    "bindings in comprehensions": "b = 1\n" + "a = b\n" * 7_000 + "[a for x in b]\n" * 5_000,
    "classes of one name": "class A: pass\n" + "class A(A): pass\n" * 5_000,
    "setters of one name": "class A:\n" + " @x.setter\n def x(): pass\n" * 4_000 + "A()",
    "names that are made": "class A:\n"
    + "".join(f" def m{i}(s): getattr(s, f'q{i}')\n" for i in range(3_000))
    + "A()."
    + "\nA().".join(f"m{i}" for i in range(3_000)),
    "stars": "".join(f"from math import *  # {i}\n" for i in range(2_000)) + "\n".join(f"x{i}" for i in range(2_000)),
}


@pytest.mark.parametrize("what", MANY)
@pytest.mark.timeout(120)
def test_a_file_full_of_the_same_is_read_soon(tmp_path, what):
    (tmp_path / "a.py").write_text(MANY[what])
    read_source(tmp_path / "a.py")


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
