"""How this process treats memory that it has freed."""

from __future__ import annotations

import ctypes
import platform

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Keep freed memory for the next batch instead of giving it back; call before threads start.

    Dask tells its workers, and so their children, to give it back at once, but a network wants the same
    gigabyte for every batch: more time would go into page faults than into arithmetic. One arena, as those of
    other threads are given back all the same. Elsewhere than in glibc nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((_M_TRIM_THRESHOLD, -1), (_M_MMAP_MAX, 0), (_M_ARENA_MAX, 1)):
        if mallopt(option, value) != 1:
            raise OSError(f"malloc does not take its option {option}")
