"""A disk of a few kilobytes, to be full."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount a disk of so many kilobytes on a new folder; skip the test where that is not allowed."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder, kilobytes):
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)
