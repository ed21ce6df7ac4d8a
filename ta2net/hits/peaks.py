"""Scores -> hits: local maxima of the smoothed score above a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ta2net.params import PeaksParams

Curve = NDArray[np.float64]
Frames = NDArray[np.int64]


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

    Args:
        scores: (n,) one score per frame, NaN where a frame has none.

    Returns:
        Frame numbers, ascending, and the smoothed score of each. A plateau counts once, at its middle.
    """
    smooth = smoothed(np.asarray(scores, np.float64), params.smoothing_frames)
    # -inf on both sides lets the first and the last frame be a maximum
    padded = np.concatenate(([-np.inf], np.where(np.isfinite(smooth), smooth, -np.inf), [-np.inf]))
    peaks, _ = find_peaks(padded, distance=params.min_distance)
    frames = peaks.astype(np.int64) - 1
    return frames, smooth[frames]


def frames_above(scores: Curve, threshold: float) -> Frames:
    """Every frame whose own score reaches ``threshold``, as the paper reads its output ``O_t``."""
    return np.flatnonzero(np.nan_to_num(scores, nan=-np.inf) >= threshold).astype(np.int64)


def displaced(
    frames: Frames, heights: Curve, offset: Curve, n_frames: int, cut_frames: int
) -> tuple[Frames, Curve]:
    """Peaks moved to where the offset head says the hit is.

    A peak at frame t goes to ``t + round(offset[t])``, at most ``cut_frames`` away, and never off the frames
    that have an offset. Of peaks that meet, one stays: its height is the largest of theirs.

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
    unique, place = np.unique(np.clip(moved, shown[0], shown[-1]), return_inverse=True)
    highest = np.full(len(unique), -np.inf)
    np.maximum.at(highest, place, heights)
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
