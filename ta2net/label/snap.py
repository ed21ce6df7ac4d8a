"""Moments -> the frames that were shown at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_frames(
    times_s: NDArray[np.float64], moments_s: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The frame shown nearest to each moment, and whether the moment is the video's at all.

    It is where it lies no further than half a frame before the first or behind the last presentation time;
    half a frame is half the distance to the neighbour.

    Args:
        times_s: (n,) presentation times, ascending, n >= 2.
        moments_s: (k,) on the same clock.

    Returns:
        Frame numbers (k,), and (k,) whether they mean anything.
    """
    middles = 0.5 * (times_s[1:] + times_s[:-1])
    before, behind = 2 * times_s[0] - middles[0], 2 * times_s[-1] - middles[-1]
    inside = (moments_s >= before) & (moments_s <= behind)
    return np.searchsorted(middles, moments_s, side="right").astype(np.int64), inside
