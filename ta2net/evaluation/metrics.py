"""How good hits are: pure functions of frame numbers (appendix B of the paper, and event spotting)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ta2net.evaluation.bootstrap import Quotient, mean_over
from ta2net.evaluation.matching import match, merged_events
from ta2net.hits.peaks import Frames

PAPER_TOLERANCE_FRAMES = 2
EVENT_TOLERANCES_FRAMES = (0, 1, 2, 3)

Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class Judged:
    """One video's predicted and labelled hit frames.

    Attributes:
        time_s: presentation time of every frame of the video, (n,) seconds; only figures in ms need it.
        class_name: kind of action; only figures per class need it.
    """

    predicted: Frames
    labelled: Frames
    time_s: NDArray[np.float64] | None = None
    class_name: str = ""


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


def paper_quotients(videos: Sequence[Judged]) -> dict[str, Quotient]:
    """What each video adds to the figures of ``paper_metrics``, by figure."""
    each: list[Scored] = []
    position_error = np.full(len(videos), np.nan)
    for index, video in enumerate(videos):
        i, j = match(video.predicted, video.labelled, PAPER_TOLERANCE_FRAMES)
        each.append(scored(len(i), len(video.predicted), len(video.labelled)))
        if len(i):
            position_error[index] = np.abs(video.predicted[i] - video.labelled[j]).mean()
    predicted = np.array([len(v.predicted) for v in videos], np.int64)
    labelled = np.array([len(v.labelled) for v in videos], np.int64)
    counts = count_quotients(predicted, labelled)
    return {
        "recall": mean_over(np.array([s.recall for s in each])),
        "precision": mean_over(np.array([s.precision for s in each])),
        "f1": mean_over(np.array([s.f1 for s in each])),
        "nme": counts["nme"],
        "pme": mean_over(position_error, np.isfinite(position_error)),
        "mae": counts["mae"],
        "obo": counts["obo"],
    }


def count_quotients(predicted: NDArray[np.int64], labelled: NDArray[np.int64]) -> dict[str, Quotient]:
    """What each video's counts (n,) add: NME = mean |count - labelled count|, MAE = that over the labelled
    count, on videos with labels only, OBO = share of videos with |count - labelled count| <= 1."""
    error = np.abs(predicted - labelled)
    return {
        "nme": mean_over(error),
        "mae": mean_over(error / np.maximum(labelled, 1), labelled > 0),
        "obo": mean_over(error <= 1),
    }


def averaged(quotients: dict[str, Quotient]) -> Figures:
    """The figures over all videos, how many videos had no match to define ``pme``, and how many there are."""
    figures: Figures = {}
    for name, quotient in quotients.items():
        figures[name] = quotient.value()
        if name == "pme":
            figures["pme_videos_without_match"] = int((quotient.denominator == 0).sum())
    figures["videos"] = len(quotients["f1"].numerator)
    return figures


def paper_metrics(videos: Sequence[Judged]) -> Figures:
    """Appendix B: per video, then averaged; labels as they are (every labelled frame counts).

    Recall, precision, F1 with one-to-one matches within 2 frames; NME = mean |count - labelled count|;
    PME = mean over videos of the mean |frame error| of the matches (videos without any are counted in
    ``pme_videos_without_match``); MAE = mean |count - labelled count| / labelled count over videos with
    labels; OBO = share of videos with |count - labelled count| <= 1. None where no video defines a figure.
    """
    return averaged(paper_quotients(videos))


@dataclass(frozen=True)
class EventCounts:
    """Events of every video, each array (n,).

    Attributes:
        matched: by tolerance in frames.
    """

    matched: dict[int, NDArray[np.int64]]
    predicted: NDArray[np.int64]
    labelled: NDArray[np.int64]


def as_events(video: Judged) -> tuple[Frames, Frames]:
    """A video's predicted and labelled events.

    Runs of consecutive frames are one event on both sides. Peaks are never neighbours; hits of another
    program that marks a hit by a run, as Audible623's labels do, are then read like the labels.
    """
    return merged_events(video.predicted), merged_events(video.labelled)


def event_counts(videos: Sequence[Judged]) -> EventCounts:
    """One-to-one matches at every tolerance, and the events there are."""
    events = [as_events(video) for video in videos]
    return EventCounts(
        {
            k: np.array([len(match(predicted, labelled, k)[0]) for predicted, labelled in events], np.int64)
            for k in EVENT_TOLERANCES_FRAMES
        },
        np.array([len(predicted) for predicted, _ in events], np.int64),
        np.array([len(labelled) for _, labelled in events], np.int64),
    )


def pooled_f1(
    matched: NDArray[np.int64], predicted: NDArray[np.int64], labelled: NDArray[np.int64]
) -> Quotient:
    """F1 over all hits of all videos, from each video's counts (n,)."""
    return Quotient((2 * matched).astype(np.float64), (predicted + labelled).astype(np.float64), empty=1.0)


def event_quotients(counts: EventCounts) -> dict[str, Quotient]:
    """What each video adds to ``f1_at_0|1|2|3``."""
    return {
        f"f1_at_{k}": pooled_f1(matched, counts.predicted, counts.labelled)
        for k, matched in counts.matched.items()
    }


def event_figures(counts: EventCounts) -> Figures:
    """The figures of ``event_metrics`` of counted events."""
    predicted, labelled = int(counts.predicted.sum()), int(counts.labelled.sum())
    document: Figures = {}
    for tolerance, matched in counts.matched.items():
        result = scored(int(matched.sum()), predicted, labelled)
        document[f"recall_at_{tolerance}"] = result.recall
        document[f"precision_at_{tolerance}"] = result.precision
        document[f"f1_at_{tolerance}"] = result.f1
        document["predicted"], document["labelled"] = predicted, labelled
    return document


def event_metrics(videos: Sequence[Judged]) -> Figures:
    """Recall, precision, F1 at 0, 1, 2 and 3 frames, counted over all events of all videos together."""
    return event_figures(event_counts(videos))


def counting_metrics(counts: EventCounts) -> Figures:
    """MAE and OBO of the number of events per video, as counting sets are judged (Dwibedi et al., 2020)."""
    quotients = count_quotients(counts.predicted, counts.labelled)
    return {
        "mae": quotients["mae"].value(),
        "obo": quotients["obo"].value(),
        "videos": len(counts.labelled),
    }
