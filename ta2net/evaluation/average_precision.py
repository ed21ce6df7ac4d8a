"""Average precision over candidate peaks: how well the scores rank, without any threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ta2net.hits.decoding import Peaks
from ta2net.hits.peaks import Frames

MAP_TOLERANCES_FRAMES = (0, 1, 2, 4)


def found_greedily(peaks: Peaks, events: Frames, tolerance_frames: int) -> NDArray[np.bool_]:
    """Which peaks find an event, the surest first: each takes the nearest event that is still free.

    One whose nearest free event is farther than ``tolerance_frames`` is false. Of equally sure peaks the
    earlier one is first; of equally near events, too.

    Returns:
        bool (n,), in the order of ``peaks``.
    """
    found = np.zeros(len(peaks.frames), bool)
    free = np.sort(np.asarray(events, np.int64))
    for index in np.argsort(-peaks.heights, kind="stable"):
        if free.size == 0:
            break
        distance = np.abs(free - peaks.frames[index])
        nearest = int(distance.argmin())
        if distance[nearest] <= tolerance_frames:
            found[index] = True
            free = np.delete(free, nearest)
    return found


def average_precision(
    candidates: Sequence[Peaks], events: Sequence[Frames], tolerance_frames: int
) -> float | None:
    """Area under the precision-recall curve of all videos' peaks pooled and sorted by their height.

    Source: E2E-Spot (Hong et al., ECCV 2022): greedy one-to-one matching, precision interpolated from the
    right, recall steps of one event. TA2Net knows one class, "hit", so the mean over classes is this number.
    Peaks of the very same height, from whatever video, count together: no order among them is better.

    Args:
        candidates, events: one entry per video.

    Returns:
        In [0, 1]; None without events.
    """
    total = sum(len(e) for e in events)
    if total == 0:
        return None
    found = [found_greedily(p, e, tolerance_frames) for p, e in zip(candidates, events, strict=True)]
    heights = np.concatenate([p.heights for p in candidates])
    order = np.argsort(-heights, kind="stable")
    heights, right = heights[order], np.concatenate(found)[order].astype(np.float64)
    ends = np.flatnonzero(np.append(np.diff(heights) != 0, True)) if heights.size else np.empty(0, np.int64)
    hits = np.cumsum(right)[ends]
    precision = hits / (ends + 1)
    interpolated = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(hits, prepend=0.0) * interpolated).sum() / total)


def average_precisions(
    candidates: Sequence[Peaks] | None, events: Sequence[Frames]
) -> dict[str, float | None]:
    """``map_at_0|1|2|4``; all None where hits come without scores (``candidates`` None)."""
    return {
        f"map_at_{k}": None if candidates is None else average_precision(candidates, events, k)
        for k in MAP_TOLERANCES_FRAMES
    }
