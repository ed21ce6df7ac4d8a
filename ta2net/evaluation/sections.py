"""Judged videos -> the sections of metrics.json that need hits and labels only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ta2net.evaluation.average_precision import average_precisions
from ta2net.evaluation.bootstrap import Quotient, intervals
from ta2net.evaluation.matching import merged_events
from ta2net.evaluation.metrics import (
    Judged,
    averaged,
    counting_metrics,
    event_counts,
    event_figures,
    event_metrics,
    event_quotients,
    paper_metrics,
    paper_quotients,
    pooled_f1,
)
from ta2net.evaluation.reference_code import reference_code_quotients
from ta2net.evaluation.timing import (
    ONSET_WINDOWS_MS,
    error_figures,
    onset_figures,
    onset_matches,
    time_errors_s,
)
from ta2net.hits.decoding import Peaks

PER_VIDEO_HEADLINES = ("recall", "precision", "f1", "nme", "pme")


def with_intervals(
    section: dict[str, Any], headlines: dict[str, Quotient], resamplings: int
) -> dict[str, Any]:
    """The section with ``ci95``: [low, high] of each headline; without it where nothing is resampled."""
    return {**section, "ci95": intervals(headlines, resamplings)} if resamplings else section


def per_video_section(quotients: dict[str, Quotient], resamplings: int) -> dict[str, Any]:
    """A section of figures that are averaged over videos (``paper``, ``reference_code``)."""
    headlines = {name: quotients[name] for name in PER_VIDEO_HEADLINES}
    return with_intervals(averaged(quotients), headlines, resamplings)


def hit_sections(
    videos: Sequence[Judged], candidates: Sequence[Peaks] | None, resamplings: int
) -> dict[str, Any]:
    """``paper``, ``reference_code``, ``event`` and ``counting`` of one way to find hits.

    Args:
        videos: with presentation times.
        candidates: each video's peaks whatever their height; None where hits come without scores.
        resamplings: of the videos, behind every interval; 0 = no intervals.
    """
    counts = event_counts(videos)
    on_time = {window_ms: onset_matches(videos, window_ms) for window_ms in ONSET_WINDOWS_MS}
    event = {
        **event_figures(counts),
        **onset_figures(on_time, counts.predicted, counts.labelled),
        **error_figures(time_errors_s(videos)),
        **average_precisions(candidates, [merged_events(video.labelled) for video in videos]),
    }
    headlines = event_quotients(counts)
    for window_ms, matched in on_time.items():
        headlines[f"f1_{window_ms}ms"] = pooled_f1(matched, counts.predicted, counts.labelled)
    return {
        "paper": per_video_section(paper_quotients(videos), resamplings),
        "reference_code": per_video_section(reference_code_quotients(videos), resamplings),
        "event": with_intervals(event, headlines, resamplings),
        "counting": counting_metrics(counts),
    }


def per_class(videos: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """By class name: videos, labelled events, event F1 within 1 and 2 frames, the paper's F1."""
    classes: defaultdict[str, list[Judged]] = defaultdict(list)
    for video in videos:
        classes[video.class_name].append(video)
    document = {}
    for name in sorted(classes):
        event = event_metrics(classes[name])
        document[name] = {
            "videos": len(classes[name]),
            "labelled": event["labelled"],
            "f1_at_1": event["f1_at_1"],
            "f1_at_2": event["f1_at_2"],
            "paper_f1": paper_metrics(classes[name])["f1"],
        }
    return document
