"""Memory that is kept is not mapped again."""

from __future__ import annotations

import platform
import subprocess
import sys

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
