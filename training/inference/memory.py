"""How much memory is free, on the machine or a GPU, and whether an error says that it ran out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CGROUPS = (  # a container's memory, version 2 and version 1: folder, limit, use, and what of it counts old file pages
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_OUT_OF_MEMORY = re.compile(
    "out of memory|not enough memory|(can't|cannot|failed to) allocate memory|bad_alloc|bad allocation|alloc_failed",
    re.IGNORECASE,
)


def available_memory(device: str = "cpu") -> int:
    """Return the bytes that are free on a device: of the machine, or of the container that the program runs in.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda``, ``cuda:1``; any other shares the machine's memory.
    """
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(device))
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + reserved)
    import psutil

    return min(int(psutil.virtual_memory().available), *_container_memory(_CGROUPS), sys.maxsize)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, in the words of NumPy, torch or ONNX Runtime."""
    # each library has a class of its own for it, few of which can be named without importing that library
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return _OUT_OF_MEMORY.search(str(error)) is not None


def release_memory(device: str) -> None:
    """Give back what torch keeps of a GPU's memory for reuse."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def _container_memory(groups: tuple[tuple[str, str, str, str], ...]) -> list[int]:
    """Return what a container's limit leaves, for each kind that states one; file pages give way, so they are free."""
    left = []
    for folder, limit, use, pages in groups:
        try:
            used = int(Path(folder, use).read_text()) - _counted(Path(folder, "memory.stat"), pages)
            left.append(max(int(Path(folder, limit).read_text()) - max(used, 0), 0))
        except (OSError, ValueError):  # no such kind of container, or the limit is "max"
            continue
    return left


def _counted(stat: Path, name: str) -> int:
    """Return a figure of a ``memory.stat``; 0 where it is not there."""
    lines = stat.read_text().splitlines() if stat.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
