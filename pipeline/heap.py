"""How this process keeps its memory."""

from __future__ import annotations

import ctypes
import mmap
import platform
from pathlib import Path

import psutil

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


def use_huge_pages() -> None:
    """Have the heap in pages of 2 MB instead of 4 KB; call before threads start, after ``keep_freed_memory``.

    A training step goes through gigabytes, and the processor keeps the addresses of few pages at hand. The
    heap grows once by all the memory that is free, which takes none of it yet, and is marked. Pages stay as
    they are where Linux has no huge ones, or where room itself is scarce (``ulimit -v``, no overcommitting).
    """
    if platform.libc_ver()[0] != "glibc" or not hasattr(mmap, "MADV_HUGEPAGE") or not _room_is_free():
        return
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    room = psutil.virtual_memory().available
    block = libc.malloc(room)
    if block is None:
        return
    skipped = -block % mmap.PAGESIZE
    libc.madvise(block + skipped, (room - skipped) // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
    libc.free(block)


def _room_is_free() -> bool:
    """Whether Linux lets a process have address space that it may never fill, at nobody's cost."""
    import resource  # not on every system

    policy = Path("/proc/sys/vm/overcommit_memory")
    strict = policy.exists() and policy.read_text(encoding="ascii").strip() == "2"
    return not strict and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
