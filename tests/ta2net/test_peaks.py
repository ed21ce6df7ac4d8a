"""From scores to hits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ta2net.evaluation.threshold import (
    LabelledScores,
    best_frame_threshold,
    best_threshold,
    operating_points,
    sensitivity_points,
)
from ta2net.hits.decoding import row_peaks
from ta2net.hits.peaks import candidate_peaks, displaced, frames_above, smoothed, spaced
from ta2net.params import PeaksParams

SHARP = PeaksParams(smoothing_frames=0.0)
nan = np.nan


def found_above(scores, threshold, params):
    return row_peaks(scores, params).above(threshold).frames


def test_peaks_by_hand():
    scores = np.array([0.9, 0.1, 0.2, 0.8, 0.2, 0.1, 0.5, 0.5, 0.5, 0.1, 0.7])
    frames, heights = candidate_peaks(scores, SHARP)
    assert frames.tolist() == [0, 3, 7, 10]
    assert heights.tolist() == [0.9, 0.8, 0.5, 0.7]
    assert found_above(scores, 0.7, SHARP).tolist() == [0, 3, 10]


def test_hits_three_frames_apart_are_both_found():
    scores = np.array([0, 0, 1, 0.3, 0.3, 1, 0, 0], float)
    assert found_above(scores, 0.5, SHARP).tolist() == [2, 5]


def test_frames_without_a_score_are_never_hits():
    scores = np.array([nan, nan, 0.4, 0.9, 0.4, nan, nan])
    assert found_above(scores, 0.0, PeaksParams(smoothing_frames=1.0)).tolist() == [3]
    assert frames_above(scores, 0.4).tolist() == [2, 3, 4]


SMOOTH = PeaksParams(smoothing_frames=1.0)


@pytest.mark.parametrize(
    "end", [[0.62, 0.66, 0.57, 0.23], [0.8, 0.6, 0.3, 0.1], [0.51, 0.5, 0.49, 0.27], [0.5] * 4]
)
@pytest.mark.parametrize("unseen", [0, 2])
def test_a_score_that_rises_to_an_end_has_no_peak_there(end, unseen):
    """As it does where a film begins in mid-motion; ``unseen`` frames beyond have no score."""
    beyond, rest = [nan] * unseen, [0.1] * 20
    for side in (1, -1):
        scores = np.array([*beyond, *end, *rest])[::side]
        assert candidate_peaks(scores, SMOOTH)[0].tolist() == []
        # the same bump within the film is a hit
        inside = np.array([*rest, *end[::-1], *end[1:], *rest])
        assert len(candidate_peaks(inside, SMOOTH)[0]) == 1


@pytest.mark.parametrize(
    ("start", "frame"),
    [([0.9, 0.3, 0.1], 0), ([0.3, 0.9, 0.3], 1), ([0.1, 0.9, 0.2], 1), ([0.1, 0.5, 0.9], 2)],
)
def test_a_peak_at_an_end_that_stands_by_itself_is_one(start, frame):
    scores = np.array([*start, *[0.05] * 20])
    assert found_above(scores, 0.3, SMOOTH).tolist() == [frame]
    assert found_above(scores[::-1], 0.3, SMOOTH).tolist() == [len(scores) - 1 - frame]


def test_the_height_at_an_end_is_with_silence_beyond():
    scores = np.array([0.9, 0.3, 0.1, *[0.0] * 9])
    bell = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    height = (0.9 * bell[4] + 0.3 * bell[5] + 0.1 * bell[6]) / bell.sum()
    for side in (1, -1):
        (found,) = candidate_peaks(scores[::side], SMOOTH)[1]
        assert found == pytest.approx(height)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30).filter(any), st.sampled_from([0.0, 0.5, 1.0, 2.0])
)
def test_a_peak_at_an_end_is_one_with_silence_around_too(values, sigma):
    params = PeaksParams(smoothing_frames=sigma, min_distance=1)
    scores, silence = np.array(values) / 20, np.zeros(30)
    alone, _ = candidate_peaks(scores, params)
    within = candidate_peaks(np.concatenate((silence, scores, silence)), params)[0] - len(silence)
    assert {0, len(values) - 1} & set(alone) <= set(within)


def test_scores_that_only_rise_give_a_threshold_and_no_hit():
    point = best_threshold([LabelledScores(np.linspace(0.1, 0.8, 30), [10, 20])], SMOOTH)
    assert (point.threshold, point.recall, point.precision, point.f1) == (0.8, 0.0, 0.0, 0.0)


def test_smoothing_keeps_a_constant_and_its_gaps():
    scores = np.array([nan, 0.5, 0.5, 0.5, nan, 0.5, 0.5])
    np.testing.assert_allclose(smoothed(scores, 2.0), scores)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_keeps_a_subset(values, one, other):
    scores = np.array(values)
    low, high = min(one, other), max(one, other)
    assert set(found_above(scores, high, SHARP)) <= set(found_above(scores, low, SHARP))


def test_sensitivities_by_hand():
    """Ten labels; at heights .9, .7, .5, .3 there are 6 right of 6, 8 of 10, 9 of 14, 10 of 30."""
    scores, labels = np.zeros(1000), list(range(50, 1000, 100))
    right = [0.9] * 6 + [0.7] * 2 + [0.5] + [0.3]
    wrong = [0.7] * 2 + [0.5] * 3 + [0.3] * 15
    scores[labels] = right
    scores[np.arange(len(wrong)) * 40 + 21] = wrong
    points = sensitivity_points([LabelledScores(scores, labels)], SHARP)
    # F0.5: 6 of 6 give .882, 8 of 10 .8; F1: 8 of 10 give .8, 9 of 14 .75; F2: 9 of 14 give .833, 8 of 10 .8
    found = {name: (point.recall, point.precision) for name, point in points.items()}
    assert found == {"low": (0.6, 1.0), "normal": (0.8, 0.8), "high": (0.9, pytest.approx(9 / 14))}
    assert points["low"].threshold > points["normal"].threshold > points["high"].threshold
    assert points["low"].f_beta(0.5) == pytest.approx(1.25 * 0.6 / (0.25 + 0.6))


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=40), st.data())
def test_more_sensitive_never_finds_less(values, data):
    labels = data.draw(st.lists(st.integers(0, len(values) - 1), unique=True))
    video = LabelledScores(np.array(values), sorted(labels))
    low, normal, high = sensitivity_points([video], SHARP).values()
    assert low.threshold >= normal.threshold >= high.threshold
    assert low.recall <= normal.recall <= high.recall
    assert normal == best_threshold([video], SHARP)


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


def test_where_every_hit_is_off_the_film_a_threshold_is_still_chosen():
    scores = np.array([0.8, *[0.0] * 9])
    off, on = (LabelledScores(scores, [4], offset=np.full(10, step)) for step in (-2.0, 0.0))
    assert off.peaks(SHARP).frames.tolist() == []
    assert on.peaks(SHARP).frames.tolist() == [0]
    point = best_threshold([off, LabelledScores(scores / 2, [4], offset=off.offset)], SHARP)
    assert (point.threshold, point.recall, point.precision, point.f1) == (0.8, 0.0, 0.0, 0.0)


def moved(frames, heights, offset, n_frames, cut_frames=3):
    found = displaced(np.array(frames, np.int64), np.array(heights, float), offset, n_frames, cut_frames)
    return [x.tolist() for x in found]


def test_displaced_by_hand():
    offset = np.zeros(20)
    offset[[0, 4, 9, 11, 19]] = [-2.0, 1.4, 0.6, -0.7, 5.0]
    # off the start, one on, two that meet, off the end: what is off was not filmed
    assert moved([0, 4, 9, 11, 19], [0.1, 0.2, 0.3, 0.9, 0.5], offset, 20) == [[5, 10], [0.2, 0.9]]
    offset[[0, 19]] = [-0.4, 0.5]
    assert moved([0, 19], [0.1, 0.5], offset, 20) == [[0, 19], [0.1, 0.5]]
    offset[4] = 100.0
    assert moved([4], [0.2], offset, 20, cut_frames=3) == [[7], [0.2]]
    assert moved([4], [0.2], offset, 8, cut_frames=3) == [[7], [0.2]]
    assert moved([4], [0.2], offset, 7, cut_frames=3) == [[], []]
    assert moved([], [], offset, 20) == [[], []]


def test_half_a_frame_goes_the_same_way_everywhere():
    for step, expected in ((0.5, 0), (-0.5, 0), (1.5, 2), (-1.5, -2)):
        offset = np.full(20, step)
        assert moved([7, 12], [0.4, 0.8], offset, 20)[0] == [7 + expected, 12 + expected]


def test_two_peaks_may_pass_each_other():
    offset = np.array([0.0, 2.0, 0.0, -2.0, 0.0])
    assert moved([1, 3], [0.4, 0.8], offset, 5) == [[1, 3], [0.8, 0.4]]


def test_a_peak_never_moves_where_there_is_no_score():
    offset = np.array([nan, nan, -2.0, 1.0, 3.0, nan, nan])
    assert moved([2, 3, 4], [0.4, 0.6, 0.8], offset, 7) == [[4], [0.6]]
    with pytest.raises(ValueError, match=r"no offset at peaks \[1\]"):
        moved([1, 3], [0.4, 0.8], offset, 7)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-6, 6)), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_displaced_is_the_literal_one(values, cut, every):
    offset = np.array([x for _, x in values])
    frames = list(range(0, len(values), every))
    heights = [values[t][0] for t in frames]
    expected: dict[int, float] = {}
    for t, height in zip(frames, heights, strict=True):
        step = round(min(max(offset[t], -cut), cut))
        if 0 <= t + step < len(values):
            expected[t + step] = max(height, expected.get(t + step, 0.0))
    assert moved(frames, heights, offset, len(values), cut) == [
        sorted(expected),
        [expected[t] for t in sorted(expected)],
    ]
    assert moved(frames, heights, np.zeros(len(values)), len(values), cut) == [frames, heights]
    # played backwards, everything is where it was, seen from the end
    last = len(values) - 1
    back = moved([last - t for t in reversed(frames)], heights[::-1], -offset[::-1], len(values), cut)
    assert back == [
        [last - t for t in sorted(expected, reverse=True)],
        [expected[t] for t in sorted(expected)][::-1],
    ]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), max_size=12, unique_by=lambda p: p[0]),
    st.integers(1, 5),
)
def test_spaced_peaks_are_apart_and_only_lose_to_higher_ones(peaks, distance):
    peaks.sort()
    frames = np.array([frame for frame, _ in peaks], np.int64)
    heights = np.array([height for _, height in peaks])
    kept, kept_heights = spaced(frames, heights, distance)
    assert (np.diff(kept) >= distance).all()
    for frame, height in peaks:
        if frame not in kept:
            near = np.abs(kept - frame) < distance
            assert kept_heights[near].max() >= height


def test_a_row_with_offsets_has_its_peaks_moved_and_spaced():
    """Peaks at 10 and 15; both say the hit is at 12 or 13, so one is left, as high as the higher one."""
    scores = np.zeros(30)
    scores[[10, 15]] = [0.6, 0.9]
    offset = np.zeros(30)
    offset[[10, 15]] = [2.4, -2.0]
    params = PeaksParams(smoothing_frames=0.0)
    assert row_peaks(scores, params).above(0.5).frames.tolist() == [10, 15]
    moved = row_peaks(scores, params, offset).above(0.5)
    assert moved.frames.tolist() == [13]
    assert moved.heights.tolist() == [0.9]
    near = row_peaks(scores, params.model_copy(update={"max_offset_frames": 1}), offset).above(0.5)
    assert near.frames.tolist() == [11, 14]
