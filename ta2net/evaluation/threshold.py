"""Chooses the threshold that turns peaks into hits, on validation rows and never on those evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.spans import Spans, mask_of
from ta2net.evaluation.matching import match, merged_events
from ta2net.evaluation.metrics import Judged, paper_metrics, scored
from ta2net.hits.decoding import Peaks, row_peaks
from ta2net.hits.peaks import Curve, frames_above
from ta2net.params import PeaksParams

MAX_THRESHOLDS = 200
FRAME_THRESHOLDS = 50
TOLERANCE_FRAMES = 2

SENSITIVITIES: Mapping[str, float] = {"low": 0.5, "normal": 1.0, "high": 2.0}
"""What a user asks for -> how many times as much recall counts as precision: beta of F-beta (van Rijsbergen,
Information Retrieval, 1979, ch. 7). A larger beta never finds fewer of the labelled hits."""


@dataclass(frozen=True)
class LabelledScores:
    """One video's scores (n,) and labelled frames.

    Attributes:
        annotated: half-open spans; frames elsewhere are unknown: a hit there is neither right nor wrong.
            None: all frames are annotated.
        offset: (n,) signed frames to the nearest hit, see ``row_peaks``.
    """

    scores: Curve
    labels: Sequence[int]
    annotated: Spans | None = None
    offset: Curve | None = None

    @property
    def known_scores(self) -> Curve:
        """The scores (n,) of the annotated frames, NaN on the others."""
        if self.annotated is None:
            return self.scores
        return np.where(mask_of(self.annotated, len(self.scores)), self.scores, np.nan)

    def peaks(self, params: PeaksParams) -> Peaks:
        """Candidate hits on annotated frames: those of the whole row, less those on unknown frames.

        They go before anything is paired: a hit right beside a span finds no label in it, and is not false.
        """
        peaks = row_peaks(self.scores, params, self.offset)
        return peaks if self.annotated is None else peaks.within(self.annotated)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and the event recall, precision and F1 at 2 frames it gives."""

    threshold: float
    recall: float
    precision: float
    f1: float

    def f_beta(self, beta: float) -> float:
        """(1 + beta^2) P R / (beta^2 P + R), to 12 decimals, so that equals are equal; 0 without a match."""
        if not self.recall or not self.precision:
            return 0.0
        square = beta * beta
        weighed = (1 + square) * self.precision * self.recall
        return round(weighed / (square * self.precision + self.recall), 12)


def operating_points(videos: Sequence[LabelledScores], params: PeaksParams) -> list[OperatingPoint]:
    """The precision-recall curve between the peaks' heights, thresholds ascending; at most 200 of them.

    Frames without a score (NaN) count as never predicted. Where no video has a peak, as scores that only rise
    have none, one point: nothing found, at the highest score. Empty where there is no score.
    """
    peaks = [video.peaks(params) for video in videos]
    events = [merged_events(video.labels) for video in videos]
    heights = np.unique(np.concatenate([p.heights for p in peaks])) if peaks else np.empty(0)
    if not heights.size:
        known = [scores[np.isfinite(scores)] for scores in (video.known_scores for video in videos)]
        heights = np.array(
            [max(found.max() for found in known if found.size)] if any(map(len, known)) else []
        )
    if heights.size > MAX_THRESHOLDS:
        heights = heights[np.linspace(0, heights.size - 1, MAX_THRESHOLDS).round().astype(int)]
    # half-way between two heights: a height itself would leave the weakest hit no margin
    thresholds = np.concatenate((heights[:1], 0.5 * (heights[1:] + heights[:-1])))
    labelled = sum(len(e) for e in events)
    points = []
    for threshold in thresholds:
        matched = predicted = 0
        for candidates, truth in zip(peaks, events, strict=True):
            kept = candidates.above(threshold).frames
            matched += len(match(kept, truth, TOLERANCE_FRAMES)[0])
            predicted += len(kept)
        result = scored(matched, predicted, labelled)
        points.append(OperatingPoint(float(threshold), result.recall, result.precision, result.f1))
    return points


def best_point(points: Sequence[OperatingPoint], beta: float = 1.0) -> OperatingPoint:
    """The point of the highest F-beta; of equals the middle one, which is the least sensitive to noise.

    Raises:
        ValueError: there is none.
    """
    if not points:
        raise ValueError("no threshold can be chosen: no frame has a score")
    best = max(point.f_beta(beta) for point in points)
    equals = [point for point in points if point.f_beta(beta) == best]
    return equals[len(equals) // 2]


def best_threshold(videos: Sequence[LabelledScores], params: PeaksParams) -> OperatingPoint:
    """The point of the highest F1, see ``best_point``.

    Raises:
        ValueError: no video has a score.
    """
    return best_point(operating_points(videos, params))


def sensitivity_points(videos: Sequence[LabelledScores], params: PeaksParams) -> dict[str, OperatingPoint]:
    """The operating point of each sensitivity; thresholds never rise from ``low`` to ``high``.

    Raises:
        ValueError: no video has a score.
    """
    points = operating_points(videos, params)
    return {name: best_point(points, beta) for name, beta in SENSITIVITIES.items()}


def best_frame_threshold(videos: Sequence[LabelledScores]) -> float:
    """The threshold on raw scores that gives the best per-video F1 when every frame above it is a hit.

    Raises:
        ValueError: no video has a score.
    """
    pooled = np.concatenate([video.known_scores for video in videos] or [np.empty(0)])
    pooled = pooled[np.isfinite(pooled)]
    if pooled.size == 0:
        raise ValueError("no threshold can be chosen: no frame has a score")
    # hits are rare: quantiles would spend nearly all thresholds on silent frames
    thresholds = np.linspace(pooled.min(), pooled.max(), FRAME_THRESHOLDS)
    f1 = []
    for threshold in thresholds:
        judged = [
            Judged(frames_above(v.known_scores, threshold), np.asarray(v.labels, np.int64)) for v in videos
        ]
        f1.append(paper_metrics(judged)["f1"])
    return float(thresholds[int(np.argmax(np.array(f1, np.float64)))])
