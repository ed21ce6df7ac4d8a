"""Hits that nobody looked for: evenly spaced, so that a rate known in advance is not taken for sight.

Films of hits have a beat. Within 2 frames every fifth frame meets every label, and hits at the right interval
meet many: what a network is worth is what it has beyond these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.catalog import Row
from pipeline.spans import frames_in
from ta2net.evaluation.matching import Frames, merged_events
from ta2net.evaluation.rows import on_known_frames

EVERY_FRAMES = 5
"""The widest spacing that leaves no frame farther than 2 frames from a hit."""


def evenly_spaced(interval_frames: float, n_frames: int) -> Frames:
    """Frames at half an interval, one and a half, ...: the phase is fixed, nothing was seen.

    Time is counted from the beginning of frame 0, so that the film played backwards has as long a wait.

    Example:
        >>> evenly_spaced(5, 14).tolist()
        [2, 7, 12]
    """
    steps = np.arange(int(n_frames / interval_frames) + 1) + 0.5
    frames = np.floor(steps * interval_frames).astype(np.int64)
    return frames[frames < n_frames]


def median_interval(row: Row) -> float | None:
    """The median number of frames from one labelled event to the next of the same annotated span.

    None where no span has two events.
    """
    steps = [np.diff(merged_events(frames_in(row.labels, [span]))) for span in row.annotated]
    intervals = np.concatenate([np.empty(0), *steps])
    return float(np.median(intervals)) if len(intervals) else None


def median_intervals(rows: Sequence[Row]) -> list[float | None]:
    """Every row's own median interval; the median of all rows' where it has fewer than two events.

    None where no row has two.
    """
    own = [median_interval(row) for row in rows]
    known = [interval for interval in own if interval is not None]
    usual = float(np.median(known)) if known else None
    return [usual if interval is None else interval for interval in own]


def rhythms(rows: Sequence[Row]) -> dict[str, list[Frames]]:
    """By name, the frames of such hits in every row, on the frames that were annotated.

    ``evenly_spaced`` is told each row's median interval by its labels: the right rate, the phase by chance.
    Where no row has two events there is no rate, and no hit. ``every_5th_frame`` is told nothing.
    """
    even = [
        np.empty(0, np.int64) if interval is None else evenly_spaced(interval, row.n_frames)
        for row, interval in zip(rows, median_intervals(rows), strict=True)
    ]
    fixed = [evenly_spaced(EVERY_FRAMES, row.n_frames) for row in rows]
    return {
        name: [on_known_frames(row, frames) for row, frames in zip(rows, found, strict=True)]
        for name, found in (("evenly_spaced", even), (f"every_{EVERY_FRAMES}th_frame", fixed))
    }
