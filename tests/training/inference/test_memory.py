"""Free memory: of the machine, or what a container's limit leaves."""

import pytest

from training.inference import memory


def test_some_memory_is_free():
    assert memory.available_memory() > 0


@pytest.mark.parametrize(("limit", "expected"), [("1000", [600]), ("300", [0]), ("max", [])])
def test_a_containers_limit_counts(tmp_path, limit, expected):
    (tmp_path / "limit").write_text(limit + "\n")
    (tmp_path / "use").write_text("400\n")
    groups = (
        (str(tmp_path), "limit", "use", "inactive_file"),
        (str(tmp_path / "none"), "limit", "use", "inactive_file"),
    )
    assert memory._container_memory(groups) == expected


@pytest.mark.parametrize("group", memory._CGROUPS, ids=["version 2", "version 1"])
def test_pages_of_files_that_a_container_read_are_free_memory(tmp_path, group):
    _, limit, use, pages = group
    (tmp_path / limit).write_text("1000\n")
    (tmp_path / use).write_text("900\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\n{pages}_other 7\n{pages} 800\nactive_file 9\n")
    assert memory._container_memory(((str(tmp_path), limit, use, pages),)) == [900]
