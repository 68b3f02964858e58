"""Files and folders appear whole or not at all; what dead processes of this machine left is cleared."""

import errno
import os
import shutil
import subprocess
import sys

import psutil
import pytest
import torch
from helpers.machine import HOST, IN_NAME
from helpers.small_disk import small_disk

from training.errors import DiskFullError, RunError
from training.util.lock import run_lock
from training.util.writing import clear_parts, is_disk_full, new_folder, part_of, replacing, write_text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file.txt", "old")]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "below" / "new") as part:
        (part / "file.txt").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "below").iterdir()) == []
    with new_folder(tmp_path / "new") as part:
        (part / "file.txt").write_text("whole")
    assert (tmp_path / "new" / "file.txt").read_text() == "whole"
    with pytest.raises(OSError, match="new"), new_folder(tmp_path / "new") as part:
        (part / "file.txt").write_text("another")
    assert (tmp_path / "new" / "file.txt").read_text() == "whole"


def test_parts_tell_host_and_process_and_those_of_the_dead_here_are_cleared(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [tmp_path / f".a.tif.{IN_NAME}.{dead.pid}.part", tmp_path / f".run.{IN_NAME}.{dead.pid}.part"]
    gone[0].write_text("half")
    gone[1].mkdir()
    (gone[1] / "settings.yaml").write_text("half")
    inherited = tmp_path / f".b.tif.{IN_NAME}.{os.getppid()}.part"
    inherited.touch()
    long_ago = psutil.Process(os.getppid()).create_time() - 3600
    os.utime(inherited, (long_ago, long_ago))  # the process of this number began later
    kept = [
        tmp_path / f".a.tif.elsewhere.{dead.pid}.part",
        tmp_path / f".a.tif.{IN_NAME}.{os.getppid()}.part",
        part_of(tmp_path / "a.tif"),
        tmp_path / ".mine.part",
        tmp_path / "a.tif",
    ]
    for path in kept:
        path.touch()
    clear_parts(tmp_path, "another")
    assert len(list(tmp_path.iterdir())) == len(gone) + len(kept) + 1
    clear_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_name_is_cut_in_bytes_and_still_known(tmp_path):
    path = tmp_path / ("細" * 80)
    write_text(path, "whole")
    assert path.read_text() == "whole"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    part = tmp_path / part_of(path).name.replace(f".{os.getpid()}.", f".{dead.pid}.")
    part.touch()
    clear_parts(tmp_path, path.name)
    assert not part.exists()


@pytest.mark.parametrize("how", ["text", "torch"])
def test_a_full_disk_is_named_and_keeps_what_was_there(tmp_path, how):
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "file"
        path.write_text("old")
        with pytest.raises(DiskFullError, match=r"file: the disk is full; .* make room"):
            if how == "text":
                write_text(path, "x" * 100_000)
            else:
                with replacing(path) as part:
                    torch.save(torch.zeros(100_000), part)
        assert [(entry.name, entry.read_text()) for entry in disk.iterdir()] == [("file", "old")]


def test_a_quota_counts_as_a_full_disk_and_other_errors_do_not():
    assert is_disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_disk_full(RuntimeError("shapes differ"))


LOCKING = """
import sys
from pathlib import Path
from training.util.lock import run_lock

with run_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains what lies in ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.communicate()


def check(folder):
    with run_lock(folder):
        pass


def test_a_run_that_a_live_process_trains_is_left_to_it(tmp_path, other):
    (tmp_path / f".last.ckpt.{IN_NAME}.{other.pid}.part").write_text("being written")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RunError, match=rf"process {other.pid} is training this run; .*`resume` `name` {tmp_path.name}"):
        check(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_whose_process_was_killed_is_taken_over_and_cleared(tmp_path, other):
    (tmp_path / f".last.ckpt.{IN_NAME}.{other.pid}.part").write_text("half")
    (tmp_path / ".mine.txt").write_text("kept")
    other.kill()
    other.wait()
    with run_lock(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.txt", ".training.lock"]
        assert (tmp_path / ".training.lock").read_text().split()[:2] == [str(os.getpid()), HOST]
    assert [path.name for path in tmp_path.iterdir()] == [".mine.txt"]


def test_the_lock_of_another_container_of_the_same_name_is_that_of_another_machine(tmp_path):
    (tmp_path / ".training.lock").write_text(f"{os.getpid()}\n{HOST.partition('?')[0]}?pidns-1\n")
    with pytest.raises(RunError, match=r"on .*pidns-1 is training this run"):
        check(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="makes a PID namespace")
def test_in_a_container_the_own_lock_is_known_as_such(tmp_path):
    script = """
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], stdin=-1, stdout=-1)
other.stdout.readline()
from pathlib import Path
from training.util.lock import run_lock
try:
    with run_lock(Path(sys.argv[2])):
        pass
except Exception as error:
    print(error)
other.kill()
other.wait()
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script, LOCKING, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in ended.stderr:
        pytest.skip("no PID namespace may be made here")
    assert "is training this run; wait for it or stop it, then" in ended.stdout


def test_a_run_that_another_machine_trains_is_left_to_it(tmp_path):
    lock = tmp_path / ".training.lock"
    lock.write_text("4194303\nelsewhere\n")
    part = tmp_path / ".last.ckpt.elsewhere.4194303.part"
    part.touch()
    with pytest.raises(RunError, match=r"process 4194303 on elsewhere .*delete .*\.training\.lock if it is no more"):
        check(tmp_path)
    assert lock.exists()
    assert part.exists()
