"""Scores -> hits: local maxima of the smoothed score above a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ta2net.params import PeaksParams

Curve = NDArray[np.float64]
Frames = NDArray[np.int64]

TRUNCATE = 4.0
"""A Gaussian ends this many sigmas from its middle: SciPy's own default."""


def smoothed(scores: Curve, sigma_frames: float) -> Curve:
    """Gaussian smoothing over the frames that have a score; NaN (no score) stays NaN."""
    have = np.isfinite(scores)
    if sigma_frames == 0 or not have.any():
        return scores.astype(np.float64)
    result = np.full(scores.shape, np.nan)
    # normalised convolution: a frame without a score neither adds to its neighbours nor pulls them down
    weight = gaussian_filter1d(have.astype(np.float64), sigma_frames, mode="constant")
    total = gaussian_filter1d(np.where(have, scores, 0.0), sigma_frames, mode="constant")
    result[have] = total[have] / weight[have]
    return result


def candidate_peaks(scores: Curve, params: PeaksParams) -> tuple[Frames, Curve]:
    """All local maxima of the smoothed scores, at least ``min_distance`` frames apart.

    The first and the last frame that has a score is one only by itself: ``end_height``.

    Args:
        scores: (n,) one score per frame, NaN where a frame has none.

    Returns:
        Frame numbers, ascending, and the smoothed score of each. A plateau counts once, at its middle.
    """
    scores = np.asarray(scores, np.float64)
    smooth = smoothed(scores, params.smoothing_frames)
    have = np.flatnonzero(np.isfinite(smooth))
    if not len(have):
        return np.empty(0, np.int64), np.empty(0)
    first, last = have[0], have[-1]
    # what lies beyond an end: -inf lets its frame be a maximum, +inf does not
    padded = np.concatenate(([np.inf], np.where(np.isfinite(smooth), smooth, -np.inf), [np.inf]))
    padded[: first + 1] = padded[last + 2 :] = np.inf
    for end, beyond, inwards in ((first, slice(first + 1), 1), (last, slice(last + 2, None), -1)):
        height = end_height(scores[first : last + 1][::inwards], params.smoothing_frames)
        if height is not None:
            smooth[end], padded[beyond] = height, -np.inf
    peaks, _ = find_peaks(padded, distance=params.min_distance)
    frames = peaks.astype(np.int64) - 1
    return frames, smooth[frames]


def end_height(scores: Curve, sigma_frames: float) -> float | None:
    """The smoothed score of the end frame ``scores[0]`` if it is a peak with silence before it, else None.

    A score that rises up to an end has its peak beyond, out of sight: a hit that was not filmed, or nothing.
    Among hits on the end frames of real films one in four was right, elsewhere two in three. With 0 for what
    was not filmed only a sharp peak of the end frame itself is left.

    Args:
        scores: (n,) from this end on.
    """
    before = int(np.ceil(TRUNCATE * sigma_frames))
    silent = smoothed(np.concatenate((np.zeros(before), scores)), sigma_frames)[before:]
    other = silent[silent != silent[0]]  # a plateau is one peak wherever it lies
    return float(silent[0]) if not len(other) or silent[0] > other[0] else None


def frames_above(scores: Curve, threshold: float) -> Frames:
    """Every frame whose own score reaches ``threshold``, as the paper reads its output ``O_t``."""
    return np.flatnonzero(np.nan_to_num(scores, nan=-np.inf) >= threshold).astype(np.int64)


def displaced(
    frames: Frames, heights: Curve, offset: Curve, n_frames: int, cut_frames: int
) -> tuple[Frames, Curve]:
    """Peaks moved to where the offset head says the hit is.

    A peak at frame t goes to ``t + round(offset[t])``, at most ``cut_frames`` away. Off the frames that have
    an offset it is no hit of this film: it was not filmed. Of peaks that meet, one stays: its height is the
    largest of theirs.

    Args:
        frames, heights: of the peaks, as ``candidate_peaks`` gives them.
        offset: (n,) signed distance to the nearest hit in frames, NaN where a frame has none.
        n_frames: frames from here on are off limits.
        cut_frames: the distance the head was trained up to (``targets.cut_frames``).

    Returns:
        Frame numbers, ascending, and the height of each.

    Raises:
        ValueError: a peak lies on a frame without an offset.
    """
    if not len(frames):
        return frames, heights
    step = offset[frames]
    if not np.isfinite(step).all():
        raise ValueError(f"no offset at peaks {frames[~np.isfinite(step)].tolist()}")
    shown = np.flatnonzero(np.isfinite(offset[:n_frames]))
    # rounding the step, not the sum: a half goes the same way at every frame
    moved = frames + np.rint(np.clip(step, -cut_frames, cut_frames)).astype(np.int64)
    inside = (moved >= shown[0]) & (moved <= shown[-1])
    unique, place = np.unique(moved[inside], return_inverse=True)
    highest = np.full(len(unique), -np.inf)
    np.maximum.at(highest, place, heights[inside])
    return unique.astype(np.int64), highest


def spaced(frames: Frames, heights: Curve, min_distance: int) -> tuple[Frames, Curve]:
    """Peaks at least ``min_distance`` frames apart: the highest stays, of equals the earlier."""
    kept = np.ones(len(frames), bool)
    for index in np.argsort(-heights, kind="stable"):
        if kept[index]:
            near = np.abs(frames - frames[index]) < min_distance
            near[index] = False
            kept &= ~near
    return frames[kept], heights[kept]
