"""How good hits are in time: presentation times in seconds instead of frame numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mir_eval.util import match_events
from numpy.typing import NDArray

from ta2net.evaluation.matching import match
from ta2net.evaluation.metrics import Figures, Judged, as_events, scored

ONSET_WINDOWS_MS = (50, 80)
"""mir_eval's default for note onsets; and 2 frames at 25 per second, which slower videos come within, too."""

CLOCK_S = 1e-6
"""Times are the container's, rounded: 3 frames at 60 per second are 50 ms whatever a float makes of them."""

MATCHED_WITHIN_FRAMES = 2
ERROR_PERCENTILES = (50, 90, 95)


def event_times(video: Judged) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Presentation times in s of the predicted and of the labelled events.

    Raises:
        ValueError: the video has no times.
    """
    if video.time_s is None:
        raise ValueError("figures in milliseconds need the presentation times of the frames")
    predicted, labelled = as_events(video)
    return video.time_s[predicted], video.time_s[labelled]


def onset_matches(videos: Sequence[Judged], window_ms: int = ONSET_WINDOWS_MS[0]) -> NDArray[np.int64]:
    """Events of each video (n,) found within the window by mir_eval's rule: the most one-to-one pairs."""
    window_s = window_ms / 1000 + CLOCK_S
    times = [event_times(video) for video in videos]
    return np.array(
        [len(match_events(labelled, predicted, window_s)) for predicted, labelled in times], np.int64
    )


def onset_figures(
    on_time: Mapping[int, NDArray[np.int64]], predicted: NDArray[np.int64], labelled: NDArray[np.int64]
) -> Figures:
    """``recall_50ms``, ``precision_50ms``, ``f1_50ms`` and so on over all events of all videos.

    Args:
        on_time: by window in ms, the matches of each video (n,).
        predicted, labelled: events of each video (n,).
    """
    figures: Figures = {}
    for window_ms, matched in on_time.items():
        result = scored(int(matched.sum()), int(predicted.sum()), int(labelled.sum()))
        figures[f"recall_{window_ms}ms"] = result.recall
        figures[f"precision_{window_ms}ms"] = result.precision
        figures[f"f1_{window_ms}ms"] = result.f1
    return figures


def time_errors_s(videos: Sequence[Judged]) -> NDArray[np.float64]:
    """Predicted minus labelled time of every match within 2 frames, all videos."""
    errors = [np.empty(0)]
    for video in videos:
        i, j = match(*as_events(video), MATCHED_WITHIN_FRAMES)
        predicted_s, labelled_s = event_times(video)
        errors.append(predicted_s[i] - labelled_s[j])
    return np.concatenate(errors)


def error_figures(errors_s: NDArray[np.float64]) -> Figures:
    """``bias_ms``, the signed mean (positive: hits come late), and percentiles of the size; None of none."""
    names = [f"abs_error_ms_p{percentile}" for percentile in ERROR_PERCENTILES]
    if errors_s.size == 0:
        return dict.fromkeys(["bias_ms", *names])
    sizes = np.percentile(np.abs(errors_s), ERROR_PERCENTILES)
    return {
        "bias_ms": 1000 * float(errors_s.mean()),
        **{name: 1000 * float(size) for name, size in zip(names, sizes, strict=True)},
    }
