"""What a run has learnt about itself, and its curves as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ta2net.methods.batch import Batch


@dataclass
class Progress:
    """What a run has learnt about itself; saved with every checkpoint.

    Attributes:
        step: optimisation steps done.
        losses: one entry per logging interval: step, lr, mean of every loss term.
        validations: one entry per validation: step, f1_at_2, threshold.
        stalls: one entry per logging interval: step, share of its time spent waiting for a batch.
        wall_s, waited_s: time of all logging intervals so far, and how much of it the loop waited for data.
    """

    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    stalls: list[dict[str, float]] = field(default_factory=list)
    wall_s: float = 0.0
    waited_s: float = 0.0

    @property
    def best_f1(self) -> float:
        """The highest event F1 at 2 frames on validation rows so far, -1 before the first."""
        return max((entry["f1_at_2"] for entry in self.validations), default=-1.0)

    @property
    def stall(self) -> float:
        """The share of the run's wall time in which it waited for a batch, 0 before the first step."""
        return self.waited_s / self.wall_s if self.wall_s > 0 else 0.0

    def record_time(self, wall_s: float, waited_s: float) -> None:
        """Add one logging interval, which ends at the present step."""
        self.wall_s += wall_s
        self.waited_s += waited_s
        self.stalls.append({"step": self.step, "stall": waited_s / wall_s if wall_s > 0 else 0.0})


class TimedBatches:
    """Iterates over batches and measures how long the loop had to wait for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._began_s = time.perf_counter()
        self._waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        asked_s = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self._waited_s += time.perf_counter() - asked_s

    def interval(self) -> tuple[float, float]:
        """Seconds since the last call (or since the beginning), and how many of them were spent waiting."""
        now_s = time.perf_counter()
        wall_s, waited_s = now_s - self._began_s, self._waited_s
        self._began_s, self._waited_s = now_s, 0.0
        return wall_s, waited_s


def as_csv(entries: list[dict[str, float]]) -> str:
    """Records of one shape as CSV with a header line."""
    text = io.StringIO()
    if entries:
        writer = csv.DictWriter(text, fieldnames=list(entries[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    return text.getvalue()
