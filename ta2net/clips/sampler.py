"""Which clips each training step is made of, from (seed, step) alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Row
from pipeline.kinematics import valid_range
from ta2net.clips.augmentation import ColourJitter, Mixup
from ta2net.params import Params


@dataclass(frozen=True)
class Clip:
    """Which frames of which row a clip is made of: ``[start, stop)``, mirrored or not, backwards or not."""

    row: Row
    start: int
    stop: int
    flipped: bool
    backwards: bool


class ClipPlan:
    """Chooses the clips of every step from (seed, step) alone.

    Nothing is carried from step to step, so a run that stops and resumes draws exactly what an
    uninterrupted one would. Every row is drawn once per epoch, in a new order.
    """

    def __init__(self, rows: tuple[Row, ...], params: Params) -> None:
        self.rows, self.params = rows, params
        # a step touches two epochs at most; shuffling a large set anew for every clip would take its time
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def epoch(self, step: int) -> int:
        """How many times every row has been drawn when ``step`` begins."""
        return step * self.params.clips.batch // len(self.rows)

    def clips(self, step: int) -> list[Clip]:
        """The clips of one step."""
        batch, seed = self.params.clips.batch, self.params.train.seed
        rng = np.random.default_rng((seed, 1, step))
        chosen = []
        for draw in range(step * batch, (step + 1) * batch):
            epoch, place = divmod(draw, len(self.rows))
            chosen.append(self._clip(self.rows[self._order(epoch)[place]], rng))
        return chosen

    def jitters(self, step: int) -> list[ColourJitter] | None:
        """The change of colour of each clip of one step; None when ``clips.jitter`` is 0."""
        clips = self.params.clips
        if clips.jitter == 0:
            return None
        # numbers of their own: the clips stay those of a run without the extra
        rng = np.random.default_rng((self.params.train.seed, 2, step))
        return [ColourJitter.drawn(rng, clips.jitter) for _ in range(clips.batch)]

    def mixup(self, step: int) -> Mixup | None:
        """How the clips of one step are blended; None when ``clips.mixup`` is 0."""
        clips = self.params.clips
        if clips.mixup == 0:
            return None
        rng = np.random.default_rng((self.params.train.seed, 3, step))
        return Mixup.drawn(rng, clips.batch, clips.mixup)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.params.train.seed, 0, epoch)).permutation(len(self.rows))

    def _clip(self, row: Row, rng: np.random.Generator) -> Clip:
        """A window that holds at least one label of the row, if the row has any."""
        length = self.params.clips.frames
        first, end = valid_range(row.n_frames, self.params.kinematics.edges)
        latest = max(first, end - length)
        low, high = first, latest
        labels = [label for label in row.known_labels if first <= label < end]
        if labels:
            label = labels[rng.integers(len(labels))]
            low, high = max(first, label - length + 1), min(label, latest)
            low = min(low, high)
        start = int(rng.integers(low, high + 1))
        flipped, backwards = rng.random(2) < 0.5
        clips = self.params.clips
        return Clip(
            row,
            start,
            min(start + length, end),
            clips.flip and bool(flipped),
            clips.reverse and bool(backwards),
        )
