"""How this process keeps its memory."""

from __future__ import annotations

import ctypes
import platform

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Keep freed memory for the next batch instead of giving it back; call before threads start.

    A network wants the same gigabytes for every batch. glibc gives blocks above 32 MB back at once, and Dask
    tells its workers, and so their children, to give back all: as much time would go into page faults as into
    arithmetic (docs/performance.md). One arena, as those of other threads are given back all the same.
    Elsewhere than in glibc nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((_M_TRIM_THRESHOLD, -1), (_M_MMAP_MAX, 0), (_M_ARENA_MAX, 1)):
        if mallopt(option, value) != 1:
            raise OSError(f"malloc does not take its option {option}")
