"""One row's scores -> its hits: the only way that thresholds, metrics, files and pictures take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.spans import Spans, in_spans
from ta2net.hits.peaks import Frames, candidate_peaks, displaced, spaced
from ta2net.params import PeaksParams


@dataclass(frozen=True)
class Peaks:
    """Candidate hits of one row: frame numbers, ascending, and the smoothed score of each, both (k,)."""

    frames: Frames
    heights: NDArray[np.float64]

    def above(self, threshold: float) -> Peaks:
        """Those whose height reaches ``threshold``."""
        return self._kept(self.heights >= threshold)

    def within(self, spans: Spans) -> Peaks:
        """Those on frames of the spans."""
        return self._kept(in_spans(self.frames, spans))

    def _kept(self, which: NDArray[np.bool_]) -> Peaks:
        return Peaks(self.frames[which], self.heights[which])


def row_peaks(
    scores: NDArray[np.float64], params: PeaksParams, offset: NDArray[np.float64] | None = None
) -> Peaks:
    """All candidate hits of a whole row.

    Args:
        scores: (n,) one score per frame, NaN where a frame has none.
        offset: (n,) signed frames from each frame to the nearest hit, where a network says so.
    """
    frames, heights = candidate_peaks(scores, params)
    if offset is not None:
        moved = displaced(frames, heights, offset, len(scores), params.max_offset_frames)
        frames, heights = spaced(*moved, params.min_distance)
    return Peaks(frames, heights)
