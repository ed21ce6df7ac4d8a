"""Two ways to do one thing, timed in turns, and their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


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
    ratios = [_seconds_per_unit(theirs) / _seconds_per_unit(ours) for _ in range(rounds)]
    return Ratio(name, statistics.median(ratios), against, (min(ratios), max(ratios)))


def _seconds_per_unit(work: Callable[[], float]) -> float:
    begun = time.perf_counter()
    units = work()
    return (time.perf_counter() - begun) / units
