"""Pairs predicted hits with labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ta2net.hits.peaks import Frames


def merged_events(labels: Sequence[int] | Frames) -> Frames:
    """Runs of consecutive labelled frames as one event each, at the run's middle frame (rounded down).

    A run marks one hit: 16 % of the gaps in Audible623 are one frame.

    Example:
        >>> merged_events([12, 31, 32, 33, 53]).tolist()
        [12, 32, 53]
    """
    frames = np.unique(np.asarray(labels, np.int64))
    if frames.size == 0:
        return frames
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return np.array([(run[0] + run[-1]) // 2 for run in runs], np.int64)


def match(
    predicted: Sequence[int] | Frames, labelled: Sequence[int] | Frames, tolerance_frames: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """One-to-one pairs within ``tolerance_frames``: the most pairs first, then the least total distance.

    Args:
        predicted, labelled: frame numbers (or times, in the unit of the tolerance).

    Returns:
        Indices into ``predicted`` and into ``labelled`` of the matched pairs.
    """
    a, b = np.asarray(predicted, np.float64), np.asarray(labelled, np.float64)
    if a.size == 0 or b.size == 0:
        nothing = np.empty(0, np.intp)
        return nothing, nothing
    distance = np.abs(a[:, None] - b[None, :])
    near = distance <= tolerance_frames
    # one more pair must always pay more than any sum of distances can cost
    reward = (tolerance_frames + 1.0) * (min(a.size, b.size) + 1.0)
    rows, columns = linear_sum_assignment(np.where(near, distance - reward, 0.0))
    kept = near[rows, columns]
    return rows[kept], columns[kept]
