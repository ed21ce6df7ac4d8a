"""How good hits are: pure functions of frame numbers (appendix B of the paper, and event spotting)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ta2net.hits.matching import Frames, match, merged_events

PAPER_TOLERANCE_FRAMES = 2
EVENT_TOLERANCES_FRAMES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Judged:
    """One video's predicted and labelled hit frames."""

    predicted: Frames
    labelled: Frames


@dataclass(frozen=True)
class Scored:
    """Recall, precision and F1, each in [0, 1]."""

    recall: float
    precision: float
    f1: float


def scored(matched: int, predicted: int, labelled: int) -> Scored:
    """Recall, precision, F1 of counts. Nothing predicted and nothing labelled is a perfect answer."""
    if predicted == 0 and labelled == 0:
        return Scored(1.0, 1.0, 1.0)
    recall = matched / labelled if labelled else 0.0
    precision = matched / predicted if predicted else 0.0
    return Scored(recall, precision, 2 * matched / (predicted + labelled))


def paper_metrics(videos: Sequence[Judged]) -> dict[str, float | int | None]:
    """Appendix B: per video, then averaged; labels as they are (every labelled frame counts).

    Recall, precision, F1 with one-to-one matches within 2 frames; NME = mean |count - labelled count|;
    PME = mean over videos of the mean |frame error| of the matches (videos without any are counted in
    ``pme_videos_without_match``); MAE = mean |count - labelled count| / labelled count over videos with
    labels; OBO = share of videos with |count - labelled count| <= 1. None where no video defines a figure.
    """
    each: list[Scored] = []
    position_errors: list[float] = []
    for video in videos:
        i, j = match(video.predicted, video.labelled, PAPER_TOLERANCE_FRAMES)
        each.append(scored(len(i), len(video.predicted), len(video.labelled)))
        if len(i):
            position_errors.append(float(np.abs(video.predicted[i] - video.labelled[j]).mean()))
    count_error = np.array([abs(len(v.predicted) - len(v.labelled)) for v in videos], np.float64)
    true_count = np.array([len(v.labelled) for v in videos], np.float64)
    labelled = true_count > 0
    return {
        "recall": _mean([s.recall for s in each]),
        "precision": _mean([s.precision for s in each]),
        "f1": _mean([s.f1 for s in each]),
        "nme": _mean(count_error),
        "pme": _mean(position_errors),
        "pme_videos_without_match": len(videos) - len(position_errors),
        "mae": _mean(count_error[labelled] / true_count[labelled]),
        "obo": _mean(count_error <= 1),
        "videos": len(videos),
    }


def event_counts(videos: Sequence[Judged], tolerance_frames: float) -> tuple[int, int, int]:
    """(matched, predicted, labelled) events over all videos, runs of labels merged into one event."""
    matched = predicted = labelled = 0
    for video in videos:
        events = merged_events(video.labelled)
        matched += len(match(video.predicted, events, tolerance_frames)[0])
        predicted += len(video.predicted)
        labelled += len(events)
    return matched, predicted, labelled


def event_metrics(videos: Sequence[Judged]) -> dict[str, float | int]:
    """Recall, precision, F1 at 0, 1, 2 and 3 frames, counted over all events of all videos together."""
    document: dict[str, float | int] = {}
    for tolerance in EVENT_TOLERANCES_FRAMES:
        matched, predicted, labelled = event_counts(videos, tolerance)
        result = scored(matched, predicted, labelled)
        document[f"recall_at_{tolerance}"] = result.recall
        document[f"precision_at_{tolerance}"] = result.precision
        document[f"f1_at_{tolerance}"] = result.f1
        document["predicted"], document["labelled"] = predicted, labelled
    return document


def _mean(values: Sequence[float] | NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(np.mean(values)) if len(values) else None
