"""Memory that a process has freed stays with it, so that the next layer of a network finds it there."""

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_LARGEST_KEPT = (2**27, 2**25)  # bytes of one block; releases of glibc before 2.35 take no more than the second


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep the memory that this process frees, and return whether it does; nothing where there is no glibc.

    By default it gives each large block back to the kernel when it is freed and asks for a new one, whose pages the
    kernel first fills with zeros: for a network's activations this takes as long as the convolutions. Blocks beyond
    128 MiB are still given back, so the peak is that of one large image, not of all that came before.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc: macOS, Windows, musl
        return False
    kept = any(mallopt(_M_MMAP_THRESHOLD, size) for size in _LARGEST_KEPT)
    return kept and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
