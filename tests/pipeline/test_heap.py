"""Memory that is kept is not mapped again, and comes in huge pages where there are such."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

FILL_AND_FREE = """
import resource
import numpy as np
from pipeline.heap import keep_freed_memory

if {keep}:
    keep_freed_memory()
np.ones(1 << 26, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool) -> int:
    program = FILL_AND_FREE.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_a_block_freed_and_wanted_again_costs_no_page_fault():
    """64 MB ten times over are 160000 pages of 4 KB, or 320 of 2 MB."""
    assert page_faults(keep=True) < 20
    assert page_faults(keep=False) > 200


FILL = """
import resource
from pathlib import Path
from pipeline.heap import keep_freed_memory, use_huge_pages

def resident_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) // 1024

{limit}
keep_freed_memory()
faults, mb = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, resident_mb()
if {huge}:
    use_huge_pages()
    use_huge_pages()
filled = b"x" * (1 << 28)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults, resident_mb() - mb)
"""
LIMITED_ADDRESS_SPACE = "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def first_touch(huge: bool, limit: str = "") -> tuple[int, int]:
    """Page faults of 256 MB that were never touched before, and by how many MB the process grew."""
    program = FILL.format(huge=huge, limit=limit)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    faults, grown_mb = done.stdout.split()
    return int(faults), int(grown_mb)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text(),
    reason="no huge pages here",
)
def test_a_heap_of_huge_pages_costs_few_page_faults_and_no_memory_of_its_own():
    """256 MB are 65536 pages of 4 KB, or 128 of 2 MB."""
    faults, grown_mb = first_touch(huge=True)
    assert faults < 5000
    assert 250 <= grown_mb < 300
    if "[madvise]" in HUGE_PAGES.read_text():
        assert first_touch(huge=False)[0] > 60000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_room_that_is_limited_is_left_to_others():
    faults, grown_mb = first_touch(huge=True, limit=LIMITED_ADDRESS_SPACE)
    assert grown_mb >= 250
    if not HUGE_PAGES.exists() or "[madvise]" in HUGE_PAGES.read_text():
        assert faults > 60000
