"""Matching and metrics: by hand, by brute force, by mir_eval, and the laws they must keep."""

from __future__ import annotations

from itertools import combinations, permutations

import mir_eval
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ta2net.evaluation.matching import match, merged_events
from ta2net.evaluation.metrics import Judged, event_metrics, paper_metrics

frames = st.lists(st.integers(0, 60), unique=True, max_size=8).map(sorted)


def judged(predicted, labelled):
    return Judged(np.array(predicted, np.int64), np.array(labelled, np.int64))


def brute_force(predicted, labelled, tolerance):
    """(pairs, total distance) of the best one-to-one matching, by trying all of them."""
    best = (0, 0)
    for size in range(1, min(len(predicted), len(labelled)) + 1):
        for chosen in combinations(predicted, size):
            for order in permutations(labelled, size):
                distances = [abs(a - b) for a, b in zip(chosen, order, strict=True)]
                if max(distances) <= tolerance:
                    best = max(best, (size, -sum(distances)))
    return best[0], -best[1]


@given(
    st.lists(st.integers(0, 12), unique=True, max_size=4),
    st.lists(st.integers(0, 12), unique=True, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_matching_is_the_best_one(predicted, labelled):
    i, j = match(predicted, labelled, 2)
    distance = sum(abs(predicted[a] - labelled[b]) for a, b in zip(i, j, strict=True))
    assert (len(i), distance) == brute_force(predicted, labelled, 2)


@given(frames, frames)
@settings(max_examples=60, deadline=None)
def test_pairs_are_as_many_as_mir_eval_finds(predicted, labelled):
    assume(predicted)
    assume(labelled)
    i, _ = match(predicted, labelled, 2)
    window = 2.5  # mir_eval compares floats with <=; frames are whole, so any window in [2, 3) is the same
    _, precision, recall = mir_eval.onset.f_measure(
        np.array(labelled, float), np.array(predicted, float), window=window
    )
    assert len(i) / len(predicted) == pytest.approx(precision)
    assert len(i) / len(labelled) == pytest.approx(recall)


def test_more_pairs_beat_nearer_ones():
    """10-10 is nearer, but 10-12 and 8-10 are two pairs."""
    i, j = match([8, 10], [10, 12], 2)
    assert (i.tolist(), j.tolist()) == ([0, 1], [0, 1])


def test_runs_of_labels_are_one_event():
    assert merged_events([12, 31, 32, 33, 53, 237, 238]).tolist() == [12, 32, 53, 237]
    assert merged_events([]).tolist() == []
    assert merged_events([5, 3, 4, 4]).tolist() == [4]


def test_paper_metrics_by_hand():
    """Video 1: 10 is hit one frame late, 20 is missed, 40 is false. Video 2: both hit, one two frames early.
    Video 3: nothing predicted, one labelled."""
    figures = paper_metrics([judged([11, 40], [10, 20]), judged([28, 50], [30, 50]), judged([], [7])])
    assert figures["recall"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert figures["precision"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert figures["f1"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert figures["nme"] == pytest.approx((0 + 0 + 1) / 3)
    assert figures["pme"] == pytest.approx((1.0 + 1.0) / 2)
    assert figures["pme_videos_without_match"] == 1
    assert figures["mae"] == pytest.approx((0 + 0 + 1) / 3)
    assert figures["obo"] == 1.0


def test_the_paper_counts_every_labelled_frame_of_a_run():
    video = judged([32], [31, 32, 33])
    assert paper_metrics([video])["recall"] == pytest.approx(1 / 3)
    assert event_metrics([video])["f1_at_0"] == 1.0


def test_event_metrics_by_hand():
    """Errors of 0, 1, 2 and 3 frames: each tolerance catches one more of four."""
    figures = event_metrics([judged([10, 31], [10, 30]), judged([52, 83], [50, 80])])
    assert [figures[f"recall_at_{k}"] for k in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [figures[f"f1_at_{k}"] for k in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_an_empty_video_is_answered_by_silence():
    assert paper_metrics([judged([], [])])["f1"] == 1.0
    assert paper_metrics([judged([3], [])])["f1"] == 0.0
    assert paper_metrics([])["f1"] is None


@given(frames)
def test_a_perfect_prediction_scores_1(labelled):
    assert paper_metrics([judged(labelled, labelled)])["f1"] == 1.0
    events = merged_events(labelled)
    assert all(event_metrics([judged(events, labelled)])[f"f1_at_{k}"] == (1.0) for k in range(4))


@given(frames, frames, st.integers(100, 200))
def test_a_far_false_hit_never_raises_precision(predicted, labelled, far):
    assume(labelled)
    before = event_metrics([judged(predicted, labelled)])
    after = event_metrics([judged([*predicted, far], labelled)])
    assert all(after[f"precision_at_{k}"] <= before[f"precision_at_{k}"] for k in range(4))
    assert all(after[f"recall_at_{k}"] == before[f"recall_at_{k}"] for k in range(4))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_one_frame_late_is_seen_at_0_and_forgiven_at_2(steps):
    labelled = np.cumsum([4 * step for step in steps])
    figures = event_metrics([judged(labelled + 1, labelled)])
    assert figures["f1_at_0"] == 0.0
    assert figures["f1_at_2"] == 1.0


@given(st.lists(st.tuples(frames, frames), min_size=1, max_size=4))
def test_the_order_of_videos_does_not_matter(pairs):
    videos = [judged(*pair) for pair in pairs]
    assert event_metrics(videos) == event_metrics(videos[::-1])
    assert paper_metrics(videos) == pytest.approx(paper_metrics(videos[::-1]))
