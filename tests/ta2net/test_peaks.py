"""From scores to hits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ta2net.hits.peaks import candidate_peaks, frames_above, peaks_above, smoothed
from ta2net.hits.threshold import LabelledScores, best_frame_threshold, best_threshold, operating_points
from ta2net.params import PeaksParams

SHARP = PeaksParams(smoothing_frames=0.0)
nan = np.nan


def test_peaks_by_hand():
    scores = np.array([0.9, 0.1, 0.2, 0.8, 0.2, 0.1, 0.5, 0.5, 0.5, 0.1, 0.7])
    frames, heights = candidate_peaks(scores, SHARP)
    assert frames.tolist() == [0, 3, 7, 10]
    assert heights.tolist() == [0.9, 0.8, 0.5, 0.7]
    assert peaks_above(scores, 0.7, SHARP).tolist() == [0, 3, 10]


def test_hits_three_frames_apart_are_both_found():
    scores = np.array([0, 0, 1, 0.3, 0.3, 1, 0, 0], float)
    assert peaks_above(scores, 0.5, SHARP).tolist() == [2, 5]


def test_frames_without_a_score_are_never_hits():
    scores = np.array([nan, nan, 0.4, 0.9, 0.4, nan, nan])
    assert peaks_above(scores, 0.0, PeaksParams(smoothing_frames=1.0)).tolist() == [3]
    assert frames_above(scores, 0.4).tolist() == [2, 3, 4]


def test_smoothing_keeps_a_constant_and_its_gaps():
    scores = np.array([nan, 0.5, 0.5, 0.5, nan, 0.5, 0.5])
    np.testing.assert_allclose(smoothed(scores, 2.0), scores)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_keeps_a_subset(values, one, other):
    scores = np.array(values)
    low, high = min(one, other), max(one, other)
    assert set(peaks_above(scores, high, SHARP)) <= set(peaks_above(scores, low, SHARP))


def test_the_best_threshold_parts_hits_from_noise():
    scores = np.full(40, 0.05)
    scores[[10, 20, 30]] = [0.9, 0.8, 0.3]
    point = best_threshold([LabelledScores(scores, [10, 20])], SHARP)
    assert 0.3 < point.threshold <= 0.8
    assert (point.recall, point.precision, point.f1) == (1.0, 1.0, 1.0)
    assert 0.3 < best_frame_threshold([LabelledScores(scores, [10, 20])]) <= 0.8


def test_recall_falls_as_the_threshold_rises():
    rng = np.random.default_rng(0)
    videos = [LabelledScores(rng.random(50), [5, 25, 40]) for _ in range(3)]
    points = operating_points(videos, SHARP)
    assert [p.threshold for p in points] == sorted(p.threshold for p in points)
    # matching is optimal, so taking peaks away can only lose pairs
    assert all(a.recall >= b.recall for a, b in pairwise(points))


def test_no_score_at_all_is_an_error():
    with pytest.raises(ValueError, match="no frame has a score"):
        best_threshold([LabelledScores(np.full(5, nan), [2])], SHARP)
