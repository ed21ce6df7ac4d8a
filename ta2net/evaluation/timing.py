"""How good hits are in time: presentation times in seconds instead of frame numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mir_eval.util import match_events
from numpy.typing import NDArray

from ta2net.evaluation.matching import match
from ta2net.evaluation.metrics import Figures, Judged, as_events, scored

ONSET_WINDOW_S = 0.05
"""mir_eval's default for note onsets."""

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


def onset_matches(videos: Sequence[Judged]) -> NDArray[np.int64]:
    """Events of each video (n,) found within 50 ms by mir_eval's rule: the most one-to-one pairs."""
    times = [event_times(video) for video in videos]
    return np.array(
        [len(match_events(labelled, predicted, ONSET_WINDOW_S + CLOCK_S)) for predicted, labelled in times],
        np.int64,
    )


def onset_figures(
    matched: NDArray[np.int64], predicted: NDArray[np.int64], labelled: NDArray[np.int64]
) -> Figures:
    """``recall_50ms``, ``precision_50ms``, ``f1_50ms`` over all events of all videos, from counts (n,)."""
    result = scored(int(matched.sum()), int(predicted.sum()), int(labelled.sum()))
    return {"recall_50ms": result.recall, "precision_50ms": result.precision, "f1_50ms": result.f1}


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
