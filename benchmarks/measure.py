"""Two ways to do one thing, timed in turns, and their ratio."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: measurements of each ratio.
        quick: at sizes that only show that it runs.
        device: as ``train.device``.
    """

    rounds: int
    quick: bool
    device: str


@dataclass(frozen=True)
class Ratio:
    """How many times faster ours is.

    Attributes:
        name: ``room.what.ours_vs_theirs``; a contract, so that two commits can be compared.
        ratio: median over the rounds of their time / our time.
        against: what ours was measured against, in words.
        spread: the smallest and the largest ratio of a round.
    """

    name: str
    ratio: float
    against: str
    spread: tuple[float, float]


def compared(
    name: str, ours: Callable[[], float], theirs: Callable[[], float], against: str, rounds: int
) -> Ratio:
    """Time both in turns, ``rounds`` times after one warm-up of each.

    Args:
        ours, theirs: do some work and say how much of it (pairs, clips, steps): the two may differ.
    """
    ours()
    theirs()
    return middle(name, against, [seconds_per_unit(theirs) / seconds_per_unit(ours) for _ in range(rounds)])


def middle(name: str, against: str, values: list[float]) -> Ratio:
    """A ratio of its rounds' values."""
    return Ratio(name, statistics.median(values), against, (min(values), max(values)))


def seconds_per_unit(work: Callable[[], float]) -> float:
    """Time some work that says how much of it there was."""
    begun = time.perf_counter()
    units = work()
    return (time.perf_counter() - begun) / units


def matmul_flops(device: torch.device, dtype: torch.dtype, size: int = 2048, repeats: int = 6) -> float:
    """Floating-point operations per second of a square matrix product: the best of ``repeats``."""
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def product() -> float:
        (one @ other)[0, 0].item()  # waits for a GPU
        return 2.0 * size**3

    product()
    return 1 / min(seconds_per_unit(product) for _ in range(repeats))


def peak_bytes(device: torch.device | None = None) -> float:
    """The most memory this process has held since it became this program: a GPU's, or resident on the host.

    Linux's ``getrusage`` counts what the parent held at the moment it started this process, too.
    """
    if device is not None and device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return 1024.0 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_fresh_process(module: str, arguments: Sequence[str]) -> Any:
    """What ``python -m module arguments`` prints in its last line, as JSON.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
