"""Memory, threads and open files of a running program and its children, as time goes on, and their slope."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

from tests.program import Outcome, Running

EVERY_S = 0.5
SETTLED = (0.3, 0.95)
"""Shares of the run between which all is loaded and nothing ends: growth there is growth."""

GROWTH = 0.05
"""Share of its level by which memory may grow over the rest of a run: fragments, and what Python keeps."""
SLACK_BYTES = 16 << 20
"""And so much more, for what is small."""
SLACK_COUNT = 2.0
"""Threads and files by which a run may grow: they come and go."""


@dataclass(frozen=True)
class Sample:
    """What all processes of the program held at a moment.

    Attributes:
        at_s: seconds after the start.
        memory_bytes: resident; pages that processes share count in each.
        threads, files: their numbers.
    """

    at_s: float
    memory_bytes: int
    threads: int
    files: int


@dataclass(frozen=True)
class Trend:
    """A quantity in the settled part of a run.

    Attributes:
        level: its median.
        peak: its largest value.
        growth: what a straight line through it rises from the first to the last of these samples.
        flat: whether that is nothing but noise.
    """

    level: float
    peak: float
    growth: float
    flat: bool


@dataclass(frozen=True)
class Watched:
    """A run to its end, with what was seen on the way."""

    outcome: Outcome
    seconds: float
    samples: tuple[Sample, ...]

    def trends(self) -> dict[str, Trend]:
        """Of memory in bytes, and of the numbers of threads and open files."""
        settled = [
            one for one in self.samples if SETTLED[0] * self.seconds <= one.at_s <= SETTLED[1] * self.seconds
        ]
        at_s = np.array([one.at_s for one in settled])
        return {
            "memory_bytes": _trend(
                at_s, [one.memory_bytes for one in settled], lambda level: GROWTH * level + SLACK_BYTES
            ),
            "threads": _trend(at_s, [one.threads for one in settled], lambda _: SLACK_COUNT),
            "files": _trend(at_s, [one.files for one in settled], lambda _: SLACK_COUNT),
        }


def watch(running: Running, time_limit_s: float) -> Watched:
    """Look at a program until it ends."""
    began = time.perf_counter()
    samples = []
    while running.process.exitcode is None and time.perf_counter() - began < time_limit_s:
        seen = _held(running.process.pid)
        if seen is not None:
            samples.append(Sample(time.perf_counter() - began, *seen))
        time.sleep(EVERY_S)
    outcome = running.outcome(0.0)
    return Watched(outcome, time.perf_counter() - began, tuple(samples))


def _held(pid: int) -> tuple[int, int, int] | None:
    """Memory, threads and files of a process and all below it; None if some of them just ended."""
    try:
        first = psutil.Process(pid)
        memory = threads = files = 0
        for process in (first, *first.children(recursive=True)):
            with process.oneshot():
                memory += process.memory_info().rss
                threads += process.num_threads()
            files += process.num_fds()
    except psutil.Error:
        return None
    return memory, threads, files


def _trend(at_s: np.ndarray, values: list[int], allowed: Callable[[float], float]) -> Trend:
    slope = float(np.polyfit(at_s, values, 1)[0])
    growth, level = slope * float(at_s[-1] - at_s[0]), float(np.median(values))
    return Trend(level, float(max(values)), growth, growth <= allowed(level))
