"""Memory that a process has freed stays with it where the C library is glibc, and nothing happens elsewhere."""

import subprocess
import sys

import pytest

from training.util import allocator

FAULTS = """
import resource
import numpy as np
from training.util.allocator import keep_freed_memory
np.zeros(1)
if {kept}:
    assert keep_freed_memory()
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not allocator.keep_freed_memory(), reason="no glibc here")
def test_a_block_that_was_freed_is_found_again_without_asking_the_kernel():
    faults = [
        int(subprocess.run([sys.executable, "-c", FAULTS.format(kept=kept)], check=True, capture_output=True).stdout)
        for kept in (False, True)
    ]
    assert faults[1] < faults[0] / 10


def test_without_glibc_nothing_happens(monkeypatch):
    def no_library(name):
        raise OSError

    monkeypatch.setattr(allocator.ctypes, "CDLL", no_library)
    assert not allocator.keep_freed_memory.__wrapped__()
